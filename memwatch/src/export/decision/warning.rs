//! Warnings with their figures.

use serde::Serialize;

use super::HoldingBody;
use super::words::warn;
use crate::core::fact::ProcessKey;
use crate::core::policy::{Engine, Grows, Warning};

#[derive(Serialize)]
pub(super) struct Body<'a> {
    #[serde(rename = "memwatch.warning.kind")]
    kind: &'static str,
    #[serde(rename = "memwatch.warning.text")]
    text: String,
    #[serde(flatten)]
    figures: Option<Figures<'a>>,
}

/// What a warning goes by.
#[derive(Serialize)]
#[serde(untagged)]
enum Figures<'a> {
    Holding(HoldingBody<'a>),
    Growth {
        #[serde(rename = "memwatch.growth.bytes")]
        bytes: u64,
        #[serde(rename = "memwatch.growth.limit_bytes")]
        limit: u64,
        #[serde(rename = "memwatch.growth.reached_in_ns")]
        reached_in_ns: u64,
    },
    Thrash {
        #[serde(rename = "memwatch.thrash.scope")]
        scope: Option<&'a str>,
        #[serde(rename = "memwatch.thrash.refaults")]
        refaults: u64,
        #[serde(rename = "memwatch.thrash.major_faults")]
        major_faults: u64,
        #[serde(rename = "memwatch.thrash.direct_reclaimed", skip_serializing_if = "Option::is_none")]
        reclaimed: Option<u64>,
        #[serde(rename = "memwatch.thrash.stalled_percent", skip_serializing_if = "Option::is_none")]
        stalled: Option<f64>,
    },
}

impl<'a> Body<'a> {
    pub(super) fn new(warning: &Warning, engine: &'a Engine) -> Self {
        Self { kind: kind(warning), text: warn(warning, engine), figures: Figures::new(warning, engine) }
    }
}

impl<'a> Figures<'a> {
    fn new(warning: &Warning, engine: &'a Engine) -> Option<Self> {
        Some(match *warning {
            Warning::UnderCharged { cgroup, used, charged, missing, limit } => {
                let (low, high, took_ns, cpu_ns) = (None, None, None, None);
                let cgroup = engine.cgroup(cgroup);
                Self::Holding(HoldingBody {
                    cgroup,
                    used,
                    low,
                    high,
                    charged,
                    missing,
                    limit,
                    took_ns,
                    cpu_ns,
                })
            }
            Warning::Growing { bytes, limit, reached_in_ns, .. } => {
                Self::Growth { bytes, limit, reached_in_ns }
            }
            Warning::Thrashing { scope, refaults, major_faults, reclaimed, stalled } => Self::Thrash {
                scope: engine.settings().scopes.get(scope).map(|scope| scope.name.as_str()),
                refaults,
                major_faults,
                reclaimed,
                stalled: stalled.map(|share| f64::from(share) / 100.0),
            },
            Warning::BudgetSpent { .. }
            | Warning::Stopped { .. }
            | Warning::CgroupSpared { .. }
            | Warning::NobodyLeft { .. }
            | Warning::Forecast { .. }
            | Warning::FdTable { .. } => return None,
        })
    }
}

/// Kind of a warning, as lines and metrics name it.
pub(in crate::export) const fn kind(warning: &Warning) -> &'static str {
    match warning {
        Warning::BudgetSpent { .. } => "budget_spent",
        Warning::Stopped { .. } => "stopped",
        Warning::CgroupSpared { .. } => "cgroup_spared",
        Warning::NobodyLeft { .. } => "nobody_left",
        Warning::Growing { .. } => "growing",
        Warning::Thrashing { .. } => "thrashing",
        Warning::UnderCharged { .. } => "under_charged",
        Warning::Forecast { .. } => "forecast",
        Warning::FdTable { .. } => "fd_table",
    }
}

/// Whom a warning is about.
pub const fn concerned(warning: &Warning) -> Option<ProcessKey> {
    match *warning {
        Warning::Stopped { key, .. } | Warning::CgroupSpared { key, .. } | Warning::FdTable { key, .. } => {
            Some(key)
        }
        Warning::Growing { grows: Grows::Pool { master, .. }, .. } => Some(master),
        Warning::BudgetSpent { .. }
        | Warning::NobodyLeft { .. }
        | Warning::Growing { grows: Grows::Scope(_), .. }
        | Warning::Thrashing { .. }
        | Warning::UnderCharged { .. }
        | Warning::Forecast { .. } => None,
    }
}
