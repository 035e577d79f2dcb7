//! Who is never touched.

use serde::Serialize;

use super::guard_names::guarded_program;
use super::settings::Protect;
use super::who::Who;

/// memwatch itself, and those above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Its process id.
    pub tgid: u32,
    /// Its parent, that one's parent, and so on: its supervisors.
    pub ancestors: Vec<u32>,
}

/// Why a process is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Process 1.
    Init,
    /// memwatch.
    Myself,
    /// A process that memwatch was started by.
    Supervisor,
    /// A thread of the kernel.
    Kernel,
    /// A program that hosts depend on.
    System,
    /// Its `oom_score_adj` exempts it from the kernel's own killer.
    OomExempt,
    /// The configuration protects it.
    Protected,
    /// Its executable is not known: it might be any of these.
    Unknown,
}

/// Why a process may never be touched; `None`: it may.
#[must_use]
pub fn of(who: &Who, parent: Option<&Who>, own: &Own, protect: &Protect) -> Option<Guard> {
    if who.key.tgid <= 1 {
        Some(Guard::Init)
    } else if who.key.tgid == own.tgid {
        Some(Guard::Myself)
    } else if own.ancestors.contains(&who.key.tgid) {
        Some(Guard::Supervisor)
    } else if who.is_kernel {
        Some(Guard::Kernel)
    } else if who.oom_score_adj == Some(-1000) {
        Some(Guard::OomExempt)
    } else if guarded_program(who).is_some() {
        Some(Guard::System)
    } else if protect.covers(who, parent) {
        Some(Guard::Protected)
    } else if who.exe.is_none() {
        Some(Guard::Unknown)
    } else {
        None
    }
}
