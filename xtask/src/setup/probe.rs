//! Tries a toolchain: builds an empty program for the kernel, which shows at once whether the library's source is
//! there and whether the linker understands the compiler's bitcode.

use std::{
    fs::{self, read_to_string},
    path::Path,
};

use anyhow::{Context as _, Result, bail};

use super::{kernel_side::KernelBuild, record::Toolchain};
use crate::{process, report};

/// Where the program lies and the verdicts are kept.
const DIR: &str = "toolchain/probe";
const PASSED: &str = "passed";
const REFUSED: &str = "refused";

const MANIFEST: &str = "[package]\nname = \"toolchain-probe\"\nedition = \"2024\"\n[workspace]\n";

const PROGRAM: &str = "#![no_std]\n#![no_main]\n#[panic_handler]\n\
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }\n";

/// Checks that a toolchain builds for the kernel; a toolchain that has done so is not asked again.
///
/// # Errors
/// It does not build.
pub(crate) fn check(toolchain: &Toolchain, target: &Path) -> Result<()> {
    let dir = target.join(DIR);
    if is_noted(toolchain, target, PASSED) {
        return Ok(());
    }
    report::step("trying the eBPF toolchain on an empty program (compiler and linker must agree on LLVM)");
    let source = dir.join("src");
    fs::create_dir_all(&source).with_context(|| format!("cannot create {}", source.display()))?;
    fs::write(dir.join("Cargo.toml"), MANIFEST).context("cannot write the probe's manifest")?;
    fs::write(source.join("main.rs"), PROGRAM).context("cannot write the probe's program")?;
    // In the folder the kernel side is built in: both share the library, which takes longest.
    let bpf = target.join("bpf");
    let cargo = process::cargo_program();
    let build = KernelBuild { toolchain, cargo: &cargo, target_dir: &bpf, arch: std::env::consts::ARCH };
    process::run(build.command().current_dir(&dir))?;
    let object = build.object("toolchain-probe");
    if !object.is_file() {
        bail!("the build left no {}: is the bpf-linker on PATH a wrapper?", object.display());
    }
    note(toolchain, target, PASSED)
}

/// Whether a toolchain was tried before and did not build.
pub(crate) fn has_refused(toolchain: &Toolchain, target: &Path) -> bool {
    is_noted(toolchain, target, REFUSED)
}

/// Remembers that a toolchain does not build, until it is another version.
///
/// # Errors
/// The note cannot be written.
pub(crate) fn refuse(toolchain: &Toolchain, target: &Path) -> Result<()> {
    note(toolchain, target, REFUSED)
}

fn is_noted(toolchain: &Toolchain, target: &Path, verdict: &str) -> bool {
    let noted = read_to_string(target.join(DIR).join(verdict));
    matches!((noted, identity(toolchain)), (Ok(noted), Ok(identity)) if noted == identity)
}

fn note(toolchain: &Toolchain, target: &Path, verdict: &str) -> Result<()> {
    let path = target.join(DIR).join(verdict);
    fs::write(&path, identity(toolchain)?).with_context(|| format!("cannot write {}", path.display()))
}

/// What a passed trial holds for: the programs and their versions.
fn identity(toolchain: &Toolchain) -> Result<String> {
    let version = |program: &Path, argument: &str| {
        let mut command = std::process::Command::new(program);
        command.arg(argument);
        if let Some(libraries) = &toolchain.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        process::output(&mut command)
    };
    let rustc = version(&toolchain.rustc, "-vV")?;
    let linker = version(&toolchain.bpf_linker, "--version")?;
    Ok(format!("{}{rustc}{linker}", toolchain.to_text()))
}
