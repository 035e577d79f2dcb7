//! `/proc/PID/maps` and `/proc/PID/smaps`, line by line: the areas of an address space and what is resident of them.

use super::ParseError;
use super::number::decimal;

/// One area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// Whether it may be written to.
    pub is_writable: bool,
    /// Whether writes stay with the process.
    pub is_private: bool,
    /// Inode of the file behind it; 0 without one.
    pub inode: u64,
    /// Path or name: any bytes, a newline as `\012`. Empty for unnamed memory.
    pub name: &'a [u8],
}

impl Mapping<'_> {
    /// Whether it is the heap that `brk` moves.
    #[must_use]
    pub fn is_heap(&self) -> bool {
        self.inode == 0 && self.name == b"[heap]"
    }

    /// Whether it is memory that the program asked for and may write to, without a file and not its first stack. Such
    /// memory may bear a name that the program chose (`PR_SET_VMA_ANON_NAME`).
    #[must_use]
    pub fn is_private_memory(&self) -> bool {
        let is_anonymous = self.name.is_empty() || self.name.starts_with(b"[anon:") || self.is_heap();
        self.is_writable && self.is_private && self.inode == 0 && is_anonymous
    }
}

/// A line of `smaps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmapsLine<'a> {
    /// An area; the lines that follow are about it.
    Mapping(Mapping<'a>),
    /// `Rss`, in bytes.
    Resident(u64),
    /// `Swap`, in bytes.
    Swapped(u64),
    /// `VmFlags`, the last line of an area, and whether `nr` (`VM_NORESERVE`) is among them.
    Flags {
        /// Whether the area does not reserve memory.
        is_noreserve: bool,
    },
    /// One of the others.
    Other,
}

/// Reads a line of `maps`, without its newline (`show_map_vma` of fs/proc/task_mmu.c, 6.18).
///
/// # Errors
/// When a field is missing or not a number, or the area ends before it starts.
pub fn parse_mapping(line: &[u8]) -> Result<Mapping<'_>, ParseError> {
    let missing = |field| ParseError::Missing { file: "maps", field };
    let not_a_number = |field| ParseError::NotANumber { file: "maps", field };
    let mut rest = line;
    let (range, flags) = (word(&mut rest), word(&mut rest));
    let (_offset, _device, inode) = (word(&mut rest), word(&mut rest), word(&mut rest));

    let dash = memchr::memchr(b'-', range).ok_or(missing("range"))?;
    let start = hexadecimal(range.get(..dash).unwrap_or_default()).ok_or(not_a_number("range"))?;
    let end = hexadecimal(range.get(dash + 1..).unwrap_or_default()).ok_or(not_a_number("range"))?;
    let &[_, write, _, share, ..] = flags else { return Err(missing("flags")) };
    if inode.is_empty() {
        return Err(missing("inode"));
    }
    Ok(Mapping {
        start,
        length: end.checked_sub(start).ok_or(not_a_number("range"))?,
        is_writable: write == b'w',
        is_private: share == b'p',
        inode: decimal(inode).ok_or(not_a_number("inode"))?,
        name: rest.trim_ascii_start(),
    })
}

/// Reads a line of `smaps`, without its newline (`show_smap` of fs/proc/task_mmu.c, 6.18).
///
/// Keys start with a capital, areas with a digit of an address; so a name cannot forge a key.
///
/// # Errors
/// When an area or one of the sizes that are kept is not understood.
pub fn parse_smaps_line(line: &[u8]) -> Result<SmapsLine<'_>, ParseError> {
    let size = |field, text: &[u8]| {
        let number = text.strip_suffix(b" kB").and_then(|number| decimal(number.trim_ascii()));
        let bytes = number.and_then(|kib| kib.checked_mul(1024));
        bytes.ok_or(ParseError::NotANumber { file: "smaps", field })
    };
    if !line.first().is_some_and(u8::is_ascii_uppercase) {
        return parse_mapping(line).map(SmapsLine::Mapping);
    }
    let colon = memchr::memchr(b':', line).ok_or(ParseError::Missing { file: "smaps", field: "colon" })?;
    let (key, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 1..).unwrap_or_default());
    Ok(match key {
        b"Rss" => SmapsLine::Resident(size("Rss", value)?),
        b"Swap" => SmapsLine::Swapped(size("Swap", value)?),
        b"VmFlags" => {
            SmapsLine::Flags { is_noreserve: value.split(|&byte| byte == b' ').any(|flag| flag == b"nr") }
        }
        _ => SmapsLine::Other,
    })
}

/// Takes the next word off a line.
fn word<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = memchr::memchr(b' ', rest).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    word
}

fn hexadecimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 16 {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, &byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(sum << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_private_memory(line: &str) -> bool {
        parse_mapping(line.as_bytes()).unwrap().is_private_memory()
    }

    #[test]
    fn an_area_and_its_name() {
        let line = b"7f0000000000-7f0200000000 rw-p 00000000 00:00 0 ";
        let area = parse_mapping(line).unwrap();
        assert_eq!((area.start, area.length), (0x7f00_0000_0000, 8 << 30));
        assert!(area.name.is_empty() && area.is_private_memory());
        let line = b"55d5-66d5 r-xp 00001000 fe:00 12345                      /tmp/a b\\012c (deleted)";
        let area = parse_mapping(line).unwrap();
        assert_eq!((area.name, area.inode), (&b"/tmp/a b\\012c (deleted)"[..], 12_345));
    }

    #[test]
    fn memory_that_a_program_asked_for() {
        assert!(is_private_memory("1000-2000 rw-p 0 00:00 0    [heap]"));
        assert!(is_private_memory("1000-2000 rw-p 0 00:00 0    [anon: glibc: malloc]"));
        assert!(is_private_memory("1000-2000 rw-p 0 00:00 0    [anon:[stack]]"));
        for line in [
            "1000-2000 rw-p 0 00:00 0    [stack]",
            "1000-2000 rw-s 0 00:01 7    /dev/zero (deleted)",
            "1000-2000 rw-s 0 00:00 0",
            "1000-2000 ---p 0 00:00 0",
            "1000-2000 r--p 0 00:00 0    [vvar]",
            "1000-2000 rw-p 0 fe:00 9    [heap]",
            "1000-2000 rw-p 0 fe:00 9    /lib/x",
        ] {
            assert!(!is_private_memory(line), "{line}");
        }
    }

    #[test]
    fn lines_of_smaps() {
        for (line, is) in [
            ("Rss:             8388608 kB", SmapsLine::Resident(8 << 30)),
            ("Swap:                  4 kB", SmapsLine::Swapped(4096)),
            ("SwapPss:               4 kB", SmapsLine::Other),
            ("THPeligible:           1", SmapsLine::Other),
            ("VmFlags: rd wr mr mw me nr sd ", SmapsLine::Flags { is_noreserve: true }),
            ("VmFlags: rd wr", SmapsLine::Flags { is_noreserve: false }),
        ] {
            assert_eq!(parse_smaps_line(line.as_bytes()), Ok(is), "{line}");
        }
        let area = parse_smaps_line(b"f000-ffff rw-p 0 00:00 0   Rss: 1 kB").unwrap();
        assert!(matches!(area, SmapsLine::Mapping(area) if area.name == b"Rss: 1 kB"));
    }

    #[test]
    fn what_is_no_line_is_named() {
        let refused = |line: &str| parse_mapping(line.as_bytes()).unwrap_err();
        let missing = |field| ParseError::Missing { file: "maps", field };
        let range = ParseError::NotANumber { file: "maps", field: "range" };
        assert_eq!(refused(""), missing("range"));
        assert_eq!(refused("1000 rw-p 0 0 0"), missing("range"));
        assert_eq!(refused("2000-1000 rw-p 0 0 0"), range);
        assert_eq!(refused("10000000000000000-20000000000000000 rw-p 0 0 0"), range);
        assert_eq!(refused("G-H rw-p 0 0 0"), range);
        assert_eq!(refused("1-2 rw"), missing("flags"));
        assert_eq!(refused("1-2 rw-p 0 0"), missing("inode"));
        assert_eq!(refused("1-2 rw-p 0 0 x"), ParseError::NotANumber { file: "maps", field: "inode" });
        for line in ["Rss: many kB", "Rss: 1", "Swap: 18446744073709551615 kB", "Noise"] {
            assert!(parse_smaps_line(line.as_bytes()).is_err(), "{line}");
        }
    }
}
