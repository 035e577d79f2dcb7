//! What stands in somebody's way, in words.

use crate::core::policy::Standing;
use crate::core::policy::explain::Obstacle;
use crate::core::policy::guard::Guard;
use crate::core::quantity::Nanos;

/// The name of a standing.
pub(in crate::export) const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Eligible => "eligible",
        Standing::Young => "young",
        Standing::Deaf => "deaf",
        Standing::Handled => "handled",
        Standing::Needed => "needed",
    }
}

/// The name of an obstacle's kind.
pub(super) const fn kind(obstacle: &Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Guarded { .. } => "guarded",
        Obstacle::OutOfScope => "out_of_scope",
        Obstacle::Master => "master",
        Obstacle::NoWorker => "no_worker",
        Obstacle::UnderWay { .. } | Obstacle::Rests { .. } | Obstacle::Stopped { .. } => "handled",
        Obstacle::Needed { .. } => "needed",
        Obstacle::Young { .. } => "young",
        Obstacle::Deaf { .. } => "deaf",
    }
}

/// An obstacle as the end of a sentence about the process.
pub(super) fn why(obstacle: &Obstacle, now_ns: u64) -> String {
    match *obstacle {
        Obstacle::Guarded { guard, program } => match (guard, program) {
            (Guard::System, Some(program)) => format!("it is guarded: its program is {program} of this host"),
            (Guard::System, None) => "it is guarded: this host depends on its program".to_owned(),
            (Guard::Init, _) => "it is guarded: it is the first process".to_owned(),
            (Guard::Myself, _) => "it is guarded: it is memwatch itself".to_owned(),
            (Guard::Supervisor, _) => "it is guarded: memwatch was started by it".to_owned(),
            (Guard::Kernel, _) => "it is guarded: it is a thread of the kernel".to_owned(),
            (Guard::OomExempt, _) => "it is guarded: its oom_score_adj is -1000".to_owned(),
            (Guard::Protected, _) => "it is guarded: [[protect]] names it".to_owned(),
            (Guard::Unknown, _) => "it is guarded: its executable is not known".to_owned(),
        },
        Obstacle::OutOfScope => "it is in no [[scope]]".to_owned(),
        Obstacle::Master => "it is the master of a pool, whose workers go".to_owned(),
        Obstacle::NoWorker => {
            "it is no worker of a pool; a [[pool]] could name it, or its scope set any_process".to_owned()
        }
        Obstacle::UnderWay { decision } => format!("decision {decision} about it is under way"),
        Obstacle::Rests { until_ns } => format!(
            "it was observed, or could not be acted on, and is left alone for {}",
            Nanos(until_ns.saturating_sub(now_ns))
        ),
        Obstacle::Stopped { master } => format!(
            "its master ({master}) started its victims again and again; nothing more is done until the policy is read anew"
        ),
        Obstacle::Needed { alive, leaving, min_alive } => {
            format!("its pool has {alive} workers, {leaving} of them leaving, and keeps {min_alive}")
        }
        Obstacle::Young { age_ns, min_lifetime_ns } => {
            format!("it is {} old, and goes after those of {} or more", Nanos(age_ns), Nanos(min_lifetime_ns))
        }
        Obstacle::Deaf { signal: Some(signal) } => format!("it has no handler for {signal}"),
        Obstacle::Deaf { signal: None } => "nothing is known that asks it to leave".to_owned(),
    }
}
