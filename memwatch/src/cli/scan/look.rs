//! One process: the cheap files of most, and the areas of those that are large enough.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use memwatch_ebpf::table::kernel_bytes;

use super::pending::Pending;
use crate::core::detect::fd_table::standing::{Area, Areas, Expectation, known_elements};
use crate::core::detect::fd_table::{Confidence, region_floor};
use crate::core::exposure::{Exposure, Risk};
use crate::core::fact::Identity;
use crate::core::origin::Limits;
use crate::enrich::identify::Identifier;
use crate::enrich::proc::{LineBuffer, ProcFs, ProcessDir, ReadError, SmapsLine, Status};
use crate::export::scan::Unread;
use crate::sys;

/// Slots below which a kernel table is no finding at any floor.
const KERNEL_SLOTS_MIN: u64 = 4096;

/// Looks at processes one after the other.
pub(super) struct Look {
    min_table: u64,
    min_confidence: Confidence,
    identifier: Identifier,
    pending: Pending,
    buffer: LineBuffer,
}

/// What was seen of one process.
pub(super) struct Seen {
    /// The known program that it runs.
    pub(super) program: Option<&'static str>,
    pub(super) parent: u32,
    /// Whether it has tables, be they sure enough to be reported or not.
    pub(super) has_table: bool,
    pub(super) exposure: Option<Exposure>,
}

impl Look {
    pub(super) fn new(proc: &ProcFs, min_table: u64, min_confidence: Confidence) -> anyhow::Result<Self> {
        let identifier = Identifier::new(proc).context("cannot read the mounts of this host")?;
        let pending = Pending::new(proc, Path::new("/"));
        Ok(Self { min_table, min_confidence, identifier, pending, buffer: LineBuffer::default() })
    }

    /// Looks at a process; `None` for kernel threads and those that nobody has waited for. What could not be read of it
    /// is added to `unread`.
    pub(super) fn at(&mut self, dir: &ProcessDir, unread: &mut Unread) -> Result<Option<Seen>, ReadError> {
        let status = dir.status()?;
        let Some(data_bytes) = status.data_bytes else { return Ok(None) };
        let Some(nofile) = dir.limits()?.get(libc::RLIMIT_NOFILE) else { return Ok(None) };
        let limits = Limits { soft: nofile.soft, hard: nofile.hard };
        let mut seen = Seen { program: None, parent: status.parent_pid, has_table: false, exposure: None };
        let known = self.known(dir, limits)?;
        seen.program = known.map(|known| known.program());

        let mut identity = None;
        if Areas::are_possible(limits, data_bytes, self.min_table) {
            let found = self.identify(dir, &mut identity)?;
            match self.areas(dir, limits, &found) {
                Ok(areas) => self.table(dir, &found, limits, areas, &mut seen, unread)?,
                Err(ReadError::Io { .. } | ReadError::Parse { .. }) => unread.memory += 1,
                Err(gone) => return Err(gone),
            }
        }
        if seen.exposure.is_none()
            && let Some(risk) = self.other_risk(dir, &status, limits, &seen, known, &mut identity)?
        {
            let process = self.identify(dir, &mut identity)?;
            seen.exposure = Some(exposure(process, limits, risk));
        }
        if let Some(exposure) = &mut seen.exposure {
            exposure.kernel_slots = status.fd_slots;
        }
        Ok(Some(seen))
    }

    /// The known program that a process runs. Without the right to see its executable its name decides, and is read
    /// only where the limit is high enough to matter.
    fn known(&self, dir: &ProcessDir, limits: Limits) -> Result<Option<Expectation>, ReadError> {
        Ok(match dir.exe() {
            Some(exe) => Expectation::of(Some(&exe.path), b""),
            None if Expectation::is_possible(limits.soft, self.min_table) => {
                Expectation::of(None, &dir.stat()?.comm)
            }
            None => None,
        })
    }

    fn table(
        &mut self,
        dir: &ProcessDir,
        process: &Arc<Identity>,
        limits: Limits,
        mut areas: Areas,
        seen: &mut Seen,
        unread: &mut Unread,
    ) -> Result<(), ReadError> {
        if areas.total() < self.min_table {
            return Ok(());
        }
        match self.residence(dir, &mut areas) {
            Err(ReadError::Io { .. } | ReadError::Parse { .. }) => unread.residence += 1,
            read => read?,
        }
        let Some(finding) = areas.appraise(process, sys::boot_ns()) else { return Ok(()) };
        seen.has_table = true;
        if finding.confidence >= self.min_confidence {
            let risk = Risk::Table { finding: Box::new(finding), touched: areas.touched() };
            seen.exposure = Some(exposure(Arc::clone(process), limits, risk));
        }
        Ok(())
    }

    fn other_risk(
        &mut self,
        dir: &ProcessDir,
        status: &Status,
        limits: Limits,
        seen: &Seen,
        known: Option<Expectation>,
        identity: &mut Option<Arc<Identity>>,
    ) -> Result<Option<Risk>, ReadError> {
        if let Some(expectation) =
            known.filter(|_| !seen.has_table && self.min_confidence <= Confidence::Medium)
        {
            let process = self.identify(dir, identity)?;
            let reaches = |limit: u64| expectation.bytes(limit) >= self.min_table;
            let limit = if reaches(limits.soft) {
                Some((limits.soft, None))
            } else {
                let pending = self.pending.soft(&process).filter(|(soft, _)| reaches(*soft));
                pending.map(|(soft, file)| (soft, Some(file)))
            };
            if let Some((limit, changed)) = limit.filter(|_| !expectation.is_bounded_by(&process.args)) {
                return Ok(Some(Risk::Expected { expectation, limit, changed }));
            }
        }
        let slots = status.fd_slots.filter(|&slots| slots >= KERNEL_SLOTS_MIN);
        Ok(slots.filter(|&slots| kernel_bytes(slots) >= self.min_table).map(|_| Risk::Kernel))
    }

    fn identify(
        &mut self,
        dir: &ProcessDir,
        known: &mut Option<Arc<Identity>>,
    ) -> Result<Arc<Identity>, ReadError> {
        if let Some(known) = known {
            return Ok(Arc::clone(known));
        }
        let identity = Arc::new(self.identifier.identify(dir)?);
        *known = Some(Arc::clone(&identity));
        Ok(identity)
    }

    /// The areas that a limit explains.
    fn areas(&mut self, dir: &ProcessDir, limits: Limits, process: &Identity) -> Result<Areas, ReadError> {
        let (floor, known) = (region_floor(self.min_table), known_elements(process));
        let mut areas = Areas::default();
        dir.each_mapping(&mut self.buffer, |mapping| {
            if mapping.length >= floor && mapping.is_private_memory() {
                let (start, length, is_heap) = (mapping.start, mapping.length, mapping.is_heap());
                if let Some(area) = Area::explained(start, length, is_heap, limits, known) {
                    areas.add(area);
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(areas)
    }

    /// What is resident of them. The file is read no further than the last of them: the kernel walks the pages of each
    /// area that is read.
    fn residence(&mut self, dir: &ProcessDir, areas: &mut Areas) -> Result<(), ReadError> {
        let kept = areas.kept_mut();
        let last = kept.iter().map(|area| area.start).max().unwrap_or(0);
        let mut at = None;
        dir.each_smaps_line(&mut self.buffer, |line| {
            if let SmapsLine::Mapping(mapping) = line {
                // An area that changed since is another one: what it holds is not known.
                let is_it = |area: &Area| (area.start, area.length) == (mapping.start, mapping.length);
                at = kept.iter().position(is_it);
                return if mapping.start > last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            }
            if let Some(area) = at.and_then(|at| kept.get_mut(at)) {
                match *line {
                    SmapsLine::Resident(bytes) | SmapsLine::Swapped(bytes) => {
                        area.touched = Some(area.touched.unwrap_or(0).saturating_add(bytes));
                    }
                    SmapsLine::Flags { is_noreserve } => area.is_noreserve = is_noreserve,
                    SmapsLine::Mapping(_) | SmapsLine::Other => {}
                }
            }
            ControlFlow::Continue(())
        })
    }
}

fn exposure(process: Arc<Identity>, limits: Limits, risk: Risk) -> Exposure {
    Exposure { process, time_ns: sys::boot_ns(), limits, origin: None, kernel_slots: None, risk }
}
