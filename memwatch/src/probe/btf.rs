//! The running kernel's types, as far as field offsets need them.
//!
//! In: the bytes of `/sys/kernel/btf/vmlinux` (format: Documentation/bpf/btf.rst). Out: offsets of struct members, sizes,
//! enum values, ids of functions. aya's own parser keeps tens of megabytes for the whole kernel and offers no
//! member offsets; the one maintained crate that does is under the LGPL, which one static file cannot honour simply.
//! Total: malformed bytes give `None` or an error, never a panic.

use std::path::Path;

/// Where the kernel publishes its types.
pub const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_TYPE_TAG: u32 = 18;
const KIND_ENUM64: u32 = 19;

/// Depth of nested anonymous structs and of type modifiers that is followed.
const DEPTH: u32 = 16;

/// Why the types could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BtfError {
    /// The file could not be read.
    #[error(
        "cannot read the kernel's types from {path}: {reason}; mount sysfs where it is not mounted (`mount -t sysfs sysfs /sys`), \
         else take a kernel with CONFIG_DEBUG_INFO_BTF=y"
    )]
    Read {
        /// The file.
        path: String,
        /// Why. Not the error's source: the message has it, and who prints a chain would say it twice.
        reason: std::io::Error,
    },
    /// The bytes are not BTF of this machine's byte order.
    #[error("the kernel's types are malformed: {0}")]
    Malformed(&'static str),
}

/// Parsed types.
#[derive(Debug)]
pub struct Btf {
    bytes: Vec<u8>,
    strings: usize,
    strings_end: usize,
    /// Place of each type; the type with id n is at n - 1.
    places: Vec<u32>,
}

/// A member: its offset in bytes and its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the outer struct.
    pub offset: u32,
    /// Id of the member's type.
    pub type_id: u32,
}

struct Type {
    name: u32,
    kind: u32,
    members: u32,
    size_or_type: u32,
    /// Place of what follows the fixed part.
    tail: usize,
}

impl Btf {
    /// Reads and indexes the types in a file.
    ///
    /// # Errors
    /// [`BtfError`] when the file cannot be read or does not hold BTF.
    pub fn read(path: &Path) -> Result<Self, BtfError> {
        let bytes = std::fs::read(path)
            .map_err(|reason| BtfError::Read { path: path.display().to_string(), reason })?;
        Self::parse(bytes)
    }

    /// Indexes types in memory.
    ///
    /// # Errors
    /// [`BtfError::Malformed`] when the bytes do not hold BTF.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, BtfError> {
        let u32_at = |place: usize| read_u32(&bytes, place).ok_or(BtfError::Malformed("truncated header"));
        let magic = bytes.first_chunk().map(|two| u16::from_ne_bytes(*two));
        if magic != Some(MAGIC) {
            return Err(BtfError::Malformed("wrong magic number"));
        }
        let header = u32_at(4)? as usize;
        let (types, types_len) = (u32_at(8)? as usize, u32_at(12)? as usize);
        let (strings, strings_len) = (u32_at(16)? as usize, u32_at(20)? as usize);
        let place = |offset: usize, len: usize| {
            let start = header.checked_add(offset)?;
            let end = start.checked_add(len)?;
            (end <= bytes.len()).then_some((start, end))
        };
        let (mut at, end) =
            place(types, types_len).ok_or(BtfError::Malformed("types lie outside the file"))?;
        let (strings, strings_end) =
            place(strings, strings_len).ok_or(BtfError::Malformed("strings lie outside the file"))?;
        let mut places = Vec::new();
        while at < end {
            let info = u32_at(at + 4)?;
            let kind = info >> 24 & 0x1f;
            let members = (info & 0xffff) as usize;
            let tail = match kind {
                1 | 14 | 17 => 4,
                KIND_ARRAY => 12,
                KIND_STRUCT | KIND_UNION | 15 | KIND_ENUM64 => members * 12,
                KIND_ENUM | KIND_FUNC_PROTO => members * 8,
                2 | 7..=12 | 16 | KIND_TYPE_TAG => 0,
                _ => return Err(BtfError::Malformed("a kind of type this program does not know")),
            };
            places.push(u32::try_from(at).map_err(|_| BtfError::Malformed("larger than 4 GiB"))?);
            at += 12 + tail;
        }
        Ok(Self { bytes, strings, strings_end, places })
    }

    fn get(&self, id: u32) -> Option<Type> {
        let at = *self.places.get(id.checked_sub(1)? as usize)? as usize;
        let info = read_u32(&self.bytes, at + 4)?;
        Some(Type {
            name: read_u32(&self.bytes, at)?,
            kind: info >> 24 & 0x1f,
            members: info & 0xffff,
            size_or_type: read_u32(&self.bytes, at + 8)?,
            tail: at + 12,
        })
    }

    fn name(&self, offset: u32) -> &[u8] {
        let start = self.strings.saturating_add(offset as usize).min(self.strings_end);
        let rest = self.bytes.get(start..self.strings_end).unwrap_or_default();
        rest.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Place of a string in the string section, where each stands once.
    fn string(&self, text: &str) -> Option<u32> {
        let strings = self.bytes.get(self.strings..self.strings_end)?;
        let framed = [b"\0", text.as_bytes(), b"\0"].concat();
        u32::try_from(memchr::memmem::find(strings, &framed)? + 1).ok()
    }

    /// Id of the first type with this name and one of these kinds.
    fn find(&self, name: &str, kinds: &[u32]) -> Option<u32> {
        let wanted = self.string(name)?;
        let at = self.places.iter().position(|place| {
            let place = *place as usize;
            read_u32(&self.bytes, place) == Some(wanted)
                && read_u32(&self.bytes, place + 4).is_some_and(|info| kinds.contains(&(info >> 24 & 0x1f)))
        })?;
        u32::try_from(at + 1).ok()
    }

    /// Follows typedefs and qualifiers.
    fn strip(&self, mut id: u32) -> Option<(u32, Type)> {
        for _ in 0..DEPTH {
            let found = self.get(id)?;
            if !matches!(
                found.kind,
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG
            ) {
                return Some((id, found));
            }
            id = found.size_or_type;
        }
        None
    }

    /// Size of a struct in bytes.
    #[must_use]
    pub fn size_of(&self, name: &str) -> Option<u32> {
        self.get(self.find(name, &[KIND_STRUCT])?).map(|found| found.size_or_type)
    }

    /// A member of a struct by its path (`memory.usage`), through anonymous structs and unions.
    #[must_use]
    pub fn member(&self, of: &str, path: &str) -> Option<Member> {
        let mut at = Member { offset: 0, type_id: self.find(of, &[KIND_STRUCT])? };
        for name in path.split('.') {
            let inner = self.direct_member(at.type_id, name, DEPTH)?;
            at = Member { offset: at.offset.checked_add(inner.offset)?, type_id: inner.type_id };
        }
        Some(at)
    }

    fn direct_member(&self, id: u32, name: &str, depth: u32) -> Option<Member> {
        let (_, outer) = self.strip(id)?;
        if depth == 0 || !matches!(outer.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        (0..outer.members as usize).find_map(|index| {
            let at = outer.tail + index * 12;
            let member_name = read_u32(&self.bytes, at)?;
            let type_id = read_u32(&self.bytes, at + 4)?;
            // Bit-fields keep their width in the upper byte; none of the fields sought is one.
            let offset = (read_u32(&self.bytes, at + 8)? & 0x00ff_ffff) / 8;
            if member_name != 0 && self.name(member_name) == name.as_bytes() {
                return Some(Member { offset, type_id });
            }
            if self.name(member_name).is_empty() {
                let inner = self.direct_member(type_id, name, depth - 1)?;
                return Some(Member { offset: offset.checked_add(inner.offset)?, type_id: inner.type_id });
            }
            None
        })
    }

    /// Whether a type is an array of the named struct.
    #[must_use]
    pub fn is_array_of(&self, type_id: u32, name: &str) -> bool {
        let element = || {
            let (_, array) = self.strip(type_id)?;
            if array.kind != KIND_ARRAY {
                return None;
            }
            let (_, element) = self.strip(read_u32(&self.bytes, array.tail)?)?;
            Some(self.name(element.name) == name.as_bytes())
        };
        element().unwrap_or(false)
    }

    /// Value of an enumerator.
    #[must_use]
    pub fn enum_value(&self, of: &str, name: &str) -> Option<u32> {
        let outer = self.get(self.find(of, &[KIND_ENUM])?)?;
        (0..outer.members as usize).find_map(|index| {
            let at = outer.tail + index * 8;
            (self.name(read_u32(&self.bytes, at)?) == name.as_bytes())
                .then(|| read_u32(&self.bytes, at + 4))
                .flatten()
        })
    }

    /// Id of a function.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<u32> {
        self.find(name, &[KIND_FUNC])
    }

    /// Whether argument `index` of a tracepoint's prototype is a pointer (arguments as in `TP_PROTO`, from 0).
    #[must_use]
    pub fn tracepoint_argument_is_pointer(&self, tracepoint: &str, index: usize) -> Option<bool> {
        let typedef = self.find(&format!("btf_trace_{tracepoint}"), &[KIND_TYPEDEF])?;
        let (_, pointer) = self.strip(typedef)?;
        let (_, prototype) = self.strip(pointer.size_or_type)?;
        if pointer.kind != KIND_PTR || prototype.kind != KIND_FUNC_PROTO {
            return None;
        }
        // The first parameter is the tracepoint's private data.
        let at = prototype.tail + (index + 1) * 8;
        if index + 1 >= prototype.members as usize {
            return None;
        }
        let (_, argument) = self.strip(read_u32(&self.bytes, at + 4)?)?;
        Some(argument.kind == KIND_PTR)
    }
}

fn read_u32(bytes: &[u8], place: usize) -> Option<u32> {
    let four = bytes.get(place..place.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_is_not_btf() {
        for bytes in [
            vec![],
            vec![0; 100],
            vec![0x9f, 0xeb],
            vec![0x9f, 0xeb, 1, 0, 24, 0, 0, 0, 0, 0, 0, 0, 255, 255],
        ] {
            assert!(Btf::parse(bytes).is_err());
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_once() {
        let error = Btf::read(Path::new("/nothing/here")).expect_err("no file");
        // As the program ends: with the errors behind it.
        let text = format!("{:#}", anyhow::Error::new(crate::probe::attach::ProbeError::from(error)));
        assert_eq!(text.matches("No such file or directory").count(), 1, "{text}");
        assert!(text.contains("mount -t sysfs") && text.contains("CONFIG_DEBUG_INFO_BTF=y"), "{text}");
    }

    #[test]
    fn reads_the_running_kernel() {
        let Ok(btf) = Btf::read(Path::new(VMLINUX)) else {
            eprintln!("skipped: this kernel publishes no types");
            return;
        };
        let start = btf.member("task_struct", "start_boottime").expect("every kernel since 5.5 has it");
        assert!(start.offset > 0 && start.offset < btf.size_of("task_struct").expect("a size"));
        assert_eq!(btf.member("task_struct", "no_such_field"), None);
        assert_eq!(btf.tracepoint_argument_is_pointer("sched_process_fork", 0), Some(true));
        assert_eq!(btf.tracepoint_argument_is_pointer("sched_process_fork", 9), None);
        assert!(btf.function("vm_mmap_pgoff").is_some());
    }
}
