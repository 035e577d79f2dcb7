//! What was decided, in sentences for people.

use std::fmt::Write as _;

use crate::core::fact::ProcessKey;
use crate::core::policy::{
    Candidate, Cause, Closing, Command, Decision, Ending, Engine, Figures, Gravity, Grows, Holding, Mode,
    Outbox, Resize, Told, Turn, Warning,
};
use crate::core::quantity::{Bytes, Nanos};
use crate::export::escape;

/// Sentences for people, or nothing for commands that are not told.
#[must_use]
pub fn sentence(command: &Command, engine: &Engine, outbox: &Outbox) -> Option<String> {
    Some(match command.told()? {
        Told::Decided(decision) => decided(decision, engine, outbox),
        Told::Closed(closing) => closed(closing),
        Told::Warned(warning) => format!("warning: {}", warn(warning, engine)),
    })
}

fn decided(decision: &Decision, engine: &Engine, outbox: &Outbox) -> String {
    let verb = match (engine.settings().mode, decision.gravity) {
        (Mode::Enforce, Gravity::Resize) => "telling",
        (Mode::Observe, Gravity::Resize) => "would tell",
        (_, Gravity::Refuse) => "refused a mapping of",
        (Mode::Enforce, Gravity::Graceful) => "asking",
        (Mode::Enforce, Gravity::StopUnit) => "having systemd stop the unit of",
        (Mode::Enforce, Gravity::Kill) => "killing",
        (Mode::Enforce, Gravity::KillCgroup) => "killing the cgroup of",
        (Mode::Observe, Gravity::Graceful) => "would ask",
        (Mode::Observe, Gravity::StopUnit) => "would have systemd stop the unit of",
        (Mode::Observe, Gravity::Kill) => "would kill",
        (Mode::Observe, Gravity::KillCgroup) => "would kill the cgroup of",
    };
    let own = outbox.ranking(decision).iter().find(|candidate| candidate.key == decision.key);
    let mut text = format!(
        "decision {}: {verb} {} with {}: {}",
        decision.id,
        name_of(decision.key, engine),
        decision.means(),
        reason_of(decision, engine)
    );
    if let Some(private) = own.and_then(|own: &Candidate| own.figures.private) {
        let _ = write!(text, "; it holds {} of its own", size(private));
    }
    let _ = write!(text, " ({}", decision.rule);
    if let Some(entry) = engine.entry_name(decision) {
        let _ = write!(text, " of {entry}");
    }
    let _ = write!(text, ", first of {} candidates)", decision.candidates.max(1));
    text
}

fn closed(closing: &Closing) -> String {
    let ending = match closing.ending {
        Ending::Returned => "it ended and its memory is back",
        Ending::NotReturned => "it ended, but its memory did not come back in time",
        Ending::Stuck => "it did not end, not even by SIGKILL, in time",
        Ending::Refused => "the mapping was refused",
        Ending::Observed => "nothing was done: the policy observes",
        Ending::Gone => "it was gone already",
        Ending::Failed => "it could not be carried out",
        Ending::Resized => "the pool has followed",
        Ending::Ignored => "the master did not follow, and is left alone for ten minutes",
    };
    let mut text = format!("decision {}: {ending}", closing.decision);
    if let Some(bytes) = closing.returned_bytes {
        let _ = write!(text, ", {} returned", size(bytes));
    }
    if let Some(after) = closing.ended_after_ns {
        let _ = write!(text, " after {}", Nanos(after));
    }
    if closing.was_killed && closing.ending != Ending::Observed {
        text.push_str(", by SIGKILL");
    }
    text
}

/// The finding in words, with what the kernel says where it was decided by what the cgroup truly holds.
pub(super) fn reason_of(decision: &Decision, engine: &Engine) -> String {
    let mut text = reason(&decision.cause);
    if decision.is_unreplaced() {
        text.push_str(
            "; idle workers are left, so its master is told to have one less, and starts none in its place",
        );
    }
    if let Some(Holding { charged, missing, .. }) = engine.truly_held(decision) {
        let _ = write!(
            text,
            "; that is its true use: the cgroup is charged for {}, and {} of what it holds are charged elsewhere",
            size(charged),
            size(missing)
        );
    }
    text
}

/// The finding in words.
#[must_use]
pub fn reason(cause: &Cause) -> String {
    match *cause {
        Cause::AboveLower { used, lower, upper, wanted } => {
            format!("{} in use, between {} and {}: {wanted} to recycle", size(used), size(lower), size(upper))
        }
        Cause::AboveUpper { used, upper } => format!("{} in use, the bound is {}", size(used), size(upper)),
        Cause::WorkerLimit { bytes, limit } => {
            format!("it holds {}, its limit is {}", size(bytes), size(limit))
        }
        Cause::PoolTotal { bytes, limit } => {
            format!("its pool holds {}, the limit of all is {}", size(bytes), size(limit))
        }
        Cause::FdTable { limit, bytes, touched, bound } => format!(
            "one slot for each of {limit} possible descriptors: {} mapped, {} touched, the bound is {}",
            size(bytes),
            size(touched),
            size(bound)
        ),
        Cause::Pressure { full, available, below } => format!(
            "all tasks waited for memory {:.1} % of the time and {} are available, less than {}",
            f64::from(full) / 100.0,
            size(available),
            size(below)
        ),
        Cause::Growth { bytes, limit, rate, reached_in_ns } => format!(
            "{} in use and {} a second more: {} are reached in {}",
            size(bytes),
            size(rate),
            size(limit),
            Nanos(reached_in_ns)
        ),
        Cause::Queue(turn) => resizing(turn),
        Cause::Respawns { rounds } => format!("its victims were started again {rounds} times in a row"),
    }
}

fn resizing(turn: Turn) -> String {
    let Turn { workers, idle, waiting, bound, .. } = turn;
    let mut text = format!(
        "{waiting} of {bound} connections wait, {idle} of {workers} workers are idle, for {} now: one {}",
        Nanos(turn.lasting_ns),
        match turn.step {
            Resize::Grow => "more",
            Resize::Shrink => "less",
        }
    );
    if let (Resize::Grow, Some(peak), Some(worst), Some(room)) = (turn.step, turn.peak, turn.worst, turn.room)
    {
        let _ = write!(
            text,
            "; should all come to hold the {} that one has held, {} more are needed of {}",
            size(peak),
            size(worst),
            size(room)
        );
    }
    text
}

pub(super) fn warn(warning: &Warning, engine: &Engine) -> String {
    let scope_name =
        |scope: usize| engine.settings().scopes.get(scope).map_or("?", |scope| scope.name.as_str());
    match *warning {
        Warning::BudgetSpent { kills, .. } => format!(
            "the kill budget is spent ({kills} kills): nothing more is killed until the cool-down is over; [budget] sets both"
        ),
        Warning::Stopped { key, rounds } => format!(
            "{} was started again {rounds} times in a row: nothing more is done about its siblings; raise the limit, or set \
             `then` to act on their master",
            name_of(key, engine)
        ),
        Warning::CgroupSpared { key, by } => {
            let why = by.map_or_else(
                || "which one it is, is not known".to_owned(),
                |by| {
                    format!(
                        "{} in it is never touched; give one of the two a cgroup of its own",
                        name_of(by, engine)
                    )
                },
            );
            format!("the cgroup of {} is not killed as a whole: {why}", name_of(key, engine))
        }
        Warning::NobodyLeft { scope, used, bound } => format!(
            "scope {} uses {}, its bound is {}, and nobody in it may go: add pools, or set `any_process`",
            scope_name(scope),
            size(used),
            size(bound)
        ),
        Warning::Growing { grows, bytes, limit, reached_in_ns } => {
            let subject = match grows {
                Grows::Scope(scope) => format!("scope {}", scope_name(scope)),
                Grows::Pool { entry, master } => {
                    let pools = &engine.settings().pools;
                    let name =
                        entry.and_then(|entry| pools.get(entry)).map(|pool| format!("pool {}", pool.name));
                    let name = name.unwrap_or_else(|| "the pool".to_owned());
                    format!("{name} of {}", name_of(master, engine))
                }
            };
            format!(
                "{subject} uses {} and reaches {} in {} at its present rate",
                size(bytes),
                size(limit),
                Nanos(reached_in_ns)
            )
        }
        Warning::Thrashing { scope, refaults, major_faults, reclaimed, stalled } => {
            let mut text = format!(
                "scope {} thrashes: {refaults} pages a second are read in again, {major_faults} faults a second wait for a disk",
                scope_name(scope)
            );
            if let Some(reclaimed) = reclaimed {
                let _ = write!(text, ", {reclaimed} pages a second are taken back on the spot");
            }
            if let Some(stalled) = stalled {
                let _ = write!(text, ", tasks wait {:.1} % of the time", f64::from(stalled) / 100.0);
            }
            text + "; give it memory, or take a worker away, before it stops to answer"
        }
        Warning::UnderCharged { cgroup, used, charged, missing, limit } => {
            let path = cgroup_name(engine, cgroup);
            let mut text = format!(
                "cgroup {path} truly uses {} and is charged for {}: {} of what it holds are charged elsewhere",
                size(used),
                size(charged),
                size(missing)
            );
            if let Some(limit) = limit {
                let _ = write!(text, ", and its limit of {} does not see them", size(limit));
            }
            text + &format!(
                "; `memwatch audit --cgroup {path}` names where and of which files, and a [[scope]] with measure = \"true-use\" \
                 bounds its true use"
            )
        }
        Warning::Forecast { foretold_ns, reached_ns } => match reached_ns {
            Some(reached) => format!(
                "the bound was reached {} {} than foretold",
                Nanos(foretold_ns.abs_diff(reached)),
                if reached < foretold_ns { "earlier" } else { "later" }
            ),
            None => "the bound that was foretold was not reached".to_owned(),
        },
        Warning::FdTable { key, bytes, touched } => format!(
            "{} holds one slot per possible descriptor: {} mapped, {} touched",
            name_of(key, engine),
            size(bytes),
            size(touched)
        ),
    }
}

/// A candidate in words: who, whether it may be chosen, and its bytes.
pub(super) fn ranked(candidate: &Candidate, engine: &Engine) -> String {
    let standing = crate::export::explain::standing(candidate.standing);
    let Figures { resident, private, proportional, idle, .. } = candidate.figures;
    let mut text = format!("{} {standing}", name_of(candidate.key, engine));
    for (name, bytes) in [("private", private), ("proportional", proportional), ("resident", resident)] {
        if let Some(bytes) = bytes {
            let _ = write!(text, " {name}={bytes}");
        }
    }
    if let Some(idle) = idle {
        let _ = write!(text, " idle={idle}");
    }
    text
}

/// Path of a cgroup; names are any bytes and leave escaped.
fn cgroup_name(engine: &Engine, number: u64) -> String {
    let mut name = Vec::new();
    escape::terminal(engine.cgroup(number).unwrap_or("?").as_bytes(), &mut name);
    String::from_utf8_lossy(&name).into_owned()
}

/// Name and process id; names are any bytes and leave escaped.
fn name_of(key: ProcessKey, engine: &Engine) -> String {
    let mut name = Vec::new();
    match engine.who(key) {
        Some(who) => escape::terminal(who.comm.as_bytes(), &mut name),
        None => name.push(b'?'),
    }
    format!("{} ({})", String::from_utf8_lossy(&name), key.tgid)
}

fn size(bytes: u64) -> Bytes {
    Bytes(bytes)
}
