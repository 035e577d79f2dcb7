//! Which packages make up the toolchain: the two asked for, what they bring along, and the shared libraries of
//! theirs that this machine does not have.

use std::{collections::BTreeSet, process::Command};

use anyhow::Result;

use crate::{process, setup::linker::LLVM_MAJORS};

/// The compiler, its library's source, and the lints of that very compiler for `cargo xtask lint`.
const WANTED: [&str; 3] = ["rustc-web", "rust-web-src", "rust-web-clippy"];

/// Names of the packages that are unpacked even where they are installed, so that all lies in one place.
const OWN: [&str; 5] = ["rustc-web", "rust-web-src", "rust-web-clippy", "libstd-rust-web", "libllvm"];

/// The packages apt's lists offer; `None` when they offer none with an LLVM that bpf-linker knows.
///
/// # Errors
/// Apt's tools fail, other than for not knowing the packages.
pub(super) fn listed() -> Result<Option<Vec<String>>> {
    let mut depends = Command::new("apt-cache");
    depends.args(["depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts"]);
    depends.args(["--no-breaks", "--no-replaces", "--no-enhances"]).args(WANTED);
    // Apt-cache fails for a package it does not know: that is an answer.
    let own = own_packages(&process::output(&mut depends).unwrap_or_default());
    if !WANTED.iter().all(|name| own.contains(*name)) || !has_known_llvm(&own) {
        return Ok(None);
    }
    let mut simulate = Command::new("apt-get");
    simulate.args(["--simulate", "--no-install-recommends", "install"]).args(WANTED);
    // A held or half-installed package of the machine's own must not stop what installs nothing.
    let missing = missing_libraries(&process::output(&mut simulate).unwrap_or_default());
    Ok(Some(own.into_iter().chain(missing).collect::<BTreeSet<_>>().into_iter().collect()))
}

/// The toolchain's packages in the output of `apt-cache depends --recurse`: names at the start of a line.
fn own_packages(depends: &str) -> BTreeSet<String> {
    depends
        .lines()
        .filter(|line| OWN.iter().any(|own| line.starts_with(own)))
        .map(|line| line.split(':').next().unwrap_or(line).to_owned())
        .collect()
}

fn has_known_llvm(packages: &BTreeSet<String>) -> bool {
    LLVM_MAJORS.iter().any(|major| packages.contains(&format!("libllvm{major}")))
}

/// Shared libraries that an installation would add, in the output of `apt-get --simulate`: `Inst name (version`.
///
/// What it would upgrade (`Inst name [old] (new`) is there already, and the C library and compiler are the
/// machine's: a second C library in the search path breaks every program.
fn missing_libraries(simulated: &str) -> BTreeSet<String> {
    simulated
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .filter_map(|line| line.split_once(" ("))
        .map(|(name, _)| name)
        .filter(|name| !name.contains(' '))
        .filter(|name| name.starts_with("lib") || name.starts_with("zlib"))
        .filter(|name| !name.starts_with("libc6") && !name.starts_with("libgcc") && !name.ends_with("-dev"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_toolchain_is_taken_from_the_dependencies() {
        let depends = "rustc-web\n  Depends: libc6\n  Depends: libstd-rust-web-dev\nlibc6\n\
                       libstd-rust-web-dev\n  Depends: libstd-rust-web-1.96\nlibstd-rust-web-1.96\n\
                       libllvm22:amd64\nrust-web-src\n<rustup>\n";
        let own = own_packages(depends);
        let expected =
            ["libllvm22", "libstd-rust-web-1.96", "libstd-rust-web-dev", "rust-web-src", "rustc-web"];
        assert_eq!(own, set(&expected));
        assert!(has_known_llvm(&own));
    }

    #[test]
    fn an_old_llvm_does_not_fit() {
        assert!(!has_known_llvm(&own_packages("rustc-web\nlibllvm19\nrust-web-src\n")));
    }

    #[test]
    fn only_libraries_the_machine_lacks_are_added() {
        let simulated = "Inst libxml2 (2.9.14 Debian:12.1/oldstable [amd64])\n\
                         Inst libc6 [2.36-9] (2.36-10 Debian:12.1/oldstable [amd64])\n\
                         Inst libc6-dev (2.36-10 Debian:12.1/oldstable [amd64])\n\
                         Inst libgcc-12-dev (12.2 Debian:12.1/oldstable [amd64])\n\
                         Inst gcc (12.2 Debian:12.1/oldstable [amd64])\nConf libxml2 (2.9.14 x)\n";
        assert_eq!(missing_libraries(simulated), set(&["libxml2"]));
    }
}
