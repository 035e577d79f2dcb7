//! What a thread waits in, from `/proc/PID/task/TID/syscall`.

/// A system call that a thread sleeps in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// `accept(2)` on this descriptor.
    Accept(u32),
    /// `epoll_wait(2)` on this descriptor.
    Epoll(u32),
    /// `poll(2)`: `struct pollfd` at an address, how many.
    Poll(u64, u64),
    /// `select(2)`: the set of descriptors to read from at an address, how many bits of it count.
    Select(u64, u64),
    /// For a lock, a time or a signal: at rest, as the threads of an idle pool and who waits for its turn to accept.
    Rest,
    /// In something else: on a CPU, at a file, at another's answer.
    Other,
}

/// Reads the text of `syscall`; `None` when it cannot be told what the thread does: a 32-bit program, whose calls have other
/// numbers, or a call that was begun anew after a stop.
#[cfg(target_arch = "x86_64")]
pub(super) fn parse_wait(text: &[u8]) -> Option<Wait> {
    let mut words = text.trim_ascii().split(|&byte| byte == b' ');
    // `running`, or -1 for a thread that sleeps outside of a system call: in a page fault.
    let Some(number) = words.next().and_then(super::decimal) else { return Some(Wait::Other) };
    let mut numbers = [0; 7];
    for place in &mut numbers {
        *place = hexadecimal(words.next()?)?;
    }
    let [first, second, _, _, _, _, stack] = numbers;
    if stack <= u64::from(u32::MAX) {
        return None;
    }
    // Registers carry more than the argument: a descriptor is their lower half.
    let fd = first as u32;
    Some(match i64::try_from(number).ok()? {
        libc::SYS_accept | libc::SYS_accept4 => Wait::Accept(fd),
        libc::SYS_epoll_wait | libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => Wait::Epoll(fd),
        libc::SYS_poll | libc::SYS_ppoll => Wait::Poll(first, second & u64::from(u32::MAX)),
        libc::SYS_select | libc::SYS_pselect6 => Wait::Select(second, u64::from(fd)),
        libc::SYS_futex
        | libc::SYS_futex_waitv
        | libc::SYS_nanosleep
        | libc::SYS_clock_nanosleep
        | libc::SYS_pause
        | libc::SYS_rt_sigtimedwait
        | libc::SYS_rt_sigsuspend
        | libc::SYS_semop
        | libc::SYS_semtimedop
        | libc::SYS_flock => Wait::Rest,
        libc::SYS_fcntl if second as i32 == libc::F_SETLKW => Wait::Rest,
        libc::SYS_restart_syscall => return None,
        _ => Wait::Other,
    })
}

/// Numbers of system calls are those of x86-64: elsewhere nothing is told.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn parse_wait(_: &[u8]) -> Option<Wait> {
    None
}

fn hexadecimal(word: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(word.strip_prefix(b"0x")?).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_by_number_and_argument() {
        let tail = "0x0 0x0 0x0 0x0 0x7ffc00000000 0x7f0000000000\n";
        for (head, wait) in [
            ("43 0x3 0x0", Some(Wait::Accept(3))),
            ("288 0xffffffff00000003 0x0", Some(Wait::Accept(3))),
            ("232 0x5 0x7ffc00000010", Some(Wait::Epoll(5))),
            ("7 0x7f0000001000 0x2", Some(Wait::Poll(0x7f00_0000_1000, 2))),
            ("270 0x8 0x7f0000001000", Some(Wait::Select(0x7f00_0000_1000, 8))),
            ("202 0x7f0000001000 0x80", Some(Wait::Rest)),
            ("72 0x4 0x7", Some(Wait::Rest)),
            ("72 0x4 0x1", Some(Wait::Other)),
            ("0 0x4 0x1", Some(Wait::Other)),
            ("219 0x4 0x1", None),
            ("43 x 0x1", None),
        ] {
            assert_eq!(parse_wait(format!("{head} {tail}").as_bytes()), wait, "{head}");
        }
        assert_eq!(parse_wait(b"running\n"), Some(Wait::Other));
        assert_eq!(parse_wait(b"-1 0x7ffc00000000 0x7f0000000000\n"), Some(Wait::Other));
        assert_eq!(parse_wait(b""), Some(Wait::Other));
        assert_eq!(parse_wait(b"102 0x5 0x0 0x0 0x0 0x0 0x0 0xff800000 0xf7f00000\n"), None);
        assert_eq!(parse_wait(b"43 0x3\n"), None);
    }
}
