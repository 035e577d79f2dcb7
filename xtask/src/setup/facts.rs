//! Looks at the machine: which of rustup's toolchains, which tools are there.

use std::process::Command;

use super::choice::{Facts, Nightly};
use crate::process;

/// Gathers what [`super::choice::choose`] decides by.
pub(crate) fn gather() -> Facts {
    Facts {
        nightlies: nightlies(),
        bpf_linker: process::find("bpf-linker"),
        has_apt: ["apt-get", "apt-cache", "dpkg-deb"].iter().all(|tool| process::find(tool).is_some()),
    }
}

/// Rustup's nightlies; none when there is no rustup.
fn nightlies() -> Vec<Nightly> {
    let list = process::output(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    list.lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("nightly"))
        .filter_map(|name| {
            // Run by its name, so that rustup asks nothing and installs nothing.
            let mut rustc = Command::new("rustup");
            rustc.args(["run", name, "rustc", "--print", "sysroot"]);
            let sysroot = std::path::PathBuf::from(process::output(&mut rustc).ok()?.trim());
            let has_source = sysroot.join("lib/rustlib/src/rust/library/core").is_dir();
            Some(Nightly { sysroot, has_source })
        })
        .collect()
}
