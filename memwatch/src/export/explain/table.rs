//! The answer for people.

use std::fmt::Write as _;

use super::{Answer, CandidatePart, ScopePart};
use crate::core::policy::explain::Query;
use crate::core::quantity::{Bytes, Counted, Nanos};
use crate::export::escape;

/// Candidates shown of a scope, unless a process or pool was asked about.
const SHOWN: usize = 20;
/// Processes named of those that are refused for one reason.
const NAMED: usize = 6;

/// The answer as text.
#[must_use]
pub fn text(answer: &Answer, asked: &Query) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    match asked {
        Query::Process(pid) => process(answer, *pid, &mut text),
        Query::All | Query::Pool(_) => everybody(answer, asked, &mut text),
    }
    text
}

fn everybody(answer: &Answer, asked: &Query, text: &mut String) {
    let _ = writeln!(text, "mode {}, {} processes known; {}", answer.mode, answer.processes, budget(answer));
    for scope in &answer.scopes {
        let _ = writeln!(text, "\nscope {}, {}: {}", name(&scope.name), name(&scope.reach), level(scope));
        candidates(scope, if *asked == Query::All { SHOWN } else { usize::MAX }, text);
    }
    if !answer.pools.is_empty() {
        text.push_str("\npools\n");
        for pool in &answer.pools {
            let _ = writeln!(
                text,
                "  {} below process {}: {}, {} leaving, {} kept{}{}",
                name(&pool.name),
                pool.master,
                Counted(pool.workers as u64, "worker"),
                pool.leaving,
                pool.min_alive,
                pool.signal.as_ref().map(|signal| format!(", asked with {signal}")).unwrap_or_default(),
                limits(pool)
            );
            if let Some(queue) = &pool.queue {
                let _ = writeln!(text, "    {}", self::queue(queue));
            }
        }
    }
    if !answer.under_way.is_empty() {
        text.push_str("\nunder way\n");
        answer.under_way.iter().for_each(|case| under_way(case, text));
    }
    refused(answer, text);
}

/// What a pool holds its workers to.
fn limits(pool: &super::PoolPart) -> String {
    let limits = [
        ("soft limit", pool.soft_bytes),
        ("hard limit", pool.hard_bytes),
        ("limit of all", pool.total_bytes),
    ];
    let limit = |(name, bytes): (&str, Option<u64>)| Some(format!(", {name} {}", Bytes(bytes?)));
    limits.into_iter().filter_map(limit).collect()
}

/// What waits at a pool's sockets, and what became of its size.
fn queue(queue: &super::QueuePart) -> String {
    let per_worker = if queue.per_worker { ", one for each worker" } else { "" };
    let mut text = format!(
        "{} of {} connections wait at {}{per_worker}; {} idle, {} busy",
        queue.waiting,
        queue.bound,
        Counted(u64::from(queue.sockets), "socket"),
        queue.idle,
        queue.busy
    );
    if let Some(longest) = queue.longest_busy_ns {
        let _ = write!(text, " (one of them for {})", Nanos(longest));
    }
    if let Some(dropped) = queue.dropped.filter(|dropped| *dropped > 0) {
        let _ = write!(text, "; {} turned away", Counted(dropped, "connection"));
    }
    if let Some(most) = queue.max_workers {
        let _ = write!(text, "; {} workers at first, {most} at most", queue.first_workers);
    }
    if queue.spared_workers != 0 {
        let _ = write!(text, "; {} of them would have gone", queue.spared_workers);
    }
    if queue.mean_saved_bytes > 0 {
        let _ = write!(text, "; {} spared on average", Bytes(queue.mean_saved_bytes));
    }
    if let Some(why) = &queue.size_stays {
        let _ = write!(text, "; {why}");
    }
    text
}

fn budget(answer: &Answer) -> String {
    let budget = &answer.budget;
    let mut text = format!("{} of {} kills spent in {}", budget.kills, budget.of, Nanos(budget.window_ns));
    if let Some(closed) = budget.closed_for_ns {
        let _ = write!(text, ", and none for {} more", Nanos(closed));
    }
    text
}

/// How a scope stands, and what that asks for.
fn level(scope: &ScopePart) -> String {
    let (Some(used), Some(lower), Some(upper)) = (scope.used_bytes, scope.lower_bytes, scope.upper_bytes)
    else {
        return "not measured yet".to_owned();
    };
    let bounds = format!("{} in use, bounds {} and {}", Bytes(used), Bytes(lower), Bytes(upper));
    let demand = match (scope.demand.as_str(), scope.waits_for_decision) {
        ("recycle", _) => format!("{} to be on their way out", scope.wanted.unwrap_or(0)),
        ("kill", Some(decision)) => format!("somebody is to be killed once decision {decision} is over"),
        ("kill", None) => "somebody is to be killed".to_owned(),
        _ => "nobody has to go".to_owned(),
    };
    format!("{bounds}: {demand}")
}

fn candidates(scope: &ScopePart, most: usize, text: &mut String) {
    if scope.candidates.is_empty() {
        text.push_str("  no candidates\n");
        return;
    }
    let mut rows = vec![["#", "PID", "NAME", "POOL", "PRIVATE", "PSS", "RSS", "STANDING"].map(str::to_owned)];
    for candidate in scope.candidates.iter().take(most) {
        let size =
            |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), |bytes| Bytes(bytes).to_string());
        rows.push([
            candidate.place.to_string(),
            candidate.process.pid.to_string(),
            name(&candidate.process.comm),
            candidate.pool.as_deref().map_or_else(|| "-".to_owned(), name),
            size(candidate.private_bytes),
            size(candidate.proportional_bytes),
            size(candidate.resident_bytes),
            verdict(candidate),
        ]);
    }
    write_rows(&rows, text);
    if scope.candidates.len() > most {
        let _ = writeln!(text, "  and {} more; --output json has all", scope.candidates.len() - most);
    }
}

/// The last column is not filled up.
fn write_rows<const COLUMNS: usize>(rows: &[[String; COLUMNS]], text: &mut String) {
    let widths: Vec<usize> = (0..COLUMNS)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "  {cell:<width$}");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

fn verdict(candidate: &CandidatePart) -> String {
    match (candidate.goes, &candidate.why) {
        (true, _) => "goes now".to_owned(),
        (false, Some(why)) => format!("{}: {why}", candidate.standing),
        (false, None) => candidate.standing.clone(),
    }
}

fn under_way(case: &super::CasePart, text: &mut String) {
    let step = match case.step.as_str() {
        "hook" => "its hook runs",
        "asked" => "it was asked to leave",
        "killed" => "it was killed",
        "told" => "it was told to change the size of its pool",
        _ => "it ended, its memory is waited for",
    };
    let _ = writeln!(
        text,
        "  decision {} ({}): {} ({}) with {}: {step}, next step in {}{}",
        case.decision,
        case.rule,
        case.comm.as_deref().map_or_else(|| "?".to_owned(), name),
        case.pid,
        case.signal,
        Nanos(case.due_in_ns),
        if case.holds_kills { "; the next kill waits for it" } else { "" }
    );
}

/// Who is no candidate, by reason.
fn refused(answer: &Answer, text: &mut String) {
    let mut reasons: Vec<(&str, Vec<&super::RefusedPart>)> = Vec::new();
    for process in &answer.refused {
        match reasons.iter_mut().find(|(why, _)| *why == process.why) {
            Some((_, processes)) => processes.push(process),
            None => reasons.push((&process.why, vec![process])),
        }
    }
    if reasons.is_empty() {
        return;
    }
    text.push_str("\nno candidates\n");
    for (why, processes) in reasons {
        let named = processes.iter().take(NAMED);
        let named: Vec<_> = named
            .map(|refused| format!("{} ({})", name(&refused.process.comm), refused.process.pid))
            .collect();
        let more = processes.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = writeln!(text, "  {}{more}: {why}", named.join(", "));
    }
}

/// Whether one process would go, in sentences.
fn process(answer: &Answer, pid: u32, text: &mut String) {
    for refused in &answer.refused {
        let _ = writeln!(text, "{} ({pid}) would not go: {}", name(&refused.process.comm), refused.why);
    }
    for scope in &answer.scopes {
        for candidate in &scope.candidates {
            let size = candidate.private_bytes.or(candidate.proportional_bytes).or(candidate.resident_bytes);
            let _ = write!(text, "{} ({pid})", name(&candidate.process.comm));
            if let Some(pool) = &candidate.pool {
                let _ = write!(text, " of pool {}", name(pool));
            }
            let _ = write!(
                text,
                " is number {} of {} in scope {}",
                candidate.place,
                scope.ranked,
                name(&scope.name)
            );
            if let Some(size) = size {
                let _ = write!(text, ", it holds {}", Bytes(size));
            }
            let verdict = match (candidate.goes, &candidate.why, candidate.standing.as_str()) {
                (true, ..) => "it would go now".to_owned(),
                (false, Some(why), _) => why.clone(),
                (false, None, _) if scope.demand == "nothing" => "it may go, and nobody has to".to_owned(),
                (false, None, _) => "it may go, and others go before".to_owned(),
            };
            let _ = writeln!(text, ": {verdict}\n  {}", level(scope));
        }
    }
    let about = answer.under_way.iter().filter(|case| case.pid == pid);
    about.for_each(|case| under_way(case, text));
}

/// Names are any bytes, and leave escaped.
fn name(text: &str) -> String {
    let mut out = Vec::new();
    escape::terminal(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
