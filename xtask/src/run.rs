//! Builds memwatch and becomes it.

use std::{ffi::OsString, os::unix::process::CommandExt as _, process::Command};

use anyhow::Context as _;
use clap::{Arg, value_parser};

use crate::{Task, build, report};

pub(crate) const TASK: Task = Task {
    name: "run",
    about: "Build memwatch and run it: the live tracer, or what the arguments say (sets up what is missing)",
    arguments: |command| {
        command.arg(
            Arg::new("args")
                .help("memwatch's own arguments, after `--`; options alone, and none, are those of trace")
                .value_name("ARGS")
                .num_args(..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString)),
        )
    },
    run: |matches| {
        let given: Vec<OsString> = matches.get_many("args").into_iter().flatten().cloned().collect();
        let trace = names_no_subcommand(given.first()).then(|| OsString::from("trace"));
        let binary = build::release()?;
        report::step(&format!("starting {}", binary.display()));
        // Replaces this process, so that signals and the exit status are memwatch's.
        let error = Command::new(&binary).args(trace).args(given).exec();
        Err(error).with_context(|| format!("cannot start {}", binary.display()))
    },
};

/// Whether the first argument leaves open what memwatch is to do: it is missing, or an option of a subcommand's.
fn names_no_subcommand(first: Option<&OsString>) -> bool {
    first.is_none_or(|first| {
        first.as_encoded_bytes().starts_with(b"-")
            && !["-h", "--help", "-V", "--version"].iter().any(|own| first == own)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_alone_are_those_of_trace() {
        let is_trace = |first: &str| names_no_subcommand(Some(&first.into()));
        assert!(names_no_subcommand(None) && is_trace("--event") && is_trace("-o"));
        assert!(!is_trace("doctor") && !is_trace("--help") && !is_trace("-V"));
    }
}
