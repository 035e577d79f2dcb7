//! The pages of one process after the other.

use std::io;

use crate::core::audit::{Draw, Items};
use crate::enrich::pages::maps::{Mapping, parse_maps};
use crate::enrich::pages::{Entry, Pagemap, Resident, Side, Sink, parse_resident};
use crate::enrich::proc::{Memberships, ProcFs, ProcessDir, ReadError};

/// An address space this many times larger than what is resident is mostly reserved; then the kernel is asked which
/// mappings hold anything, which costs it a look at every resident page.
const SPARSE: u64 = 8;
/// Reserved bytes that are not worth asking about: holes are read at some nanoseconds a page.
const RESERVED_MIN: u64 = 1 << 30;

/// Reads processes into a sink.
#[derive(Debug)]
pub(super) struct Reader<S> {
    sink: S,
    draw: Draw,
    page_bytes: u64,
    items: Items,
    buffer: Vec<u64>,
}

impl<S: Sink> Reader<S> {
    pub(super) fn new(sink: S, draw: Draw, page_bytes: u64) -> Self {
        Self { sink, draw, page_bytes, items: Items::default(), buffer: Vec::new() }
    }

    pub(super) fn finish(self) -> (S, Items) {
        (self.sink, self.items)
    }

    /// Reads a process; gives the number of its cgroup and its bytes in swap. `None` for what has no memory of its own or
    /// no cgroup that is known.
    pub(super) fn read_member(
        &mut self,
        proc: &ProcFs,
        pid: u32,
        group: impl FnOnce(&Memberships) -> Option<u32>,
    ) -> Result<Option<(u32, u64)>, ReadError> {
        let dir = proc.process(pid)?;
        let Some(resident) = parse_resident(&dir.text("status")?) else { return Ok(None) };
        let Some(group) = group(&dir.cgroups()?) else { return Ok(None) };
        self.read(&dir, pid, group, resident)?;
        Ok(Some((group, resident.swap)))
    }

    fn read(&mut self, dir: &ProcessDir, pid: u32, group: u32, resident: Resident) -> Result<(), ReadError> {
        let held = resident.memory.saturating_add(resident.swap);
        let reserved = resident.virtual_size.saturating_sub(held.saturating_mul(SPARSE));
        let maps = dir.text(if reserved > RESERVED_MIN { "smaps" } else { "maps" })?;
        let pagemap = Pagemap::new(dir.open("pagemap")?);
        for mapping in parse_maps(&maps, self.page_bytes) {
            let file = mapping
                .file
                .map(|(device, inode)| (self.items.number(device, inode, &mapping.path, pid), device));
            let side = Side { group, file, may_lock: resident.locked > 0 };
            let read = if self.draw.is_every() {
                self.read_all(&pagemap, &mapping, side)
            } else {
                self.read_drawn(&pagemap, &mapping, side, pid)
            };
            read.map_err(|source| ReadError::Io { tgid: pid, file: "pagemap", source })?;
        }
        Ok(())
    }

    fn read_all(&mut self, pagemap: &Pagemap, mapping: &Mapping, side: Side) -> io::Result<()> {
        let sink = &mut self.sink;
        sink.turn(side);
        pagemap.each_present(mapping.pages.clone(), &mut self.buffer, |entry| sink.add(entry))
    }

    /// Looks where the draw says. Pages that others can have too are drawn by their place in the file, or in the address
    /// space that a fork copies, so that they are met in each process; those that this process has alone, by a
    /// chance of its own, so that workers that are alike do not repeat one draw.
    fn read_drawn(&mut self, pagemap: &Pagemap, mapping: &Mapping, side: Side, pid: u32) -> io::Result<()> {
        let is_own = |entry: &Entry| !mapping.is_shared && !entry.is_of_file() && entry.is_alone();
        let (object, first) = match mapping.file {
            Some((device, inode)) => (device.rotate_left(40) ^ inode | 1, mapping.file_page),
            None => (0, mapping.pages.start),
        };
        let length = mapping.pages.end - mapping.pages.start;
        let mut is_turned = false;
        let sink = &mut self.sink;
        let mut take = |page: u64, wants_own: bool| -> io::Result<()> {
            let entry = pagemap.entry(page)?.filter(|entry| entry.is_present());
            if let Some(entry) = entry.filter(|entry| is_own(entry) == wants_own) {
                if !is_turned {
                    sink.turn(side);
                    is_turned = true;
                }
                sink.add(entry);
            }
            Ok(())
        };
        for page in self.draw.pages(object, first..first + length) {
            take(page - first + mapping.pages.start, false)?;
        }
        if !mapping.is_shared {
            for page in self.draw.pages(u64::from(pid) << 1, mapping.pages.clone()) {
                take(page, true)?;
            }
        }
        Ok(())
    }
}
