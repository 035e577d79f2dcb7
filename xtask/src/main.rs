//! The tasks of memwatch's developers and of its README: `cargo xtask <task>`.
//!
//! One task is one module and one row in [`TASKS`].

mod archive;
mod bench;
mod build;
mod docs;
mod lint;
mod manifests;
mod package;
mod process;
mod report;
mod rootfs;
mod run;
mod setup;
mod static_file;
mod test;
mod tool;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{ArgMatches, Command};

/// A task: how it is called, what it takes, what it does.
struct Task {
    name: &'static str,
    about: &'static str,
    arguments: fn(Command) -> Command,
    run: fn(&ArgMatches) -> anyhow::Result<()>,
}

/// Every task, in the order `--help` lists them.
const TASKS: [Task; 11] = [
    run::TASK,
    test::TASK,
    setup::TASK,
    build::TASK,
    lint::TASK,
    docs::TASK,
    package::TASK,
    manifests::TASK,
    rootfs::TASK,
    vm::TASK,
    bench::TASK,
];

fn main() -> ExitCode {
    let matches = command().get_matches();
    let Some((name, arguments)) = matches.subcommand() else { return ExitCode::FAILURE };
    let Some(task) = TASKS.iter().find(|task| task.name == name) else { return ExitCode::FAILURE };
    match (task.run)(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::failure(&error);
            ExitCode::FAILURE
        }
    }
}

/// The command line, as the table says.
fn command() -> Command {
    TASKS.iter().fold(
        Command::new("cargo xtask")
            .bin_name("cargo xtask")
            .about("Sets up, builds, runs and checks memwatch")
            .subcommand_required(true)
            .arg_required_else_help(true),
        |command, task| command.subcommand((task.arguments)(Command::new(task.name).about(task.about))),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_is_a_valid_command_line() {
        super::command().debug_assert();
    }
}
