//! Finds the eBPF toolchain, or fetches it below the target folder; installs nothing on the machine.
//!
//! Comes out: a toolchain that has built a kernel program, on record in `toolchain/env` (see [`record`]).
//! Each part checks what is there before it does anything, so that a second run does nothing.

pub(crate) mod choice;
mod debian;
mod facts;
pub(crate) mod kernel_side;
mod linker;
mod probe;
pub(crate) mod record;
pub(crate) mod rustc;

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use choice::Choice;
use record::{Toolchain, record_path};

use crate::{Task, process, report, workspace};

pub(crate) const TASK: Task = Task {
    name: "setup",
    about: "Find or fetch the eBPF toolchain (the other tasks do it when it is missing)",
    arguments: |command| command,
    run: |_| {
        let toolchain = ensure()?;
        report::step(&format!(
            "set-up is complete: the kernel side is built by {}, linked by {}",
            toolchain.rustc.display(),
            toolchain.bpf_linker.display()
        ));
        Ok(())
    },
};

/// Gives the toolchain, after finding or fetching it.
///
/// # Errors
/// A step failed; the message says which one and what helps.
pub(crate) fn ensure() -> Result<Toolchain> {
    if process::find("cc").is_none() {
        bail!(
            "no C linker: rustc needs `cc` to link programs; install one (Debian: apt-get install gcc libc6-dev)"
        );
    }
    let target = workspace::target()?;
    let facts = facts::gather();
    let toolchain = match choice::choose(&facts) {
        Choice::Present(toolchain) if facts.has_apt => present_or_fetched(toolchain, &target)?,
        Choice::Present(toolchain) => {
            probe::check(&toolchain, &target).context(
                "the installed nightly and bpf-linker do not fit: build bpf-linker for the nightly's LLVM",
            )?;
            toolchain
        }
        Choice::Unpack => fetch(&target)?,
        Choice::Nothing(missing) => bail!("no eBPF toolchain: {missing}"),
    };
    keep(&toolchain, &target)?;
    Ok(toolchain)
}

/// Gives the installed toolchain, or where it does not serve the fetched one; remembers which, so that a misfit is
/// told of once.
fn present_or_fetched(present: Toolchain, target: &Path) -> Result<Toolchain> {
    if probe::has_refused(&present, target) {
        return fetch(target);
    }
    let Err(error) = probe::check(&present, target) else { return Ok(present) };
    report::step(&format!("the installed nightly and bpf-linker do not fit, fetching others: {error:#}"));
    let fetched = fetch(target)?;
    // Only now: what failed for want of a network would have failed here as well.
    probe::refuse(&present, target)?;
    Ok(fetched)
}

/// Fetches compiler, library source and linker below the target folder.
fn fetch(target: &Path) -> Result<Toolchain> {
    let dir = target.join("toolchain");
    let root = debian::unpacked(&dir)?;
    let rustc = root.join("usr/bin/rustc");
    let libraries = debian::library_dir(&root)?;
    let version = rustc::version(&rustc, Some(&libraries))?;
    let bpf_linker = linker::installed(&dir, &libraries, version.llvm_major)?;
    let toolchain = Toolchain { cargo: None, rustc, bootstrap: true, bpf_linker, libraries: Some(libraries) };
    probe::check(&toolchain, target).context("the fetched eBPF toolchain cannot build a kernel program")?;
    Ok(toolchain)
}

/// Writes the record when it says something else, so that cargo sees a change only when there is one.
fn keep(toolchain: &Toolchain, target: &Path) -> Result<()> {
    if Toolchain::read(target).is_ok_and(|present| present.as_ref() == Some(toolchain)) {
        return Ok(());
    }
    let path = record_path(target);
    fs::write(&path, toolchain.to_text()).with_context(|| format!("cannot write {}", path.display()))
}

impl Toolchain {
    /// The record's text: `KEY=VALUE` lines.
    fn to_text(&self) -> String {
        let mut text = format!("RUSTC={}\nBPF_LINKER={}\n", self.rustc.display(), self.bpf_linker.display());
        if self.bootstrap {
            text.push_str("RUSTC_BOOTSTRAP=1\n");
        }
        if let Some(cargo) = &self.cargo {
            text.push_str(&format!("CARGO={}\n", cargo.display()));
        }
        if let Some(libraries) = &self.libraries {
            text.push_str(&format!("LD_LIBRARY_PATH={}\n", libraries.display()));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::record::Toolchain;

    #[test]
    fn the_record_reads_back_as_written() {
        let found = Toolchain {
            cargo: Some("/n/bin/cargo".into()),
            rustc: "/n/bin/rustc".into(),
            bootstrap: false,
            bpf_linker: "/b/bpf-linker".into(),
            libraries: None,
        };
        let fetched = Toolchain {
            cargo: None,
            bootstrap: true,
            libraries: Some("/t/a folder=odd/lib".into()),
            ..found.clone()
        };
        for toolchain in [found, fetched] {
            assert_eq!(Toolchain::from_text(&toolchain.to_text()), Some(toolchain));
        }
    }

    #[test]
    fn a_record_without_a_linker_is_none() {
        assert_eq!(Toolchain::from_text("RUSTC=/n/bin/rustc\n"), None);
    }
}
