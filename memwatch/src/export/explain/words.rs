//! What stands in somebody's way, in words.

use crate::core::policy::explain::{Obstacle, Stays};
use crate::core::policy::guard::Guard;
use crate::core::policy::{Standing, Way};
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

/// Why the size of a pool does not change, as the end of a sentence about it.
pub(super) fn stays(why: Stays, now_ns: u64) -> String {
    match why {
        Stays::Unasked => {
            "its size is left as it is; `size` of its [[pool]] has it follow the load".to_owned()
        }
        Stays::NoOrder => {
            "nothing tells a master of its kind to change its size: what would be done is told".to_owned()
        }
        Stays::Closed(way) => closed(way).to_owned(),
        Stays::Deaf(signal) => format!("its master has no handler for {signal}, which would stop it"),
        Stays::Rests { until_ns } => format!(
            "its master could not be told, or did not follow, and is left alone for {}",
            Nanos(until_ns.saturating_sub(now_ns))
        ),
    }
}

/// Why a master cannot be told by its FIFO.
const fn closed(way: Way) -> &'static str {
    match way {
        Way::Open => "its master can be told",
        Way::NoFifo => "its master reads no FIFO that can be found; start it with master-fifo",
        Way::ManyFifos => "its master reads several FIFOs, and which takes orders cannot be told",
        Way::ForeignFifo => {
            "its master's FIFO belongs to another user; give it to the user that the master runs as"
        }
        Way::Fixed => {
            "its master takes no orders about its size; start it with cheaper and cheaper-algo = manual"
        }
        Way::OwnAlgorithm => "its server sizes it by an algorithm of its own, which is not disturbed",
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
