//! Where limits come from: reads the ancestors of a process and the files of its unit.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;

use crate::core::detect::fd_table::standing::Limits;
use crate::core::exposure::{Holder, Origin, origin};
use crate::core::fact::Identity;
use crate::enrich::identify::Identifier;
use crate::enrich::proc::{ProcFs, ReadError};
use crate::enrich::unit_limit::{UnitLimits, Whose};

/// Ancestors that are followed: a chain is short, and a circle that forms while it is read has to end.
const DEPTH_MAX: usize = 64;
/// Ancestors that are remembered: children of one parent come in thousands, parents do not.
const KNOWN_MAX: usize = 4096;

/// Finds origins.
pub(super) struct Origins<'a> {
    proc: &'a ProcFs,
    identifier: Identifier,
    units: UnitLimits,
    nr_open: u64,
    known: HashMap<u32, Option<(Holder, u32)>>,
}

impl<'a> Origins<'a> {
    pub(super) fn new(proc: &'a ProcFs) -> anyhow::Result<Self> {
        Ok(Self {
            proc,
            identifier: Identifier::new(proc).context("cannot read the mounts of this host")?,
            units: UnitLimits::new(Path::new("/")),
            nr_open: proc.nr_open().unwrap_or(u64::MAX),
            known: HashMap::new(),
        })
    }

    /// The origin of the limits of a process; `None` where it cannot be told.
    pub(super) fn of(&mut self, process: &Identity, limits: Limits) -> Option<Origin> {
        let setting = self.setting(process, limits);
        let mut ancestors = Vec::new();
        let mut next = process.parent_tgid.unwrap_or(0);
        while next != 0
            && ancestors.len() < DEPTH_MAX
            && let Some((holder, parent)) = self.holder(next)
        {
            ancestors.push(holder);
            next = parent;
        }
        origin(process, limits, &ancestors, setting)
    }

    /// The setting that gives a service these limits.
    fn setting(&mut self, process: &Identity, limits: Limits) -> Option<Origin> {
        let (limit, whose) = self.units.of_service(process)?;
        limit.setting.gives(limits.soft, limits.hard, self.nr_open).then(|| Origin::Setting {
            unit: process.unit.clone().filter(|_| whose == Whose::Unit),
            file: limit.file.to_string_lossy().into_owned(),
        })
    }

    fn holder(&mut self, tgid: u32) -> Option<(Holder, u32)> {
        if let Some(known) = self.known.get(&tgid) {
            return known.clone();
        }
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        let found = self.read(tgid).ok();
        self.known.insert(tgid, found.clone());
        found
    }

    fn read(&mut self, tgid: u32) -> Result<(Holder, u32), ReadError> {
        let dir = self.proc.process(tgid)?;
        let identity = self.identifier.identify(&dir)?;
        let nofile = dir.limits()?.get(libc::RLIMIT_NOFILE).ok_or(ReadError::Gone { tgid })?;
        let holder = Holder {
            tgid,
            comm: identity.comm,
            limits: Limits { soft: nofile.soft, hard: nofile.hard },
            container: identity.container.map(|container| container.id),
        };
        Ok((holder, identity.parent_tgid.unwrap_or(0)))
    }
}
