//! Names of the numbers that a finding speaks of.

/// Names of the signals that end programs, in parentheses after their number.
pub(super) const fn signal_name(signal: u32) -> &'static str {
    match signal {
        6 => " (SIGABRT)",
        9 => " (SIGKILL)",
        11 => " (SIGSEGV)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

/// The name of an error a request for memory ends in.
pub(super) fn errno(result: i64) -> String {
    match result {
        -12 => "ENOMEM".to_owned(),
        -11 => "EAGAIN".to_owned(),
        other => format!("errno {}", other.unsigned_abs()),
    }
}
