//! Runs every test that can run on this machine, and counts what passed, failed and was skipped.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, value_parser};

use crate::{Task, build, process, report, rootfs, vm};

mod receiver;
mod tally;

use tally::Tally;

pub(crate) const TASK: Task = Task {
    name: "test",
    about: "Run every test that can run on this machine (sets up what is missing)",
    arguments: |command| {
        command
            .arg(
                Arg::new("all-kernels")
                    .long("all-kernels")
                    .help("Then the behaviour tests, all or by the same names, in a guest of each kernel of the matrix (see `vm`); before ARGS")
                    .action(ArgAction::SetTrue),
            )
            .arg(
            Arg::new("args")
                .help("Names to select tests by, and options of the test harness, such as --nocapture")
                .value_name("ARGS")
                .num_args(..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString)),
        )
    },
    run: |matches| {
        let (names, options) = names_and_options(matches.get_many("args").into_iter().flatten().cloned());
        every(&names, &options)?;
        if matches.get_flag("all-kernels") { vm::test_all_kernels(&names) } else { Ok(()) }
    },
};

/// Names to select tests by, and options of the test harness.
fn names_and_options(args: impl Iterator<Item = OsString>) -> (Vec<OsString>, Vec<OsString>) {
    let is_name = |arg: &OsString| !arg.as_encoded_bytes().starts_with(b"-");
    let (mut names, mut options) = (Vec::new(), Vec::new());
    for arg in args {
        // What follows an option may be its value.
        if options.is_empty() && is_name(&arg) { names.push(arg) } else { options.push(arg) }
    }
    (names, options)
}

/// Builds the release binary and runs the tests of all packages; what selects goes to every test harness one name at a time, as not
/// every harness takes more.
fn every(names: &[OsString], options: &[OsString]) -> Result<()> {
    let names: Vec<_> = if names.is_empty() { vec![None] } else { names.iter().map(Some).collect() };
    let binary = build::release()?;
    let programs = real_programs();
    let receiver = receiver::ensure();
    let mut tally = Tally::default();
    let mut has_failed = false;
    for name in names {
        let mut command = harness(&binary, programs.as_deref(), receiver.as_deref());
        command.args(name).args(options);
        let before = tally.clone();
        has_failed |= !run(command, &mut tally)?;
        if let Some(name) = name.filter(|_| tally == before) {
            bail!("no test is called like {}: `cargo xtask test -- --list` names all", name.display());
        }
    }
    report::line(&tally.to_string());
    if has_failed {
        bail!("the tests did not pass: the failures are listed above, after each package's tests");
    }
    Ok(())
}

/// `cargo test` of all packages, without what selects among the tests.
fn harness(binary: &Path, programs: Option<&Path>, receiver: Option<&Path>) -> Command {
    // Tests that start memwatch start the very file that is released.
    let mut command = process::cargo();
    command
        .args(["test", "--workspace", "--locked", "--no-fail-fast", "--"])
        .env("MEMWATCH_BIN", binary)
        .stdout(Stdio::piped());
    if let Some(programs) = programs {
        command.env("MEMWATCH_ROOTFS", programs);
    }
    if let Some(receiver) = receiver {
        command.env("MEMWATCH_VICTORIA_METRICS", receiver);
    }
    command
}

/// Runs tests and adds up what they print; tells whether all passed.
fn run(mut command: Command, tally: &mut Tally) -> Result<bool> {
    let mut child = command.spawn().context("cannot run `cargo test`")?;
    for line in BufReader::new(child.stdout.take().context("`cargo test` has no output")?).split(b'\n') {
        let line = line.context("cannot read what the tests print")?;
        let line = String::from_utf8_lossy(&line);
        report::line(&line);
        tally.add(&line);
    }
    Ok(child.wait().context("cannot wait for `cargo test`")?.success())
}

/// The root file system with the real programs. Where it cannot be had the tests that need one are skipped, each with
/// that reason, and counted.
fn real_programs() -> Option<PathBuf> {
    let built = rootfs::lock().and_then(|_lock| rootfs::ensure(&rootfs::FULL));
    built
        .inspect_err(|error| {
            report::step(&format!(
                "tests with real programs will be skipped, their root file system is missing: {error:#}"
            ));
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_before_options() {
        let args = ["oom::", "life::", "--test-threads", "1"].map(OsString::from);
        let (names, options) = names_and_options(args.into_iter());
        assert_eq!(names, ["oom::", "life::"]);
        assert_eq!(options, ["--test-threads", "1"]);
    }
}
