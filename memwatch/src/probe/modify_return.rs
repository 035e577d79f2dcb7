//! Loads and attaches a modify-return program, which aya does not offer.
//!
//! The program stands in the same object as the others and uses the same maps: the object is parsed once more, tied to
//! the maps that are loaded, and the one program is handed to `bpf(2)` by hand. So are the object's types: without them the
//! verifier takes a global function for a static one and walks through it at each call, which on 7.2 comes to more than the
//! million instructions that it allows.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use aya::Ebpf;
use aya::maps::Map;
use aya_obj::Object;

use crate::sys::bpf::{self, Functions, Instruction, Source, Trampoline};

/// A program that was attached by hand. It detaches when this goes.
pub(super) struct Attached {
    pub(super) program: OwnedFd,
    pub(super) link: OwnedFd,
}

/// Loads `program` from the object for the function with the BTF id `function`, and attaches it.
///
/// # Errors
/// When the object does not hold it, or the kernel refuses it: with the verifier's last lines.
pub(super) fn attach(object: &[u8], ebpf: &Ebpf, program: &str, function: u32) -> Result<Attached, String> {
    let mut object = Object::parse(object).map_err(|e| format!("cannot parse the BPF object: {e}"))?;
    let types = types(&mut object).map_err(|e| format!("cannot load the types of {program}: {e}"))?;
    let loaded: HashMap<&str, RawFd> =
        ebpf.maps().filter_map(|(name, map)| Some((name, descriptor(map)?))).collect();
    let maps = object.maps.clone();
    // aya ties what names a map that is not given to any other of its section.
    if let Some(name) = maps.keys().find(|name| !loaded.contains_key(name.as_str())) {
        return Err(format!("cannot tie {program} to its maps: no descriptor of {name} is known"));
    }
    let maps = maps.iter().filter_map(|(name, map)| Some((name.as_str(), *loaded.get(name.as_str())?, map)));
    let text = object.functions.keys().map(|(section, _)| *section).collect();
    object.relocate_maps(maps, &text).map_err(|e| format!("cannot tie {program} to its maps: {e}"))?;
    object.relocate_calls(&text).map_err(|e| format!("cannot link {program}: {e}"))?;
    let key = object.programs.get(program).map(aya_obj::Program::function_key);
    let code = key
        .and_then(|key| object.functions.get(&key))
        .ok_or_else(|| format!("the object has no program {program}"))?;
    let instructions: Vec<_> = code
        .instructions
        .iter()
        .map(|code| Instruction {
            code: code.code,
            registers: code.dst_reg() | code.src_reg() << 4,
            offset: code.off,
            immediate: code.imm,
        })
        .collect();
    let records = code.func_info.func_info_bytes();
    let functions = types.as_ref().map(|types| Functions {
        types: types.as_fd(),
        records: &records,
        record_bytes: u32::try_from(code.func_info_rec_size).unwrap_or(0),
    });
    let source = Source { name: program, instructions: &instructions, functions };
    let loaded = bpf::load_tracing(source, Trampoline::ModifyReturn, function)?;
    let link = bpf::attach_tracing(&loaded).map_err(|e| format!("attach: {e}"))?;
    Ok(Attached { program: loaded, link })
}

/// The object's types as this kernel takes them, handed to it; `None`: it takes none.
fn types(object: &mut Object) -> Result<Option<OwnedFd>, String> {
    let Some(features) = aya::features().btf() else { return Ok(None) };
    let types = object.fixup_and_sanitize_btf(features).map_err(|e| e.to_string())?;
    types.map(|types| bpf::load_types(&types.to_bytes())).transpose().map_err(|e| e.to_string())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the object holds maps of these types only")]
fn descriptor(map: &Map) -> Option<RawFd> {
    let data = match map {
        Map::Array(data)
        | Map::HashMap(data)
        | Map::LruHashMap(data)
        | Map::PerCpuArray(data)
        | Map::Queue(data)
        | Map::RingBuf(data) => data,
        _ => return None,
    };
    Some(data.fd().as_fd().as_raw_fd())
}
