//! Takes the DWARF sections out of a BPF object.
//!
//! BTF is made from them when the object is linked; after that they are three quarters of the file, and the loader
//! would parse each of their relocations at every start.

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

/// Gives the object with its DWARF sections empty, so that every section keeps its number; `None` for what is no
/// whole ELF64 little-endian file.
pub(crate) fn stripped(elf: &[u8]) -> Option<Vec<u8>> {
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
        let content = match u32::from_le_bytes(field(header, KIND)?) {
            _ if is_dwarf => &[],
            NO_DATA => continue,
            _ => data(elf, header)?,
        };
        out.resize(out.len().next_multiple_of(number(header, ALIGNMENT)?.max(1)), 0);
        put(header, DATA_OFFSET, out.len())?;
        put(header, DATA_LENGTH, content.len())?;
        out.extend_from_slice(content);
    }
    out.resize(out.len().next_multiple_of(8), 0);
    let sections_offset = out.len();
    put(&mut out, SECTIONS_OFFSET, sections_offset)?;
    out.extend(headers.concat());
    Some(out)
}

/// A section's bytes.
fn data<'a>(elf: &'a [u8], header: &[u8]) -> Option<&'a [u8]> {
    elf.get(number(header, DATA_OFFSET)?..)?.get(..number(header, DATA_LENGTH)?)
}

fn number(bytes: &[u8], offset: usize) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(field(bytes, offset)?)).ok()
}

fn field<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

fn put(bytes: &mut [u8], offset: usize, value: usize) -> Option<()> {
    let value = u64::try_from(value).ok()?.to_le_bytes();
    *bytes.get_mut(offset..)?.first_chunk_mut()? = value;
    Some(())
}
