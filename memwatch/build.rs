//! Builds the kernel side and leaves its object in `OUT_DIR/memwatch-ebpf`, where the crate embeds it; makes the client of
//! container runtimes from its definition in `proto/`.
//!
//! The compiler and linker are those `cargo xtask setup` recorded. `MEMWATCH_BPF_OBJECT` names a finished
//! object instead, for packagers who build the kernel side on their own.

use std::{
    env,
    ffi::OsString,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

#[path = "build/cri.rs"]
mod cri;
#[path = "../xtask/src/setup/kernel_side.rs"]
mod kernel_side;
#[path = "../xtask/src/setup/record.rs"]
mod record;
#[path = "build/stripped.rs"]
mod stripped;

use kernel_side::KernelBuild;
use record::{Toolchain, record_path, target_dir};

fn main() -> ExitCode {
    match client().and_then(|()| object()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told) => ExitCode::FAILURE,
        Err(Failure::Say(message)) => {
            // Cargo fails the build by itself on this line, and prints nothing but it.
            println!("cargo::error={message}");
            ExitCode::SUCCESS
        }
    }
}

enum Failure {
    /// The reason in one line.
    Say(String),
    /// The compiler has explained itself on standard error.
    Told,
}

fn client() -> Result<(), Failure> {
    let proto = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("proto/cri-v1.proto");
    cri::generate(&proto).map_err(|error| {
        // Cargo takes one line.
        Failure::Say(format!("cannot make the client of {}: {}", proto.display(), error.replace('\n', " ")))
    })
}

fn object() -> Result<(), Failure> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    println!("cargo::rerun-if-env-changed=MEMWATCH_BPF_OBJECT");
    let built = match env::var_os("MEMWATCH_BPF_OBJECT") {
        Some(object) => {
            let object = PathBuf::from(object);
            println!("cargo::rerun-if-changed={}", object.display());
            object
        }
        None => kernel_object(&out)?,
    };
    let say = |error: &dyn std::fmt::Display| {
        Failure::Say(format!("cannot take the BPF object {}: {error}", built.display()))
    };
    let elf = fs::read(&built).map_err(|error| say(&error))?;
    // What a verifier refuses is found sooner with them, while the kernel side is being written.
    let wants_lines = env::var_os("PROFILE").is_some_and(|profile| profile == "debug");
    let object = stripped::stripped(&elf, wants_lines).ok_or_else(|| say(&"it is no whole ELF file"))?;
    fs::write(out.join("memwatch-ebpf"), object).map_err(|error| say(&error))
}

/// Builds the kernel side and gives the path of its object.
fn kernel_object(out: &Path) -> Result<PathBuf, Failure> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("..");
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let target = target_dir(out).ok_or_else(|| {
        Failure::Say(format!("no target folder above {}: has it been moved?", out.display()))
    })?;
    for path in ["Cargo.lock", "Cargo.toml", "memwatch-ebpf", "xtask/src/setup/kernel_side.rs"] {
        println!("cargo::rerun-if-changed={}", root.join(path).display());
    }
    println!("cargo::rerun-if-changed={}", record_path(target).display());

    let toolchain = Toolchain::read(target)
        .map_err(|error| Failure::Say(format!("cannot read {}: {error}", record_path(target).display())))?
        .ok_or_else(|| {
            Failure::Say(
                "the eBPF toolchain that builds the kernel side is not set up: run `cargo xtask setup` once"
                    .to_owned(),
            )
        })?;
    let bpf = target.join("bpf");
    let cargo = variable("CARGO")?;
    let build = KernelBuild { toolchain: &toolchain, cargo: &cargo, target_dir: &bpf, arch: &arch };
    let mut command = build.command();
    command.current_dir(&root).args(["--quiet", "--locked", "--package", "memwatch-ebpf"]).args([
        "--bin",
        "memwatch-ebpf",
        "--features",
        "bpf",
    ]);
    match command.output() {
        Ok(output) if output.status.success() => {
            // Cargo shows what a build script says only when it fails, or says it is a warning.
            for line in String::from_utf8_lossy(&output.stderr).lines().filter(|line| !line.is_empty()) {
                println!("cargo::warning={line}");
            }
            Ok(build.object("memwatch-ebpf"))
        }
        Ok(output) => {
            // A closed standard error changes nothing about the failure.
            let _written = std::io::stderr().write_all(&output.stderr);
            Err(Failure::Told)
        }
        Err(error) => Err(Failure::Say(format!("cannot run {}: {error}", command.get_program().display()))),
    }
}

fn variable(name: &str) -> Result<OsString, Failure> {
    env::var_os(name).ok_or_else(|| Failure::Say(format!("{name} is not set: build with cargo")))
}
