//! `/proc/PID/status`: thread group, parent, real user, the ids in nested pid namespaces, and sizes.

use super::ParseError;
use super::number::{decimal, decimal_u32};

/// What is kept of `/proc/PID/status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Process id: the thread group that the file's owner belongs to.
    pub tgid: u32,
    /// The parent's process id; 0 when it is outside the pid namespace.
    pub parent_pid: u32,
    /// Real user id.
    pub uid: u32,
    /// Ids of the thread from the reader's pid namespace inwards; empty when the line is missing (a kernel without pid
    /// namespaces, or a text that was cut behind a long list of groups).
    pub namespace_pids: Vec<u32>,
    /// Slots of the kernel's own descriptor table; `None` for a zombie.
    pub fd_slots: Option<u64>,
    /// Bytes of private, writable memory, stack excluded (`VmData`); `None` for a kernel thread and a zombie.
    pub data_bytes: Option<u64>,
}

/// Reads the text of `/proc/PID/status`.
///
/// A name cannot forge a line: the kernel escapes newlines in it here (`proc_task_name` of fs/proc/array.c, 6.18).
/// Of a line that stands there twice, the first counts.
///
/// # Errors
/// When `Tgid`, `PPid` or `Uid` is missing, or a field is not a number.
pub fn parse_status(text: &[u8]) -> Result<Status, ParseError> {
    Ok(Status {
        tgid: first_number(text, "Tgid")?,
        parent_pid: first_number(text, "PPid")?,
        uid: first_number(text, "Uid")?,
        namespace_pids: match line(text, "NSpid") {
            None => Vec::new(),
            Some(ids) => words(ids)
                .map(|id| decimal_u32(id).ok_or(ParseError::NotANumber { file: "status", field: "NSpid" }))
                .collect::<Result<_, _>>()?,
        },
        fd_slots: size(text, "FDSize")?,
        data_bytes: size(text, "VmData")?.map(|kib| kib.saturating_mul(1024)),
    })
}

/// A field that not every process has.
fn size(text: &[u8], field: &'static str) -> Result<Option<u64>, ParseError> {
    let Some(word) = line(text, field).and_then(|line| words(line).next()) else { return Ok(None) };
    decimal(word).map(Some).ok_or(ParseError::NotANumber { file: "status", field })
}

fn first_number(text: &[u8], field: &'static str) -> Result<u32, ParseError> {
    let missing = ParseError::Missing { file: "status", field };
    let word = words(line(text, field).ok_or(missing)?).next().ok_or(missing)?;
    decimal_u32(word).ok_or(ParseError::NotANumber { file: "status", field })
}

/// What follows `name:` on its line.
fn line<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_by_name() {
        let text =
            b"Name:\tPPid:\\n\nState:\tR (running)\nTgid:\t80\nPid:\t81\nPPid:\t79\nUid:\t1000\t0\t0\t0\n\
            Gid:\t5\t5\t5\t5\nFDSize:\t256\nGroups:\t \nNStgid:\t80\t7\nNSpid:\t81\t8\nVmData:\t     204 kB\n";
        let status = parse_status(text).unwrap();
        let sizes = (Some(256), Some(204 << 10));
        assert_eq!((status.tgid, status.parent_pid, status.uid), (80, 79, 1000));
        assert_eq!((status.namespace_pids, (status.fd_slots, status.data_bytes)), (vec![81, 8], sizes));
    }

    #[test]
    fn a_missing_or_odd_field_is_named() {
        assert_eq!(
            parse_status(b"Tgid:\t1\nUid:\t0\n"),
            Err(ParseError::Missing { file: "status", field: "PPid" })
        );
        assert_eq!(
            parse_status(b"Tgid:\t1\nPPid:\t0\nUid:\t-1\n"),
            Err(ParseError::NotANumber { file: "status", field: "Uid" })
        );
        let least = parse_status(b"Tgid:\t1\nPPid:\t0\nUid:\t0\n").unwrap();
        assert!(least.namespace_pids.is_empty() && least.fd_slots.is_none() && least.data_bytes.is_none());
    }
}
