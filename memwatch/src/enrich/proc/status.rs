//! `/proc/PID/status`: thread group, parent, real user and the ids in nested pid namespaces.

use super::ParseError;
use super::number::decimal_u32;

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
}

/// Reads the text of `/proc/PID/status`.
///
/// A name cannot forge a line: the kernel escapes newlines in it here (`proc_task_name` of fs/proc/array.c, 6.18).
/// Of a line that stands there twice, the first counts.
///
/// # Errors
/// When `Tgid`, `PPid` or `Uid` is missing or not a number.
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
    })
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
            Gid:\t5\t5\t5\t5\nGroups:\t \nNStgid:\t80\t7\nNSpid:\t81\t8\n";
        let status = parse_status(text).unwrap();
        assert_eq!(status, Status { tgid: 80, parent_pid: 79, uid: 1000, namespace_pids: vec![81, 8] });
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
        assert!(parse_status(b"Tgid:\t1\nPPid:\t0\nUid:\t0\n").unwrap().namespace_pids.is_empty());
    }
}
