//! The `memwatch` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    memwatch::sys::return_large_blocks();
    memwatch::cli::run()
}
