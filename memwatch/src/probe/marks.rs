//! Marks of processes: bits that the kernel side hands down at fork and takes away at the end of a process, and limits of
//! processes, which go the same way.

use std::io;
use std::os::fd::AsFd;

use aya::maps::{HashMap, Map, MapData, MapError};

use memwatch_ebpf::abi::knobs::{Knobs, MARK_INHERITED, RssLimit};

use super::attach::{Probe, ProbeError, Wire, typed};

const MAP: &str = "MARKS";
const LIMITS: &str = "LIMITS";

/// `BPF_EXIST` (include/uapi/linux/bpf.h): who has ended meanwhile gets no entry.
const EXIST: u64 = 2;

/// Times that all marks are gone through: a child forked meanwhile has those that its parent still had, and is found the next
/// time.
const ROUNDS: u32 = 16;

const fn failed(source: MapError) -> ProbeError {
    ProbeError::Map { name: MAP, source }
}

/// What was to be changed and is not there any more is no error.
fn removed(name: &'static str, result: Result<(), MapError>) -> Result<(), ProbeError> {
    match result {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(ProbeError::Map { name, source }),
    }
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
        removed(MAP, map.remove(&tgid))
    }

    /// Takes some of a process's marks away; the others stay.
    ///
    /// # Errors
    /// When the map refuses.
    pub fn take_marks(&mut self, tgid: u32, marks: u32) -> Result<(), ProbeError> {
        let mut map: HashMap<_, u32, u32> = typed(&mut self.ebpf, MAP)?;
        let known = map.get(&tgid, 0).unwrap_or(0);
        take(&mut map, tgid, known, marks)
    }

    /// Takes these marks away from everybody, those included who get them from a parent meanwhile.
    ///
    /// # Errors
    /// When the map refuses, or there are always more.
    pub fn take_all_marks(&mut self, marks: u32) -> Result<(), ProbeError> {
        let mut map: HashMap<_, u32, u32> = typed(&mut self.ebpf, MAP)?;
        for _ in 0..ROUNDS {
            let all = map.iter().filter_map(Result::ok);
            let marked: Vec<(u32, u32)> = all.filter(|(_, known)| known & marks != 0).collect();
            if marked.is_empty() {
                return Ok(());
            }
            for (tgid, known) in marked {
                take(&mut map, tgid, known, marks)?;
            }
        }
        Err(ProbeError::Restless)
    }

    /// Sets the RSS limit of a process.
    ///
    /// # Errors
    /// When the map is full.
    pub fn limit_rss(&mut self, tgid: u32, limit: RssLimit) -> Result<(), ProbeError> {
        if self.knobs.has_limits == 0 {
            self.set_knobs(&Knobs { has_limits: 1, ..self.knobs })?;
        }
        let mut map: HashMap<_, u32, Wire<RssLimit>> = typed(&mut self.ebpf, LIMITS)?;
        map.insert(tgid, Wire(limit), 0).map_err(|source| ProbeError::Map { name: LIMITS, source })
    }

    /// Takes the RSS limit of a process away; one without a limit is no error.
    ///
    /// # Errors
    /// When the map refuses.
    pub fn unlimit_rss(&mut self, tgid: u32) -> Result<(), ProbeError> {
        let mut map: HashMap<_, u32, Wire<RssLimit>> = typed(&mut self.ebpf, LIMITS)?;
        removed(LIMITS, map.remove(&tgid))
    }

    /// Takes every limit of a single process away.
    ///
    /// # Errors
    /// When the map refuses.
    pub fn unlimit_all(&mut self) -> Result<(), ProbeError> {
        let mut map: HashMap<_, u32, Wire<RssLimit>> = typed(&mut self.ebpf, LIMITS)?;
        let limited: Vec<u32> = map.keys().filter_map(Result::ok).collect();
        limited.into_iter().try_for_each(|tgid| removed(LIMITS, map.remove(&tgid)))
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

/// Writes a process's marks without these. That children get what it has is of no use once it has nothing else.
fn take<M: std::borrow::BorrowMut<MapData>>(
    map: &mut HashMap<M, u32, u32>,
    tgid: u32,
    known: u32,
    marks: u32,
) -> Result<(), ProbeError> {
    let left = known & !marks;
    if left & !MARK_INHERITED == 0 {
        return removed(MAP, map.remove(&tgid));
    }
    removed(MAP, map.insert(tgid, left, EXIST))
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

    /// How many processes have any now.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn count(&self) -> Result<usize, ProbeError> {
        let mut count = 0;
        for key in self.map.keys() {
            key.map_err(failed)?;
            count += 1;
        }
        Ok(count)
    }
}
