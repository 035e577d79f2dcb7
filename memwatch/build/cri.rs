//! Makes the client of the Container Runtime Interface from its official definition.
//!
//! protox reads the definition in Rust, so that no `protoc` has to be on the machine that builds.

use std::path::Path;

/// Writes `runtime.v1.rs` to `OUT_DIR`.
///
/// # Errors
/// The definition cannot be read, or the code cannot be written.
pub(crate) fn generate(proto: &Path) -> Result<(), String> {
    println!("cargo::rerun-if-changed={}", proto.display());
    let folder = proto.parent().unwrap_or(proto);
    let mut definition = protox::compile([proto], [folder]).map_err(|error| format!("{error:?}"))?;
    // Its comments are not written for rustdoc.
    definition.file.iter_mut().for_each(|file| file.source_code_info = None);
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .compile_fds(definition)
        .map_err(|error| error.to_string())
}
