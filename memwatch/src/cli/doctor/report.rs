//! What the doctor found, as JSON and as text.

mod text;

use serde::Serialize;

use super::host::Host;
use super::remedy;
use super::running::RunningProgram;
use crate::probe::attach::{HookStatus, Probe};
use crate::probe::{HOOKS, Hook, REFUSE};

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) host: Host,
    /// Why tracing is not possible at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<String>,
    pub(super) hooks: Vec<HookReport>,
    /// Kernel fields that were not found.
    pub(super) missing_fields: Vec<String>,
    /// Programs of running instances, with what they cost.
    pub(super) running: Vec<RunningProgram>,
}

/// One hook.
#[derive(Debug, Serialize)]
pub(super) struct HookReport {
    pub(super) name: &'static str,
    pub(super) attached: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) program: Option<&'static str>,
    /// Instructions that the verifier walked through (5.16 and later).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verified_instructions: Option<u32>,
    /// Instructions that it has as the kernel runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) translated_instructions: Option<u32>,
    /// What is lost while it is not attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<&'static str>,
    /// When a trace attaches it, if not from the start on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) on_demand: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
    pub(super) refused: Vec<RefusedWay>,
}

/// One way that the kernel did not take.
#[derive(Debug, Serialize)]
pub(super) struct RefusedWay {
    pub(super) way: &'static str,
    pub(super) reason: String,
    pub(super) remedy: String,
}

impl HookReport {
    pub(super) fn of(status: &HookStatus, probe: Option<&Probe>, host: &Host) -> Self {
        let missing = status.attached.is_none();
        let refused: Vec<_> = status
            .refused
            .iter()
            .map(|refused| RefusedWay {
                way: refused.way.name(),
                reason: refused.reason.clone(),
                remedy: remedy::of(refused.way, &refused.reason, host),
            })
            .collect();
        // The last way asks least of a kernel, so its remedy is the nearest.
        let remedy =
            refused.last().map_or_else(|| "allow more ways with --attach".into(), |way| way.remedy.clone());
        Self {
            name: status.hook.name,
            attached: status.attached.map(|way| way.kind().name()),
            program: status.attached.map(|way| way.program()),
            verified_instructions: status
                .attached
                .and_then(|way| probe?.verified_instructions(way.program())),
            translated_instructions: status
                .attached
                .and_then(|way| probe?.translated_instructions(way.program())),
            lost: missing.then_some(status.hook.lost),
            on_demand: status.hook.on_demand,
            remedy: missing.then_some(remedy),
            refused,
        }
    }

    /// A hook that was not tried, because nothing can be loaded at all.
    fn untried(hook: &Hook) -> Self {
        Self {
            name: hook.name,
            attached: None,
            program: None,
            verified_instructions: None,
            translated_instructions: None,
            lost: Some(hook.lost),
            on_demand: hook.on_demand,
            remedy: Some("first mend what makes tracing impossible".into()),
            refused: Vec::new(),
        }
    }

    /// Every hook, untried.
    pub(super) fn all_untried() -> Vec<Self> {
        HOOKS.iter().chain([&REFUSE]).map(Self::untried).collect()
    }
}
