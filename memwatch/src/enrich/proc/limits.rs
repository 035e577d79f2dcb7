//! `/proc/PID/limits`: the resource limits of a process.

use super::ParseError;
use super::number::decimal;

/// Lines of the file in the order of the `RLIMIT_*` number (asm-generic; memwatch runs on no architecture with
/// another one), as `lnames` of fs/proc/base.c names them (6.18).
const NAMES: [&str; 16] = [
    "Max cpu time",
    "Max file size",
    "Max data size",
    "Max stack size",
    "Max core file size",
    "Max resident set",
    "Max processes",
    "Max open files",
    "Max locked memory",
    "Max address space",
    "Max file locks",
    "Max pending signals",
    "Max msgqueue size",
    "Max nice priority",
    "Max realtime priority",
    "Max realtime timeout",
];

/// One limit, in the unit of its resource; `u64::MAX` is unlimited (`RLIM_INFINITY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What applies now.
    pub soft: u64,
    /// What `soft` may be raised to.
    pub hard: u64,
}

/// The limits of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    by_resource: [Option<Limit>; NAMES.len()],
}

impl Limits {
    /// The limit of an `RLIMIT_*` number; `None` when the file did not hold it.
    #[must_use]
    pub fn get(&self, resource: u32) -> Option<Limit> {
        usize::try_from(resource).ok().and_then(|at| self.by_resource.get(at)).copied().flatten()
    }
}

/// Reads the text of `/proc/PID/limits`. Lines of unknown resources are passed over.
///
/// # Errors
/// When a known line lacks a value or holds something that is no limit.
pub fn parse_limits(text: &[u8]) -> Result<Limits, ParseError> {
    let mut limits = Limits::default();
    for line in text.split(|&byte| byte == b'\n') {
        for (field, limit) in NAMES.into_iter().zip(&mut limits.by_resource) {
            let Some(values) = line.strip_prefix(field.as_bytes()) else { continue };
            let mut values =
                values.split(u8::is_ascii_whitespace).filter(|value| !value.is_empty()).map(value);
            let mut next = || {
                let value = values.next().ok_or(ParseError::Missing { file: "limits", field })?;
                value.ok_or(ParseError::NotANumber { file: "limits", field })
            };
            *limit = Some(Limit { soft: next()?, hard: next()? });
        }
    }
    Ok(limits)
}

fn value(text: &[u8]) -> Option<u64> {
    if text == b"unlimited" { Some(u64::MAX) } else { decimal(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_found_by_number() {
        let text = b"Limit                     Soft Limit           Hard Limit           Units     \n\
            Max cpu time              unlimited            unlimited            seconds   \n\
            Max open files            1024                 1073741816           files     \n\
            Max nice priority         0                    0                    \n";
        let limits = parse_limits(text).unwrap();
        assert_eq!(limits.get(libc::RLIMIT_NOFILE), Some(Limit { soft: 1024, hard: 1_073_741_816 }));
        assert_eq!(limits.get(libc::RLIMIT_CPU), Some(Limit { soft: u64::MAX, hard: u64::MAX }));
        assert_eq!(limits.get(libc::RLIMIT_NICE), Some(Limit { soft: 0, hard: 0 }));
        assert_eq!(limits.get(libc::RLIMIT_STACK), None);
        assert_eq!(limits.get(16), None);
        assert_eq!(limits.get(u32::MAX), None);
    }

    #[test]
    fn a_limit_that_is_none_is_named() {
        let refused = |text: &[u8]| parse_limits(text).unwrap_err();
        let field = "Max open files";
        assert_eq!(refused(b"Max open files 12"), ParseError::Missing { file: "limits", field });
        assert_eq!(refused(b"Max open files many 12"), ParseError::NotANumber { file: "limits", field });
    }
}
