//! What a policy comes to, in words.

mod export;
mod matching;
mod pool;

use std::time::Duration;

use serde::Serialize;

use crate::config::Configuration;
use crate::core::policy::{
    Amount, Audit, Bounds, FdTableRule, Growth, Pressure, ProcessLimit, Protect, Reach, Scope, Settings,
    TableAction, Then, Thrash,
};
use crate::core::quantity::Bytes;
use matching::{guarded, processes};

/// What one rule does.
#[derive(Debug, Serialize)]
pub(super) struct Paragraph {
    /// Its kind: the heading of its table.
    pub(super) rule: &'static str,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Sentences.
    pub(super) says: Vec<String>,
}

impl Paragraph {
    fn new(rule: &'static str, name: &str, says: Vec<String>) -> Self {
        Self { rule, name: Some(name.to_owned()), says }
    }

    fn unnamed(rule: &'static str, says: Vec<String>) -> Self {
        Self { rule, name: None, says }
    }
}

/// The policy, rule by rule, and who is told.
pub(super) fn all(configuration: &Configuration) -> Vec<Paragraph> {
    let mut paragraphs = policy(&configuration.policy);
    paragraphs.extend(export::all(&configuration.exports));
    paragraphs.push(export::metrics(&configuration.metrics));
    paragraphs.push(export::containers(&configuration.containers));
    paragraphs
}

fn policy(settings: &Settings) -> Vec<Paragraph> {
    let mut paragraphs: Vec<_> = settings.scopes.iter().map(scope).collect();
    paragraphs.extend(settings.pools.iter().map(pool::named));
    paragraphs.push(pool::found(settings.found_pools.as_ref()));
    paragraphs.extend(settings.process_limits.iter().map(process_limit));
    paragraphs.extend(settings.fd_tables.iter().map(fd_table));
    paragraphs.push(pressure(settings.pressure.as_ref()));
    paragraphs.push(thrash(settings.thrash));
    paragraphs.push(audit(settings.audit));
    paragraphs.push(growth(settings.growth.as_ref()));
    paragraphs.push(protect(&settings.protect));
    paragraphs.push(budget(settings));
    paragraphs
}

fn scope(scope: &Scope) -> Paragraph {
    let reach = match &scope.reach {
        Reach::Host => "the whole host".to_owned(),
        Reach::Cgroup(path) => format!("cgroup {path} and those below it"),
        Reach::Tree(pid) => format!("process {pid} and its descendants"),
    };
    let memory = match scope.memory {
        Some(bytes) => Bytes(bytes).to_string(),
        None if scope.true_use => "the cgroup's own limit, or all memory of the host,".to_owned(),
        None => "all memory of the host".to_owned(),
    };
    let mut says = vec![format!("reaches over {reach}, with {memory} as its budget")];
    if scope.true_use {
        says.push("use is what the cgroup truly holds, whoever is charged for it".to_owned());
    }
    let who = if scope.any_process { "processes" } else { "workers" };
    if let Some(bounds) = &scope.bounds {
        says.extend(recycling(bounds, who));
        says.push(format!(
            "from {} in use {who} are killed, one after another, until use is below that",
            amount(bounds.upper)
        ));
    }
    says.push(if scope.any_process {
        "chosen from every process in it that is not protected, those with the most private memory first"
            .to_owned()
    } else {
        "chosen from the workers of its pools, those with the most private memory first".to_owned()
    });
    Paragraph::new("scope", &scope.name, says)
}

fn recycling(bounds: &Bounds, who: &str) -> Vec<String> {
    if !bounds.steps.is_empty() {
        let steps: Vec<_> =
            bounds.steps.iter().map(|step| format!("{} from {}", step.count, amount(step.at))).collect();
        return vec![format!("{who} are asked to leave as use rises: {}", steps.join(", "))];
    }
    vec![format!(
        "from {} to {} in use ceil(n x ((use - lower) / (upper - lower)) ^ {}) of n {who} are asked to leave",
        amount(bounds.lower),
        amount(bounds.upper),
        bounds.exponent,
    )]
}

fn process_limit(limit: &ProcessLimit) -> Paragraph {
    let says = vec![
        format!("concerns {}", processes(&limit.matching)),
        format!(
            "one that passes {} resident (RSS) is sent {} by the kernel side, in the act",
            Bytes(limit.bytes),
            limit.signal
        ),
    ];
    Paragraph::new("process_limit", &limit.name, says)
}

fn fd_table(rule: &FdTableRule) -> Paragraph {
    let confidence = match rule.confidence {
        0 => "any",
        1 => "medium or high",
        _ => "high",
    };
    let (bytes, who) = (Bytes(rule.min_bytes), processes(&rule.matching));
    // What a rule of the kernel side goes by.
    let by_length = match rule.confidence {
        0 => "fits the limit",
        1 => "fits the limit as few do",
        _ => "is hardly an accident",
    };
    let mut says = vec![match rule.action {
        TableAction::Refuse => {
            format!("concerns single fd tables of {bytes} or more whose length {by_length}, of {who}")
        }
        TableAction::Report | TableAction::Touched(_) | TableAction::Mapped => {
            format!("concerns fd tables of {bytes} or more, found with {confidence} confidence, of {who}")
        }
    }];
    says.push(match rule.action {
        TableAction::Report => "they are reported, and nothing is done".to_owned(),
        TableAction::Touched(bytes) => format!(
            "the process is sent {} once {} of them are touched, and SIGKILL {} later",
            rule.signal,
            Bytes(bytes),
            duration(rule.deadline_ns)
        ),
        TableAction::Mapped => format!(
            "the process is sent {}: before the first page is touched where a single table is so large and its length {by_length}, \
             else a moment later, when all tables and all signs are known",
            rule.signal
        ),
        TableAction::Refuse => "the mapping is refused with ENOMEM, where the kernel can".to_owned(),
    });
    if rule.action != TableAction::Report {
        says.push(respawns(rule.rounds, rule.then));
    }
    Paragraph::new("fd_table", &rule.name, says)
}

/// What is done about a master that starts its victims again.
fn respawns(rounds: u32, then: Then) -> String {
    let then = match then {
        Then::Stop => "nothing more is done about it, and that is told",
        Then::Master => "the master is acted on",
        Then::Unit => "systemd is told to stop its unit",
        Then::Cgroup => "its whole cgroup is killed",
    };
    format!("when the master has started {rounds} victims again at once, {then}")
}

fn pressure(pressure: Option<&Pressure>) -> Paragraph {
    let says = match pressure {
        Some(pressure) => format!(
            "acts as at the upper bound when full memory pressure is at {} or more for {} and less than {} is available",
            share(pressure.full),
            duration(pressure.lasting_ns),
            amount(pressure.available_below)
        ),
        None => "is not looked at".to_owned(),
    };
    Paragraph::unnamed("pressure", vec![says])
}

fn thrash(thrash: Option<Thrash>) -> Paragraph {
    let says = match thrash {
        Some(thrash) => format!(
            "told when a scope that is the host or a cgroup reads {} pages a second in again and tasks wait {} of the time, over {}",
            thrash.refaults,
            share(thrash.stalled),
            duration(thrash.window_ns)
        ),
        None => "is not looked at".to_owned(),
    };
    Paragraph::unnamed("thrash", vec![says])
}

fn audit(audit: Option<Audit>) -> Paragraph {
    let says = match audit {
        Some(audit) => format!(
            "told when {} and {} of what a cgroup truly holds are charged elsewhere; read {} after it was made, and every {} at most",
            Bytes(audit.min_missing),
            amount(audit.min_share),
            duration(audit.settle_ns),
            duration(audit.every_ns)
        ),
        None => "only cgroups of scopes whose use is what they truly hold are read".to_owned(),
    };
    Paragraph::unnamed("audit", vec![says])
}

fn growth(growth: Option<&Growth>) -> Paragraph {
    let Some(growth) = growth else {
        return Paragraph::unnamed("growth", vec!["is not looked at".to_owned()]);
    };
    let mut says = vec![format!(
        "told when a limit or upper bound will be reached within {}, at the rate of the last {}",
        duration(growth.warn_within_ns),
        duration(growth.window_ns)
    )];
    says.push(match growth.recycle_within_ns {
        0 => "nothing is done about it".to_owned(),
        within => {
            format!("within {} the worker with the most private memory is asked to leave", duration(within))
        }
    });
    Paragraph::unnamed("growth", says)
}

fn protect(protect: &Protect) -> Paragraph {
    let mut says = vec![guarded().to_owned()];
    says.extend(protect.matching.iter().map(|matching| format!("never touched: {}", processes(matching))));
    Paragraph::unnamed("protect", says)
}

fn budget(settings: &Settings) -> Paragraph {
    let budget = &settings.budget;
    let mut says = vec![
        format!(
            "{} kills in {}; then none for {}, and that is told",
            budget.kills,
            duration(budget.window_ns),
            duration(budget.cool_down_ns)
        ),
        format!(
            "the next kill waits until the memory of the last one is back, for {} at most",
            duration(settings.returned_within_ns)
        ),
    ];
    if settings.oom_group {
        says.push("a kill takes the victim's whole cgroup where memory.oom.group is set there".to_owned());
    }
    Paragraph::unnamed("budget", says)
}

fn amount(amount: Amount) -> String {
    match amount {
        Amount::Bytes(bytes) => Bytes(bytes).to_string(),
        Amount::Share(hundredths) => share(hundredths),
    }
}

fn share(hundredths: u32) -> String {
    format!("{}%", f64::from(hundredths) / 100.0)
}

/// A time as it is written in the file.
fn duration(ns: u64) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_nanos(ns))
}
