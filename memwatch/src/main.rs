//! The `memwatch` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    memwatch::cli::run()
}
