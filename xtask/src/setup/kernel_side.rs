//! How the kernel side is built: the cargo command line and the environment it needs.
//!
//! Set-up tries a toolchain with it, `memwatch/build.rs` builds with it; both compile this file.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use super::record::Toolchain;

/// The target of the kernel side: BPF of a little-endian machine.
const TARGET: &str = "bpfel-unknown-none";

/// What an outer cargo or a user sets for the host's build, and must not reach this one.
const FOREIGN: [&str; 8] = [
    "CARGO_BUILD_RUSTC",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// The release profile of the kernel side: debug information is where BTF comes from.
const PROFILE: [(&str, &str); 6] = [
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "2"),
    ("CARGO_PROFILE_RELEASE_LTO", "false"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "3"),
    ("CARGO_PROFILE_RELEASE_PANIC", "abort"),
    ("CARGO_PROFILE_RELEASE_STRIP", "none"),
];

/// One build of a package for the kernel.
pub(crate) struct KernelBuild<'a> {
    pub(crate) toolchain: &'a Toolchain,
    /// The cargo to use when the toolchain has none of its own.
    pub(crate) cargo: &'a OsStr,
    /// The folder to build in; not the outer build's, whose lock is held.
    pub(crate) target_dir: &'a Path,
    /// Whose `pt_regs` and system call numbers the programs are built for.
    pub(crate) arch: &'a str,
}

impl KernelBuild<'_> {
    /// The command; the caller adds the package, its features and the working directory.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.cargo());
        command.arg("build");
        self.prepare(&mut command);
        command
    }

    /// The cargo that builds.
    pub(crate) fn cargo(&self) -> &OsStr {
        self.toolchain.cargo.as_deref().map_or(self.cargo, Path::as_os_str)
    }

    /// Gives any command of cargo what it needs for the kernel side: this folder, target, profile and compiler.
    pub(crate) fn prepare(&self, command: &mut Command) {
        let toolchain = self.toolchain;
        for name in FOREIGN {
            command.env_remove(name);
        }
        command
            .args(["--release", "-Z", "build-std=core", "--target", TARGET])
            .arg("--target-dir")
            .arg(self.target_dir)
            .env("RUSTC", &toolchain.rustc)
            .env("CARGO_ENCODED_RUSTFLAGS", self.rustflags())
            .envs(PROFILE);
        // Cargo itself refuses -Z on a stable channel as well, whatever the compiler is.
        match toolchain.bootstrap {
            true => command.env("RUSTC_BOOTSTRAP", "1"),
            false => command.env_remove("RUSTC_BOOTSTRAP"),
        };
        if let Some(libraries) = &toolchain.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
    }

    /// Where the command leaves the program named `name`.
    pub(crate) fn object(&self, name: &str) -> PathBuf {
        self.target_dir.join(TARGET).join("release").join(name)
    }

    fn rustflags(&self) -> String {
        let linker = self.toolchain.bpf_linker.display();
        [
            "-Cdebuginfo=2".to_owned(),
            "-Clink-arg=--btf".to_owned(),
            format!("-Clinker={linker}"),
            format!("--cfg=bpf_target_arch=\"{}\"", self.arch),
        ]
        .join("\u{1f}")
    }
}
