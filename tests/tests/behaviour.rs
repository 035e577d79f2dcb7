//! Runs every behaviour test; `--help` tells how to choose among them. `MEMWATCH_TEST_ONLY` may hold parts of names with
//! commas between them, where the command line takes one.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use libtest_mimic::Arguments;
use memwatch_tests::cases;
use memwatch_tests::report::Report;
use memwatch_tests::syscall::process::heed_interrupts;

#[expect(clippy::print_stdout, reason = "the run's outcome is what this program is for")]
fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    heed_interrupts().context("heed interrupts")?;
    let report = Arc::new(Report::default());
    let only = std::env::var("MEMWATCH_TEST_ONLY").unwrap_or_default();
    let parts: Vec<&str> = only.split(',').filter(|part| !part.is_empty()).collect();
    let chosen = |name: &str| parts.is_empty() || parts.iter().any(|part| name.contains(part));
    let cases = cases::all().filter(|case| chosen(case.name));
    let trials = cases.map(|case| case.trial(Arc::clone(&report))).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        println!("{}", report.summary());
    }
    Ok(conclusion.exit_code())
}
