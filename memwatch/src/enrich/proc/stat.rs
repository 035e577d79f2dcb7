//! `/proc/PID/stat`: name, parent and start of a process.

use super::ParseError;
use super::number::{decimal, decimal_u32};
use crate::core::fact::ProcessKey;

/// `PF_KTHREAD` of include/linux/sched.h, the same since 2.6.27.
const KERNEL_THREAD: u64 = 0x0020_0000;
/// `PF_EXITING` of include/linux/sched.h, the same since 2.6.12.
const EXITING: u64 = 0x4;

/// What is kept of `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Process id in the pid namespace of that `/proc`.
    pub pid: u32,
    /// Name of the thread: any bytes, not escaped.
    pub comm: Vec<u8>,
    /// State as a letter (`R`, `S`, `Z`, …).
    pub state: u8,
    /// The parent's process id; 0 when it is outside the pid namespace.
    pub parent_pid: u32,
    /// Whether it is a thread of the kernel.
    pub is_kernel: bool,
    /// Start on the boot clock, rounded down to a clock tick, in nanoseconds.
    pub start_ns: u64,
}

/// As [`Stat`], with the name left in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatLine<'a> {
    /// As of [`Stat`].
    pub pid: u32,
    /// As of [`Stat`].
    pub comm: &'a [u8],
    /// As of [`Stat`].
    pub state: u8,
    /// As of [`Stat`].
    pub parent_pid: u32,
    /// As of [`Stat`].
    pub is_kernel: bool,
    /// Threads, those included that have ended and were not released.
    pub threads: u32,
    /// Whether the main thread is ending or has ended: it holds no memory any more, which other threads may.
    pub is_exiting: bool,
    /// As of [`Stat`].
    pub start_ns: u64,
}

impl StatLine<'_> {
    /// The process.
    #[must_use]
    pub const fn key(&self) -> ProcessKey {
        ProcessKey { tgid: self.pid, start_ns: self.start_ns }
    }

    /// Whether it has ended, or is ending, with all of its threads: no signal reaches it any more.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.is_exiting && self.threads <= 1
    }
}

/// Reads the text of `/proc/PID/stat`.
///
/// # Errors
/// When a field is missing or not a number.
pub fn parse_stat(text: &[u8]) -> Result<Stat, ParseError> {
    let StatLine { pid, comm, state, parent_pid, is_kernel, start_ns, .. } = scan_stat(text)?;
    Ok(Stat { pid, comm: comm.to_vec(), state, parent_pid, is_kernel, start_ns })
}

/// Reads the text of `/proc/PID/stat`, and makes no memory for it.
///
/// The name stands between the first `(` and the last `)`: it may hold parentheses, spaces and newlines of its own
/// (`do_task_stat` of fs/proc/array.c prints it unescaped, 6.18), and only numbers follow it.
///
/// # Errors
/// When a field is missing or not a number.
pub fn scan_stat(text: &[u8]) -> Result<StatLine<'_>, ParseError> {
    let missing = |field| ParseError::Missing { file: "stat", field };
    let not_a_number = |field| ParseError::NotANumber { file: "stat", field };

    let open = text.iter().position(|&byte| byte == b'(').ok_or(missing("comm"))?;
    let close = text.iter().rposition(|&byte| byte == b')').ok_or(missing("comm"))?;
    let pid = text.get(..open).unwrap_or_default().trim_ascii();
    let comm = text.get(open + 1..close).ok_or(missing("comm"))?;
    let rest = text.get(close + 1..).unwrap_or_default();

    let mut fields = rest.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let state = fields.next().and_then(|field| field.first()).copied().ok_or(missing("state"))?;
    let parent_pid = fields.next().ok_or(missing("ppid"))?;
    // flags is field 9 of proc(5), ppid is field 4: 4 stand in between. num_threads is field 20, starttime 22.
    let flags = fields.nth(4).ok_or(missing("flags"))?;
    let threads = fields.nth(10).ok_or(missing("num_threads"))?;
    let start_ticks = fields.nth(1).ok_or(missing("starttime"))?;
    let flags = decimal(flags).ok_or(not_a_number("flags"))?;

    Ok(StatLine {
        pid: decimal_u32(pid).ok_or(not_a_number("pid"))?,
        comm,
        state,
        parent_pid: decimal_u32(parent_pid).ok_or(not_a_number("ppid"))?,
        is_kernel: flags & KERNEL_THREAD != 0,
        threads: decimal_u32(threads).ok_or(not_a_number("num_threads"))?,
        is_exiting: flags & EXITING != 0 || matches!(state, b'Z' | b'X' | b'x'),
        start_ns: decimal(start_ticks)
            .and_then(|ticks| ticks.checked_mul(ProcessKey::TICK_NS))
            .ok_or(not_a_number("starttime"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: &str = "S 976 76 4219 0 -1 41 1 2 3 4 5 6 7 8 20 0 1 0 130977 3133440 407 1844674407370";

    #[test]
    fn a_name_may_hold_anything() {
        let names = [
            &b"cat"[..],
            b"",
            b"a b",
            b") S 1 (",
            b"((",
            b"))",
            b"a\n1 (x) R 1",
            b"\xff\xfe\x1b[31m",
            b"x\\",
        ];
        for name in names {
            let text = [b"42 (", name, b") ", NUMBERS.as_bytes(), b"\n"].concat();
            let stat = parse_stat(&text).unwrap();
            assert_eq!(stat.comm, name);
            assert_eq!((stat.pid, stat.state, stat.parent_pid), (42, b'S', 976));
            assert_eq!((stat.start_ns, stat.is_kernel), (1_309_770_000_000, false));
        }
    }

    #[test]
    fn a_thread_of_the_kernel_is_known_by_its_flag() {
        let text = format!("2 (kthreadd) {}", NUMBERS.replace(" 41 ", " 2129984 "));
        assert!(parse_stat(text.as_bytes()).unwrap().is_kernel);
    }

    #[test]
    fn a_process_has_ended_with_the_last_of_its_threads() {
        let ended = |numbers: &str| scan_stat(format!("42 (x) {numbers}").as_bytes()).unwrap().has_ended();
        assert!(!ended(NUMBERS));
        let zombie = NUMBERS.replacen('S', "Z", 1);
        assert!(ended(&zombie));
        assert!(!ended(&zombie.replace("20 0 1 0", "20 0 2 0")), "another thread lives");
        // PF_EXITING: its memory goes while its state is still that of one that runs.
        assert!(ended(&NUMBERS.replace(" 41 ", " 45 ")));
        assert!(!ended(&NUMBERS.replace(" 41 ", " 45 ").replace("20 0 1 0", "20 0 2 0")));
    }

    #[test]
    fn a_cut_text_names_the_field_that_is_missing() {
        let missing = |field| Err(ParseError::Missing { file: "stat", field });
        assert_eq!(parse_stat(b""), missing("comm"));
        assert_eq!(parse_stat(b"1 )x("), missing("comm"));
        assert_eq!(parse_stat(b"1 (x)"), missing("state"));
        assert_eq!(parse_stat(b"1 (x) S 1 2 3"), missing("flags"));
        assert_eq!(parse_stat(b"1 (x) S 1 2 3 4 5 6 7 8"), missing("num_threads"));
        assert_eq!(parse_stat(b"1 (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"), missing("starttime"));
        assert_eq!(
            parse_stat(format!("1 (x) {}", NUMBERS.replace("130977", "99999999999999999999")).as_bytes()),
            Err(ParseError::NotANumber { file: "stat", field: "starttime" })
        );
    }
}
