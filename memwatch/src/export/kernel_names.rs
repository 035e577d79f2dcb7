//! Names of the numbers that system calls take and return.

use std::io::Write;

/// Names of `RLIMIT_*` by number, lower case (include/uapi/asm-generic/resource.h).
const RESOURCES: [&str; 16] = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];

/// Name of a resource limit; `None` for a number the kernel does not have.
#[must_use]
pub fn resource(number: u32) -> Option<&'static str> {
    RESOURCES.get(number as usize).copied()
}

/// A bit and its name.
pub type Bit = (u32, &'static str);

/// `PROT_*` bits (include/uapi/asm-generic/mman-common.h).
pub const PROT: &[Bit] =
    &[(0x1, "PROT_READ"), (0x2, "PROT_WRITE"), (0x4, "PROT_EXEC"), (0x0100_0000, "PROT_GROWSDOWN")];

/// `MAP_*` bits. The two low ones are a type, so `MAP_SHARED_VALIDATE` comes before its parts.
pub const MAP: &[Bit] = &[
    (0x03, "MAP_SHARED_VALIDATE"),
    (0x01, "MAP_SHARED"),
    (0x02, "MAP_PRIVATE"),
    (0x10, "MAP_FIXED"),
    (0x20, "MAP_ANONYMOUS"),
    (0x100, "MAP_GROWSDOWN"),
    (0x800, "MAP_DENYWRITE"),
    (0x1000, "MAP_EXECUTABLE"),
    (0x2000, "MAP_LOCKED"),
    (0x4000, "MAP_NORESERVE"),
    (0x8000, "MAP_POPULATE"),
    (0x1_0000, "MAP_NONBLOCK"),
    (0x2_0000, "MAP_STACK"),
    (0x4_0000, "MAP_HUGETLB"),
    (0x8_0000, "MAP_SYNC"),
    (0x10_0000, "MAP_FIXED_NOREPLACE"),
];

/// `MREMAP_*` bits (include/uapi/linux/mman.h).
pub const MREMAP: &[Bit] = &[(1, "MREMAP_MAYMOVE"), (2, "MREMAP_FIXED"), (4, "MREMAP_DONTUNMAP")];

/// Appends the names of the bits that are set, joined by `|`, and what has no name as one number. `none` stands for 0.
pub fn push_bits(bits: u32, names: &[Bit], none: &str, out: &mut Vec<u8>) {
    let mut left = bits;
    let mut first = true;
    for &(mask, name) in names {
        if left & mask == mask {
            left &= !mask;
            if !std::mem::take(&mut first) {
                out.push(b'|');
            }
            out.extend_from_slice(name.as_bytes());
        }
    }
    if left != 0 {
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{}{left:#x}", if first { "" } else { "|" });
    } else if first {
        out.extend_from_slice(none.as_bytes());
    }
}

/// Name of the error in a system call's result; `None` when the call succeeded or the error has no name here.
#[must_use]
pub fn errno(result: i64) -> Option<&'static str> {
    Some(match i32::try_from(result.checked_neg()?).ok()? {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::ESRCH => "ESRCH",
        libc::EINTR => "EINTR",
        libc::EIO => "EIO",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::EEXIST => "EEXIST",
        libc::ENODEV => "ENODEV",
        libc::EINVAL => "EINVAL",
        libc::ENFILE => "ENFILE",
        libc::EMFILE => "EMFILE",
        libc::ETXTBSY => "ETXTBSY",
        libc::ENOSPC => "ENOSPC",
        libc::ENOSYS => "ENOSYS",
        libc::EOVERFLOW => "EOVERFLOW",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        _ => return None,
    })
}

/// Whether a system call's result is an error (include/linux/err.h: the last 4095 values).
#[must_use]
pub const fn is_error(result: i64) -> bool {
    result < 0 && result >= -4095
}

/// Name of a signal; `None` for real-time signals and numbers that are none.
#[must_use]
pub fn signal(number: u32) -> Option<&'static str> {
    Some(match i32::try_from(number).ok()? {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGSTKFLT => "SIGSTKFLT",
        libc::SIGCHLD => "SIGCHLD",
        libc::SIGCONT => "SIGCONT",
        libc::SIGSTOP => "SIGSTOP",
        libc::SIGTSTP => "SIGTSTP",
        libc::SIGTTIN => "SIGTTIN",
        libc::SIGTTOU => "SIGTTOU",
        libc::SIGURG => "SIGURG",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGVTALRM => "SIGVTALRM",
        libc::SIGPROF => "SIGPROF",
        libc::SIGWINCH => "SIGWINCH",
        libc::SIGIO => "SIGIO",
        libc::SIGPWR => "SIGPWR",
        libc::SIGSYS => "SIGSYS",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(value: u32, names: &[Bit]) -> String {
        let mut out = Vec::new();
        push_bits(value, names, "PROT_NONE", &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn bits_in_words() {
        assert_eq!(bits(3, PROT), "PROT_READ|PROT_WRITE");
        assert_eq!(bits(0, PROT), "PROT_NONE");
        assert_eq!(bits(0x22, MAP), "MAP_PRIVATE|MAP_ANONYMOUS");
        assert_eq!(bits(0x8000_0022, MAP), "MAP_PRIVATE|MAP_ANONYMOUS|0x80000000");
        assert_eq!(bits(0x40, PROT), "0x40");
    }

    #[test]
    fn results() {
        assert_eq!(errno(-12), Some("ENOMEM"));
        assert_eq!(errno(0), None);
        assert_eq!(errno(i64::MIN), None);
        assert!(is_error(-4095) && !is_error(-4096) && !is_error(0));
        assert_eq!(signal(9), Some("SIGKILL"));
        assert_eq!(signal(u32::MAX), None);
        assert_eq!((resource(7), resource(16)), (Some("nofile"), None));
    }
}
