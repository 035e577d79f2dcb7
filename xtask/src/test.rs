//! Runs every test that can run on this machine, and counts what passed, failed and was skipped.

use std::{
    ffi::OsString,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, value_parser};

use crate::{Task, build, process, report, rootfs, vm};

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
                    .help("Then every behaviour test in a guest of each kernel of the matrix (see `vm`); before ARGS")
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
        every(matches.get_many("args").into_iter().flatten().cloned())?;
        if matches.get_flag("all-kernels") { vm::test_all_kernels() } else { Ok(()) }
    },
};

/// Builds the release binary and runs the tests of all packages; `args` go to every test harness.
fn every(args: impl Iterator<Item = OsString>) -> Result<()> {
    let binary = build::release()?;
    let programs = real_programs();
    // Tests that start memwatch start the very file that is released.
    let mut command = process::cargo();
    command
        .args(["test", "--workspace", "--locked", "--no-fail-fast", "--"])
        .args(args)
        .env("MEMWATCH_BIN", &binary)
        .stdout(Stdio::piped());
    if let Some(programs) = programs {
        command.env("MEMWATCH_ROOTFS", programs);
    }
    let mut child = command.spawn().context("cannot run `cargo test`")?;
    let mut tally = Tally::default();
    for line in BufReader::new(child.stdout.take().context("`cargo test` has no output")?).split(b'\n') {
        let line = line.context("cannot read what the tests print")?;
        let line = String::from_utf8_lossy(&line);
        report::line(&line);
        tally.add(&line);
    }
    let status = child.wait().context("cannot wait for `cargo test`")?;
    report::line(&tally.to_string());
    if tally == Tally::default() {
        bail!("no test has such a name: `cargo xtask test -- --list` names all");
    }
    if !status.success() {
        bail!("the tests did not pass: the failures are listed above, after each package's tests");
    }
    Ok(())
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
