//! Whether KVM works here: some machines show it and then fail to run a stock kernel on it.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};

use super::{Guest, Init, boot::Patience, boot::Verdict, emulator::Processor, job::Job, kernel::Kernel};
use crate::{report, rootfs};

/// An emulated guest takes several times as long as KVM, so that what is slower than this is of no use.
const PATIENCE: Patience = Patience { to_start: Duration::from_secs(20), in_all: Duration::from_secs(30) };

/// What stands for a machine that has no KVM, and what for one where it works.
const WORKS: &str = "works";

/// The processor for guests here; tries KVM by a boot, once for each kernel of the host.
///
/// # Errors
/// The guest cannot be put together.
pub(super) fn processor(guest: &Path, kernel: &'static Kernel) -> Result<Processor> {
    if !Path::new("/dev/kvm").exists() {
        return Ok(Processor::Emulated);
    }
    let host = fs::read_to_string("/proc/sys/kernel/osrelease").context("cannot read the host's release")?;
    let record = guest.join("kvm").join(host.trim());
    let known = fs::read_to_string(&record).ok();
    let is_working = match known {
        Some(answer) => answer == WORKS,
        None => {
            report::step("trying KVM by one boot (the answer is kept)");
            let is_working = boots(guest, kernel)?;
            fs::create_dir_all(guest.join("kvm")).context("cannot create the folder of KVM's answers")?;
            fs::write(&record, if is_working { WORKS } else { "does not work" })
                .with_context(|| format!("cannot write {}", record.display()))?;
            report::step(if is_working {
                "KVM works"
            } else {
                "KVM does not work here: guests are emulated"
            });
            is_working
        }
    };
    Ok(if is_working { Processor::Kvm } else { Processor::Emulated })
}

fn boots(guest: &Path, kernel: &'static Kernel) -> Result<bool> {
    let trial = Guest {
        kernel,
        unpacked: kernel.unpacked(guest)?,
        init: Init::Minimal,
        layer: &rootfs::BASE,
        memory_mib: 1024,
        processor: Processor::Kvm,
        patience: PATIENCE,
    };
    let job = Job { command: vec!["true".into()], ..Job::default() };
    let outcome = super::start(&trial, &job, guest, |_| ())?;
    Ok(matches!(outcome.boot.verdict, Verdict::Ended(0)))
}
