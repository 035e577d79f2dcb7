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
                .help("memwatch's own arguments, after `--`; without any: trace")
                .value_name("ARGS")
                .num_args(..)
                .trailing_var_arg(true)
                .allow_hyphen_values(true)
                .value_parser(value_parser!(OsString)),
        )
    },
    run: |matches| {
        let given: Vec<OsString> = matches.get_many("args").into_iter().flatten().cloned().collect();
        let args = if given.is_empty() { vec!["trace".into()] } else { given };
        let binary = build::release()?;
        report::step(&format!("starting {}", binary.display()));
        // Replaces this process, so that signals and the exit status are memwatch's.
        let error = Command::new(&binary).args(args).exec();
        Err(error).with_context(|| format!("cannot start {}", binary.display()))
    },
};
