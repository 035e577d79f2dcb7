//! What the tasks tell the person at the terminal, on standard error: standard output belongs to memwatch.
#![expect(clippy::print_stderr, reason = "the one place where the tasks print")]

/// One line per step: what is done, and why.
pub(crate) fn step(message: &str) {
    eprintln!("xtask: {message}");
}

/// The error a task ends with, and what led to it.
pub(crate) fn failure(error: &anyhow::Error) {
    eprintln!("xtask: error: {error:#}");
}

/// A line of another program, as it is.
pub(crate) fn line(text: &str) {
    eprintln!("{text}");
}
