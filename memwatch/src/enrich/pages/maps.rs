//! `/proc/PID/maps` and `/proc/PID/smaps`: the mappings of a process.

use std::ops::Range;

/// Kernel mappings whose pages belong to nobody.
const OF_THE_KERNEL: [&[u8]; 4] = [b"[vvar]", b"[vvar_vclock]", b"[vdso]", b"[vsyscall]"];

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its pages, by their number in the address space.
    pub pages: Range<u64>,
    /// Whether what is written is seen by others.
    pub is_shared: bool,
    /// Number of its first page in the file.
    pub file_page: u64,
    /// The device and inode number of its file; `None` without one.
    pub file: Option<(u64, u64)>,
    /// Path of the file as the kernel writes it, or a name in brackets: any bytes, newlines as `\012`.
    pub path: Vec<u8>,
}

/// Reads the text of `maps`, or of `smaps`, where those are kept that have something resident, swapped out or from the
/// pool of huge pages. Lines of another form are passed over, mappings of the kernel left out.
#[must_use]
pub fn parse_maps(text: &[u8], page_bytes: u64) -> Vec<Mapping> {
    let mut found: Vec<Mapping> = Vec::new();
    let mut is_open = false;
    let (mut has_counters, mut is_empty) = (false, true);
    for line in text.split(|&byte| byte == b'\n') {
        if let Some(mapping) = parse_line(line, page_bytes) {
            if is_open && has_counters && is_empty {
                found.pop();
            }
            (has_counters, is_empty) = (false, true);
            is_open = !OF_THE_KERNEL.contains(&mapping.path.as_slice());
            if is_open {
                found.push(mapping);
            }
        } else if let Some(kib) = counter(line) {
            has_counters = true;
            is_empty &= kib == b"0";
        }
    }
    if is_open && has_counters && is_empty {
        found.pop();
    }
    found
}

/// The number of a line of `smaps` that counts pages which are somewhere.
fn counter(line: &[u8]) -> Option<&[u8]> {
    let names: [&[u8]; 4] = [b"Rss:", b"Swap:", b"Shared_Hugetlb:", b"Private_Hugetlb:"];
    let rest = names.iter().find_map(|name| line.strip_prefix(*name))?;
    rest.trim_ascii().strip_suffix(b" kB")
}

/// `start-end rwxp offset major:minor inode   path`, see proc(5).
fn parse_line(line: &[u8], page_bytes: u64) -> Option<Mapping> {
    let mut rest = line;
    let mut word = || {
        let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
        let (word, tail) = rest.split_at_checked(end)?;
        rest = tail.get(1..).unwrap_or_default();
        Some(word)
    };
    let range = word()?;
    let dash = range.iter().position(|&byte| byte == b'-')?;
    let (start, end) = (hex(range.get(..dash)?)?, hex(range.get(dash + 1..)?)?);
    let is_shared = word()?.get(3)? == &b's';
    let offset = hex(word()?)?;
    let device = word()?;
    let colon = device.iter().position(|&byte| byte == b':')?;
    let device = hex(device.get(..colon)?)? << 32 | hex(device.get(colon + 1..)?)?;
    let inode = word()?.iter().try_fold(0_u64, |sum, &byte| match byte {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })?;
    Some(Mapping {
        pages: start / page_bytes..end / page_bytes,
        is_shared,
        file_page: offset / page_bytes,
        file: (inode != 0).then_some((device, inode)),
        path: rest.trim_ascii_start().to_vec(),
    })
}

fn hex(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 16 {
        return None;
    }
    text.iter().try_fold(0, |sum, &byte| Some(sum << 4 | u64::from(char::from(byte).to_digit(16)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_of_files_and_of_none() {
        let text = b"7f0000000000-7f0000003000 r--s 00002000 00:1a 42                         /dev/shm/an index (deleted)\n\
            7ffc00000000-7ffc00001000 rw-p 00000000 00:00 0                          [stack]\n\
            7ffd00000000-7ffd00001000 r--p 00000000 00:00 0                          [vvar]\n\
            8000-9000 rw-p 00000000 00:00 0 \njunk\n-\n";
        let mappings = parse_maps(text, 4096);
        assert_eq!(mappings.len(), 3);
        let index = Mapping {
            pages: 0x7_f000_0000..0x7_f000_0003,
            is_shared: true,
            file_page: 2,
            file: Some((0x1a, 42)),
            path: b"/dev/shm/an index (deleted)".to_vec(),
        };
        assert_eq!(mappings[0], index);
        assert_eq!((mappings[2].pages.clone(), mappings[2].file, mappings[2].path.len()), (8..9, None, 0));
    }

    #[test]
    fn empty_mappings_are_left_out_where_counters_are_given() {
        let text =
            b"1000-2000 rw-p 00000000 00:00 0 \nSize: 4 kB\nRss:                   0 kB\nSwap:   0 kB\n\
            2000-3000 rw-p 00000000 00:00 0 \nRss:    4 kB\nSwap:   0 kB\n\
            3000-4000 rw-p 00000000 00:00 0 \nRss:    0 kB\nPrivate_Hugetlb:   2048 kB\nVmFlags: rd wr\n\
            4000-5000 rw-p 00000000 00:00 0 \nRss:    0 kB\n";
        let starts: Vec<_> = parse_maps(text, 4096).into_iter().map(|it| it.pages.start).collect();
        assert_eq!(starts, [2, 3]);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_give_mappings_or_none(text: Vec<u8>) {
            let _ = parse_maps(&text, 4096);
        }
    }
}
