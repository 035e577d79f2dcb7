//! The matrix's tests: the programs that test the host, run in a guest of each kernel.
//!
//! Comes out: a table on the terminal and `target/guest/results.json`. A guest without a verdict has failed.

mod lines;
mod programs;
mod progress;
pub(crate) mod results;
mod table;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

pub(super) use self::programs::{Programs, known};
use self::{
    lines::Told,
    progress::Progress,
    results::{Instructions, KernelResults, Origin, Results},
};
use super::{Guest, boot::Verdict, compatibility, job::Job, on_kernel, options::Options, present, show};
use crate::{report, rootfs, workspace};

/// The tests of the smoke part, by parts of their names: every hook attaches by every way and yields its event.
pub(super) const SMOKE: [&str; 13] = [
    "kernels::",
    "verifier::",
    "ways::",
    "memory::major_faults",
    "memory::rss",
    "life::",
    "oom::",
    "table::after_getrlimit",
    "table::read_into_is_touched",
    "action::signal_before",
    "action::signal_at_the_touched_bound",
    "action::refusal",
    "kubepods::attributed_after_death",
];

/// The file that one of the tests writes, in the folder that is brought back.
const INSTRUCTIONS: &str = "instructions.json";

/// Runs the tests on every kernel asked for.
///
/// # Errors
/// A test failed on a kernel, a guest gave no verdict, or a kernel could not be had: unless that is allowed, which it
/// never is of all of them.
pub(super) fn run(options: &Options, programs: &Programs) -> Result<()> {
    // Asked for before the build: the tree may go on while the guests run.
    let revision = if programs.are_built_here() { workspace::revision() } else { None };
    let files = programs.built()?;
    let chosen = programs.chosen(programs::names(&files.tests)?)?;
    let dir = rootfs::guest_dir()?;
    let mut job = options.job();
    job.command = vec!["env".to_owned(), format!("./{}", file_name(&files.tests)?)];
    job.environment = vec![
        ("MEMWATCH_BIN", format!("/srv/job/files/{}", file_name(&files.memwatch)?)),
        ("MEMWATCH_TEST_MARK", lines::MARK.to_owned()),
        ("MEMWATCH_TEST_ONLY", programs.only.join(",")),
        ("MEMWATCH_ROOTFS", "/".to_owned()),
    ];
    job.files.extend([files.tests, files.memwatch]);
    job.files.extend(files.beside);
    job.environment.extend(files.package.variable()?);
    job.files.extend(files.package.file());
    let origin =
        |guest: &Guest| Origin { release: Some(guest.unpacked.release.clone()), revision: revision.clone() };
    let (there, mut failed) = present(options, &dir)?;
    let mut results = Results { known: chosen, ..Results::default() };
    // A run on some kernels, or of some tests, leaves what is known of the others.
    let path = results_path()?;
    let mut kept = Results::read(&path)?;
    for kernel in there {
        let row = match options.guest(kernel, &dir) {
            Ok(guest) => of_guest(&guest, origin(&guest), &results.known, &job, &dir, |row| {
                // Written each time, so that what is known outlives a task that is cut short.
                kept.merge(row);
                // Where that fails the last write does, too, and tells it.
                let _ = kept.write(&path);
            }),
            Err(error) => {
                KernelResults { fault: Some(format!("{error:#}")), ..KernelResults::new(kernel.name) }
            }
        };
        kept.merge(&row);
        kept.write(&path)?;
        results.merge(&row);
    }
    report::line(&results.table());
    for line in results.growth(&Results::read(&compatibility::committed())?) {
        report::step(&line);
    }
    failed.extend(results.failures());
    if !failed.is_empty() {
        bail!("the tests did not pass: {}", failed.join("; "));
    }
    Ok(())
}

/// Where the results are: of each test on each kernel the last.
///
/// # Errors
/// There is no target folder.
pub(crate) fn results_path() -> Result<PathBuf> {
    Ok(rootfs::guest_dir()?.join("results.json"))
}

/// Runs the tests in a guest; `keep` gets what they have come to until now, each time one has ended.
fn of_guest(
    guest: &Guest,
    origin: Origin,
    chosen: &BTreeSet<String>,
    job: &Job,
    dir: &Path,
    mut keep: impl FnMut(&KernelResults),
) -> KernelResults {
    let mut progress = Progress::new(guest.kernel.name, origin.clone());
    let outcome = on_kernel(guest, job, dir, |line| {
        let Some((before, told)) = lines::read(line) else { return show(guest.kernel, line) };
        if !before.is_empty() {
            show(guest.kernel, before);
        }
        let has_ended = matches!(told, Told::Ended { .. });
        progress.take(told);
        if has_ended {
            keep(progress.row());
        }
    });
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => return progress.end(Some(format!("{error:#}"))),
    };
    let fault = match &outcome.boot.verdict {
        Verdict::Failed(reason, _) => Some(reason.clone()),
        Verdict::Ended(status) => progress.contradiction(*status, chosen),
    };
    let (instructions, fault) = match results::read_instructions(&outcome.files.join(INSTRUCTIONS)) {
        Ok(instructions) => (instructions, fault),
        Err(error) => (Instructions::new(), fault.or(Some(format!("{error:#}")))),
    };
    KernelResults {
        seconds_to_first_command: outcome.boot.to_first_command.map(tenths),
        instructions,
        counted: origin,
        ..progress.end(fault)
    }
}

/// Seconds as they are written down.
fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

fn file_name(path: &Path) -> Result<&str> {
    path.file_name().and_then(|name| name.to_str()).with_context(|| format!("{} is no file", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_the_smoke_tests_is_of_a_test() {
        let known = Results::read(&compatibility::committed()).unwrap().known;
        let programs = Programs { tests: None, memwatch: None, only: SMOKE.map(str::to_owned).into() };
        assert!(programs.chosen(known).unwrap().len() >= SMOKE.len());
    }
}
