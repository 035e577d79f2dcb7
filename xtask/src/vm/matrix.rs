//! The matrix's tests: the programs that test the host, run in a guest of each kernel.
//!
//! Comes out: a table on the terminal and `target/guest/results.json`. A guest without a verdict has failed.

mod lines;
mod programs;
pub(crate) mod results;
mod table;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

pub(super) use self::programs::Programs;
use self::results::{KernelResults, Results};
use super::{
    Outcome, boot::Verdict, compatibility, emulator::OUTPUT, on_kernel, options::Options, run_folder,
};
use crate::{report, rootfs};

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

/// The files that the test program and one of its tests write, in the folder that is brought back.
const REPORT: &str = "results.json";
const INSTRUCTIONS: &str = "instructions.json";

/// Runs the tests on every kernel asked for.
///
/// # Errors
/// A test failed on a kernel, a guest gave no verdict, or a kernel could not be had: unless that is allowed, which it
/// never is of all of them.
pub(super) fn run(options: &Options, programs: &Programs) -> Result<()> {
    let files = programs.built()?;
    let dir = rootfs::guest_dir()?;
    let mut job = options.job();
    job.command = vec!["env".to_owned(), format!("./{}", file_name(&files.tests)?)];
    job.environment = vec![
        ("MEMWATCH_BIN", format!("/srv/job/files/{}", file_name(&files.memwatch)?)),
        ("MEMWATCH_TEST_RESULTS", format!("/srv/job/out/{REPORT}")),
        ("MEMWATCH_TEST_ONLY", programs.only.join(",")),
        ("MEMWATCH_ROOTFS", "/".to_owned()),
    ];
    job.files.extend([files.tests, files.memwatch]);
    job.files.extend(files.beside);
    job.environment.extend(files.package.variable()?);
    job.files.extend(files.package.file());
    let mut results = Results::default();
    // A run on some kernels, or of some tests, leaves what is known of the others.
    let path = results_path()?;
    let mut kept = Results::read(&path)?;
    for kernel in options.kernels.iter().copied() {
        let fault =
            |error| KernelResults { fault: Some(format!("{error:#}")), ..KernelResults::new(kernel.name) };
        let row = match kernel.unpacked(&dir) {
            Err(error) => {
                report::step(&format!(
                    "{}: its packages cannot be had, so nothing is tested on it: {error:#}",
                    kernel.name
                ));
                KernelResults { is_absent: true, is_excused: options.allows_missing, ..fault(error) }
            }
            Ok(unpacked) => {
                // A run that was cut short before this one has told of some tests.
                let mut cut_short = KernelResults::new(kernel.name);
                (cut_short.release, cut_short.version) = (unpacked.release, unpacked.version);
                cut_short.tests = told_until_now(&dir, kernel.name);
                if !cut_short.tests.is_empty() {
                    kept.renew(&cut_short);
                }
                let outcome = on_kernel(options, kernel, &job, &dir);
                outcome.map_or_else(fault, |outcome| of_guest(kernel.name, &outcome, &dir))
            }
        };
        let row = KernelResults { is_whole: programs.only.is_empty() && row.fault.is_none(), ..row };
        if programs.only.is_empty() {
            kept.put(row.clone());
        } else {
            kept.renew(&row);
        }
        results.put(row);
        // Written each time, so that what is known outlives a task that is cut short.
        kept.write(&path)?;
    }
    report::line(&results.table());
    for line in results.growth(&Results::read(&compatibility::committed())?) {
        report::step(&format!("grown by more than a tenth: {line}"));
    }
    if results.kernels.iter().all(|kernel| kernel.is_absent) {
        bail!("not one kernel could be had: check the machine's apt configuration and its network");
    }
    let failed = results.failures();
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
    Ok(rootfs::guest_dir()?.join(REPORT))
}

/// What a guest's outcome comes to.
fn of_guest(name: &str, outcome: &Outcome, dir: &Path) -> KernelResults {
    let mut row = KernelResults {
        release: outcome.release.clone(),
        version: outcome.version.clone(),
        seconds_to_first_command: outcome.boot.to_first_command.map(tenths),
        seconds: tenths(outcome.boot.total),
        ..KernelResults::new(name)
    };
    match &outcome.boot.verdict {
        Verdict::Failed(reason, _) => {
            row.fault = Some(reason.clone());
            row.tests = told_until_now(dir, name);
        }
        Verdict::Ended(status) => match results::read_report(&outcome.files.join(REPORT)) {
            Ok(report) => {
                (row.tests, row.measured, row.known) = (report.tests, report.measured, report.known);
                // A test program that fails without a failed test has not told all.
                if *status != 0 && !row.tests.iter().any(results::Test::has_failed) {
                    row.fault = Some(format!("exit status {status} of the test program"));
                }
            }
            Err(error) => row.fault = Some(format!("exit status {status}; {error:#}")),
        },
    }
    match results::read_instructions(&outcome.files.join(INSTRUCTIONS)) {
        Ok(instructions) => row.instructions = instructions,
        Err(error) => row.fault = row.fault.or(Some(format!("{error:#}"))),
    }
    row
}

/// The outcomes that the last guest of a kernel told without coming to an end.
fn told_until_now(dir: &Path, kernel: &str) -> Vec<results::Test> {
    let output = fs::read(run_folder(dir, kernel).join(OUTPUT)).unwrap_or_default();
    lines::of_unfinished(&String::from_utf8_lossy(&output))
}

/// Seconds as they are written down.
fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

fn file_name(path: &Path) -> Result<&str> {
    path.file_name().and_then(|name| name.to_str()).with_context(|| format!("{} is no file", path.display()))
}
