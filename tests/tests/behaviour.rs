//! Runs every behaviour test; `--help` tells how to choose among them.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::Arguments;
use memwatch_tests::cases;
use memwatch_tests::report::Report;

#[expect(clippy::print_stdout, reason = "the run's outcome is what this program is for")]
fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let report = Arc::new(Report::default());
    let trials = cases::all().map(|case| case.trial(Arc::clone(&report))).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        println!("{}", report.summary());
        report.write()?;
    }
    Ok(conclusion.exit_code())
}
