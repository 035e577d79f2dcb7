//! The memory lines of `/proc/PID/status`.

/// Bytes of a process by where they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// In memory, pages from the pool of huge pages included.
    pub memory: u64,
    /// In swap.
    pub swap: u64,
    /// In mappings that are locked, resident or not.
    pub locked: u64,
    /// Size of the address space.
    pub virtual_size: u64,
}

/// Reads the text of `status`; `None` for what has no memory, a kernel thread or a zombie.
#[must_use]
pub fn parse_resident(text: &[u8]) -> Option<Resident> {
    let mut found = Resident::default();
    let mut has_memory = false;
    for line in text.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let field = match name {
            b"VmSize" => &mut found.virtual_size,
            b"VmLck" => &mut found.locked,
            b"VmRSS" => &mut found.memory,
            b"VmSwap" => &mut found.swap,
            b"HugetlbPages" => &mut found.memory,
            _ => continue,
        };
        let digits = value.trim_ascii_start().strip_prefix(b":").unwrap_or(value).trim_ascii();
        let Some(digits) = digits.strip_suffix(b" kB") else { continue };
        let kib = std::str::from_utf8(digits.trim_ascii()).ok().and_then(|digits| digits.parse::<u64>().ok());
        *field = field.saturating_add(kib.unwrap_or(0).saturating_mul(1024));
        has_memory |= name == b"VmSize";
    }
    has_memory.then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_are_found_by_name() {
        let text = b"Name:\tx\nVmSize:\t    4096 kB\nVmLck:\t 8 kB\nVmRSS:\t 12 kB\nVmSwap:\t 4 kB\nHugetlbPages:\t 2048 kB\n";
        let expected =
            Resident { memory: 2060 << 10, swap: 4 << 10, locked: 8 << 10, virtual_size: 4096 << 10 };
        assert_eq!(parse_resident(text), Some(expected));
        assert_eq!(parse_resident(b"Name:\tkthreadd\nThreads:\t1\n"), None);
    }
}
