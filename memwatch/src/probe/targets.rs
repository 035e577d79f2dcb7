//! What hooks are attached to, as far as the kernel's types tell: read once, as the types are large and go before the object
//! comes.

use std::collections::HashMap;

use super::btf::Btf;
use super::{HOOKS, REFUSE, Way};

/// Functions for trampolines, and what tracepoints pass.
#[derive(Debug)]
pub(super) struct Targets {
    functions: HashMap<&'static str, u32>,
    /// Whether `mark_victim` passes a task, not a number; unknown where there is no such tracepoint.
    pub(super) mark_victim_passes_task: Option<bool>,
}

impl Targets {
    /// Looks all of them up.
    pub(super) fn of(types: &Btf) -> Self {
        let ways = HOOKS.iter().chain([&REFUSE]).flat_map(|hook| hook.ways);
        let functions = ways.filter_map(|way| match *way {
            Way::Fentry { function, .. }
            | Way::Fexit { function, .. }
            | Way::ModifyReturn { function, .. } => Some((function, types.function(function)?)),
            Way::Raw { .. } | Way::Tracepoint { .. } | Way::Kretprobe { .. } | Way::Perf { .. } => None,
        });
        Self {
            functions: functions.collect(),
            mark_victim_passes_task: types.tracepoint_argument_is_pointer("mark_victim", 0),
        }
    }

    /// The id of a function that a way names.
    ///
    /// # Errors
    /// The kernel has none of this name.
    pub(super) fn function(&self, name: &str) -> Result<u32, String> {
        let id = self.functions.get(name).copied();
        id.ok_or_else(|| format!("the kernel has no function {name}"))
    }
}
