//! Marks of processes: bits that the kernel side hands down at fork and takes away at the end of a process.

use std::os::fd::AsFd;

use aya::maps::{HashMap, Map, MapData, MapError};

use memwatch_ebpf::abi::knobs::Knobs;

use super::attach::{Probe, ProbeError, typed};

const MAP: &str = "MARKS";

const fn failed(source: MapError) -> ProbeError {
    ProbeError::Map { name: MAP, source }
}

impl Probe {
    /// Marks a process for filters and rules, beside the marks that it has.
    ///
    /// # Errors
    /// When the map is full.
    pub fn mark(&mut self, tgid: u32, marks: u32) -> Result<(), ProbeError> {
        // First, or a child forked meanwhile would not inherit it.
        if self.knobs.has_marks == 0 {
            self.set_knobs(&Knobs { has_marks: 1, ..self.knobs })?;
        }
        let mut map: HashMap<_, u32, u32> = typed(&mut self.ebpf, MAP)?;
        let known = map.get(&tgid, 0).unwrap_or(0);
        map.insert(tgid, known | marks, 0).map_err(failed)
    }

    /// Takes a process's marks away; one without marks is no error.
    ///
    /// # Errors
    /// When the map refuses.
    pub fn unmark(&mut self, tgid: u32) -> Result<(), ProbeError> {
        let mut map: HashMap<_, u32, u32> = typed(&mut self.ebpf, MAP)?;
        match map.remove(&tgid) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(source) => Err(failed(source)),
        }
    }

    /// A reader of the marks that stands by itself. `None`: they tell nothing of descent here, as forks or ends are not seen.
    ///
    /// # Errors
    /// When the map cannot be opened a second time.
    pub fn marks(&mut self) -> Result<Option<Marks>, ProbeError> {
        let is_seen = |name: &str| {
            self.hooks.iter().any(|status| status.hook.name == name && status.attached.is_some())
        };
        if !(is_seen("fork") && is_seen("exit")) {
            return Ok(None);
        }
        let Some(Map::HashMap(map)) = self.ebpf.map(MAP) else { return Ok(None) };
        let copy = map.fd().as_fd().try_clone_to_owned();
        let copy = copy.map_err(|error| ProbeError::Load(format!("the map {MAP}: {error}")))?;
        let data = MapData::from_fd(copy).map_err(failed)?;
        Ok(Some(Marks { map: HashMap::try_from(Map::HashMap(data)).map_err(failed)? }))
    }
}

/// Reads marks.
#[derive(Debug)]
pub struct Marks {
    map: HashMap<MapData, u32, u32>,
}

impl Marks {
    /// Those of a process now; none, when it has none.
    #[must_use]
    pub fn of(&self, tgid: u32) -> u32 {
        self.map.get(&tgid, 0).unwrap_or(0)
    }
}
