//! Lints of the BPF programs, which only the kernel side's own toolchain can compile.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{
    process,
    setup::{self, kernel_side::KernelBuild},
    workspace,
};

/// Runs the clippy that belongs to the toolchain on record.
///
/// # Errors
/// The toolchain has no clippy, or clippy has something to say.
pub(super) fn check() -> Result<()> {
    let toolchain = setup::ensure()?;
    let clippy = toolchain.rustc.with_file_name("cargo-clippy");
    if !clippy.is_file() {
        bail!(
            "{} is missing: run `rustup component add clippy --toolchain nightly`, or remove the target folder's \
             toolchain/root and run `cargo xtask setup`",
            clippy.display()
        );
    }
    let target_dir = workspace::target()?.join("bpf");
    let cargo = process::cargo_program();
    let build = KernelBuild {
        toolchain: &toolchain,
        cargo: &cargo,
        target_dir: &target_dir,
        arch: std::env::consts::ARCH,
    };
    let mut command = Command::new(clippy);
    command.arg("clippy");
    build.prepare(&mut command);
    command
        .env("CARGO", build.cargo())
        .args(["--locked", "--package", "memwatch-ebpf", "--lib", "--bins", "--features", "bpf"])
        .args(["--", "-D", "warnings"])
        .current_dir(workspace::root());
    process::run(&mut command)
}
