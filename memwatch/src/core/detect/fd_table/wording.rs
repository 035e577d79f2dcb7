//! Numbers as people read them.

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

/// Bytes for people: three digits and a binary unit.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub(super) fn bytes(count: u64) -> String {
    let mut unit = "B";
    let mut scaled = count as f64;
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = larger;
    }
    let digits = if unit == "B" || scaled >= 100.0 {
        0
    } else if scaled >= 10.0 {
        1
    } else {
        2
    };
    format!("{scaled:.digits$} {unit}")
}

/// A span of time in the unit that fits it.
pub(super) fn duration(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} us", ns / 1_000),
        1_000_000..10_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}
