//! Programs of the object as the kernel takes them, for loads that aya does not offer.
//!
//! A program that is loaded by hand stands in the same object as the others and uses the same maps: the object is parsed once
//! more, and tied to the maps that are loaded.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use aya::Ebpf;
use aya::maps::Map;
use aya_obj::Object;

use crate::sys::Instruction;

/// The object's programs, each in one piece with all that it calls.
pub(super) struct Code(Object);

impl Code {
    /// Reads the programs of an object whose maps are loaded.
    ///
    /// # Errors
    /// When they cannot be tied to these maps.
    pub(super) fn of(object: &[u8], ebpf: &Ebpf) -> Result<Self, String> {
        let mut object = Object::parse(object).map_err(|e| format!("cannot parse the BPF object: {e}"))?;
        let loaded: HashMap<&str, RawFd> =
            ebpf.maps().filter_map(|(name, map)| Some((name, descriptor(map)?))).collect();
        let maps = object.maps.clone();
        // aya ties what names a map that is not given to any other of its section.
        if let Some(name) = maps.keys().find(|name| !loaded.contains_key(name.as_str())) {
            return Err(format!("cannot tie programs to their maps: no descriptor of {name} is known"));
        }
        let maps =
            maps.iter().filter_map(|(name, map)| Some((name.as_str(), *loaded.get(name.as_str())?, map)));
        let text = object.functions.keys().map(|(section, _)| *section).collect();
        object.relocate_maps(maps, &text).map_err(|e| format!("cannot tie programs to their maps: {e}"))?;
        object.relocate_calls(&text).map_err(|e| format!("cannot link programs: {e}"))?;
        Ok(Self(object))
    }

    /// The instructions of a program.
    ///
    /// # Errors
    /// When the object does not hold it.
    pub(super) fn program(&self, name: &str) -> Result<Vec<Instruction>, String> {
        let key = self.0.programs.get(name).map(aya_obj::Program::function_key);
        let function = key.and_then(|key| self.0.functions.get(&key));
        let function = function.ok_or_else(|| format!("the object has no program {name}"))?;
        let instructions = function.instructions.iter().map(|code| Instruction {
            code: code.code,
            registers: code.dst_reg() | code.src_reg() << 4,
            offset: code.off,
            immediate: code.imm,
        });
        Ok(instructions.collect())
    }
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
