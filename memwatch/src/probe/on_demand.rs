//! Hooks that are loaded with the others and attached only while they are needed: they cost every page fault of the host.

use aya::Ebpf;
use aya::programs::RawTracePoint;
use aya::programs::raw_trace_point::RawTracePointLinkId;

use super::ways::{explain, find};

/// One of them, and whether it is attached.
#[derive(Debug)]
pub(super) struct OnDemand {
    pub(super) program: &'static str,
    event: &'static str,
    /// Whether the kernel took the program.
    pub(super) loaded: bool,
    /// Present while it is attached.
    link: Option<RawTracePointLinkId>,
}

/// Every change of RSS.
pub(super) const RSS: OnDemand =
    OnDemand { program: "rss_raw", event: "rss_stat", loaded: false, link: None };
/// Every fault of user code.
pub(super) const TOUCH: OnDemand =
    OnDemand { program: "touch_raw", event: "page_fault_user", loaded: false, link: None };
/// Every fault of the kernel, of which some are for user code.
pub(super) const TOUCH_KERNEL: OnDemand =
    OnDemand { program: "touch_kernel_raw", event: "page_fault_kernel", loaded: false, link: None };

/// Whether the programs of an event are attached later than loaded.
pub(super) fn is_on_demand(event: &str) -> bool {
    [RSS, TOUCH, TOUCH_KERNEL].iter().any(|hook| hook.event == event)
}

impl OnDemand {
    /// Whether it is attached now.
    pub(super) const fn is_attached(&self) -> bool {
        self.link.is_some()
    }

    /// Attaches or detaches it, unless that is done or cannot be.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf, on: bool) -> Result<(), String> {
        if on == self.link.is_some() || !self.loaded {
            return Ok(());
        }
        let program: &mut RawTracePoint = find(ebpf, self.program)?.try_into().map_err(|e| explain(&e))?;
        match self.link.take() {
            Some(link) => program.detach(link).map_err(|e| explain(&e))?,
            None => self.link = Some(program.attach(self.event).map_err(|e| explain(&e))?),
        }
        tracing::info!(
            "{} {}",
            self.event,
            if on { "is watched from now on" } else { "is not watched any more" }
        );
        Ok(())
    }
}
