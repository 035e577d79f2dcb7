//! Takes out of a BPF object what no kernel needs.
//!
//! BTF is made from the DWARF sections when the object is linked; after that they are three quarters of the file, and the loader
//! would parse each of their relocations at every start. The lines of the source are a quarter of what is left; the loader copies
//! those of a whole section for each program in it, which comes to 10 MiB of memory at the start.

/// Offsets in the ELF64 header and in a section header (elf.h).
const SECTIONS_OFFSET: usize = 40;
const SECTION_SIZE: usize = 58;
const SECTION_COUNT: usize = 60;
const NAMES_INDEX: usize = 62;
const KIND: usize = 4;
const DATA_OFFSET: usize = 24;
const DATA_LENGTH: usize = 32;
const ALIGNMENT: usize = 48;
const HEADER_LENGTH: usize = 64;
/// A section without data in the file (`SHT_NOBITS`).
const NO_DATA: u32 = 8;

/// Offsets in the header of `.BTF.ext` (Documentation/bpf/btf.rst): its length, then where each part begins, counted from its end,
/// and how long it is.
const HEADER: usize = 4;
const FUNCTIONS: usize = 8;
const LINES: usize = 16;
const RELOCATIONS: usize = 24;

/// Gives the object with its DWARF sections empty, so that every section keeps its number, and with the lines of its source only
/// where they are wanted; `None` for what is no whole ELF64 little-endian file.
pub(crate) fn stripped(elf: &[u8], wants_lines: bool) -> Option<Vec<u8>> {
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let size = usize::from(u16::from_le_bytes(field(elf, SECTION_SIZE)?));
    let count = usize::from(u16::from_le_bytes(field(elf, SECTION_COUNT)?));
    let headers = elf.get(number(elf, SECTIONS_OFFSET)?..)?.get(..size.checked_mul(count)?)?;
    let mut headers: Vec<Vec<u8>> = headers.chunks_exact(size.max(1)).map(<[u8]>::to_vec).collect();
    let names_index = usize::from(u16::from_le_bytes(field(elf, NAMES_INDEX)?));
    let names = data(elf, headers.get(names_index)?)?;

    let mut out = elf.get(..HEADER_LENGTH)?.to_vec();
    for header in &mut headers {
        let name = names.get(usize::try_from(u32::from_le_bytes(field(header, 0)?)).ok()?..)?;
        let is_dwarf = name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
        let is_named = |wanted: &[u8]| name.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(b"\0"));
        let content = match u32::from_le_bytes(field(header, KIND)?) {
            _ if is_dwarf => Vec::new(),
            NO_DATA => continue,
            // Their values stand in the section itself as well.
            _ if !wants_lines && is_named(b".rel.BTF.ext") => Vec::new(),
            _ if !wants_lines && is_named(b".BTF.ext") => without_lines(data(elf, header)?)?,
            _ => data(elf, header)?.to_vec(),
        };
        out.resize(out.len().next_multiple_of(number(header, ALIGNMENT)?.max(1)), 0);
        put(header, DATA_OFFSET, out.len())?;
        put(header, DATA_LENGTH, content.len())?;
        out.extend(content);
    }
    out.resize(out.len().next_multiple_of(8), 0);
    let sections_offset = out.len();
    put(&mut out, SECTIONS_OFFSET, sections_offset)?;
    out.extend(headers.concat());
    Some(out)
}

/// `.BTF.ext` with what it says of functions and of fields, but not of lines.
fn without_lines(section: &[u8]) -> Option<Vec<u8>> {
    let length = length(section, HEADER)?;
    let part = |at: usize| {
        let from = length.checked_add(self::length(section, at)?)?;
        section.get(from..)?.get(..self::length(section, at + 4)?)
    };
    let has_relocations = length >= RELOCATIONS + 8;
    let functions = part(FUNCTIONS)?;
    let relocations = if has_relocations { part(RELOCATIONS)? } else { &[] };
    let mut out = section.get(..length)?.to_vec();
    let mut place = |at: usize, from: usize, bytes: usize| {
        put_length(&mut out, at, from)?;
        put_length(&mut out, at + 4, bytes)
    };
    place(FUNCTIONS, 0, functions.len())?;
    place(LINES, functions.len(), 0)?;
    if has_relocations {
        place(RELOCATIONS, functions.len(), relocations.len())?;
    }
    out.extend_from_slice(functions);
    out.extend_from_slice(relocations);
    Some(out)
}

/// A section's bytes.
fn data<'a>(elf: &'a [u8], header: &[u8]) -> Option<&'a [u8]> {
    elf.get(number(header, DATA_OFFSET)?..)?.get(..number(header, DATA_LENGTH)?)
}

fn number(bytes: &[u8], offset: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(field(bytes, offset)?)).ok()
}

fn length(bytes: &[u8], offset: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(field(bytes, offset)?)).ok()
}

fn put_length(bytes: &mut [u8], offset: usize, value: usize) -> Option<()> {
    let value = u32::try_from(value).ok()?.to_le_bytes();
    *bytes.get_mut(offset..)?.first_chunk_mut()? = value;
    Some(())
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

fn put(bytes: &mut [u8], offset: usize, value: usize) -> Option<()> {
    let value = u64::try_from(value).ok()?.to_le_bytes();
    *bytes.get_mut(offset..)?.first_chunk_mut()? = value;
    Some(())
}
