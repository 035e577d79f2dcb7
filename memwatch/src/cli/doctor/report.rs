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
    /// Instructions that the verifier walked through.
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
        let remedy = refused.last().map(|way| way.remedy.clone());
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
            remedy: remedy.filter(|_| missing),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// A report in which nothing is left out.
    fn whole() -> Report {
        let refused = RefusedWay { way: "fentry", reason: String::new(), remedy: String::new() };
        let hook = HookReport {
            name: "mmap",
            attached: None,
            program: Some("mmap_fexit"),
            verified_instructions: Some(1),
            translated_instructions: Some(1),
            lost: Some(""),
            on_demand: Some(""),
            remedy: Some(String::new()),
            refused: vec![refused],
        };
        let program = RunningProgram {
            id: 1,
            pid: Some(1),
            name: "mmap_fexit",
            run_count: Some(1),
            run_time_ns: Some(1),
        };
        Report {
            host: Host::default(),
            failure: Some(String::new()),
            hooks: vec![hook],
            missing_fields: Vec::new(),
            running: vec![program],
        }
    }

    fn collect(prefix: &str, value: &Value, keys: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    collect(&key, value, keys);
                    keys.insert(key);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(&format!("{prefix}[]"), item, keys)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn docs_doctor_has_every_key_and_no_other() {
        let mut written = BTreeSet::new();
        collect("", &serde_json::to_value(whole()).expect("a report"), &mut written);
        let page = include_str!("../../../../docs/doctor.md");
        let told: BTreeSet<String> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
            .map(|(key, _)| key.to_owned())
            .collect();
        assert_eq!(told, written);
    }
}
