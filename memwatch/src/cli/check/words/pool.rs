//! Pools, in words.

use super::{Paragraph, duration, processes, respawns};
use crate::core::policy::{Measure, Pool, Server, Sizing};
use crate::core::quantity::Bytes;

/// A pool that the file names.
pub(super) fn named(pool: &Pool) -> Paragraph {
    let mut says = vec![
        format!("its workers are {}, below a parent that runs the same program", processes(&pool.matching)),
        format!(
            "one that is asked to leave gets {}, and SIGKILL {} later",
            pool.signal,
            duration(pool.deadline_ns)
        ),
    ];
    says.extend(limits(pool));
    Paragraph::new("pool", &pool.name, says)
}

/// Pools that are found by themselves.
pub(super) fn found(pool: Option<&Pool>) -> Paragraph {
    let Some(pool) = pool else {
        return Paragraph::unnamed("found_pools", vec!["pools that are not named are left alone".to_owned()]);
    };
    let known: Vec<_> = Server::all()
        .iter()
        .filter_map(|server| Some(format!("{} {}", server.name, server.found_signal()?)))
        .collect();
    let left: Vec<_> = Server::all()
        .iter()
        .filter(|server| server.found_signal().is_none())
        .map(|server| server.name.as_str())
        .collect();
    let mut says = vec![
        format!(
            "workers of known servers are asked to leave by {}, and get SIGKILL {} later",
            known.join(", "),
            duration(pool.deadline_ns)
        ),
        format!("left alone unless named: {}", left.join(", ")),
    ];
    says.extend(limits(pool));
    Paragraph::unnamed("found_pools", says)
}

fn sized(size: &Sizing) -> String {
    let spare =
        if size.spare == 0 { String::new() } else { format!(", or fewer than {} are idle,", size.spare) };
    format!(
        "its number of workers follows the load: one more when more than {} wait in its queue{spare} \
         for {}, up to {} and only where memory bears it; one less when {} are idle for {}, and {} after the last one more",
        size.waiting,
        duration(size.waiting_for_ns),
        size.max_workers,
        size.idle_min,
        duration(size.idle_for_ns),
        duration(size.turn_ns)
    )
}

fn limits(pool: &Pool) -> Vec<String> {
    let measure = match pool.measure {
        Measure::Resident => "resident (RSS)",
        Measure::Private => "private (USS)",
        Measure::Proportional => "proportional (PSS)",
    };
    let mut says = Vec::new();
    if let Some(soft) = pool.soft {
        says.push(format!("a worker with {} {measure} or more is asked to leave", Bytes(soft)));
    }
    if let Some(hard) = pool.hard {
        says.push(format!("a worker with {} {measure} or more is killed", Bytes(hard)));
    }
    if let Some(total) = pool.total {
        says.push(format!(
            "while all workers have {} {measure} or more, the largest is asked to leave",
            Bytes(total)
        ));
    }
    if pool.soft.or(pool.hard).or(pool.total).is_none() {
        says.push("no limit of its own: only its scope's bounds recycle it".to_owned());
    }
    says.push(format!(
        "{} at once, {} apart; {} stay alive; those younger than {} go last",
        pool.at_once,
        duration(pool.stagger_ns),
        pool.min_alive,
        duration(pool.min_lifetime_ns)
    ));
    says.push(
        pool.size.map_or_else(|| "its number of workers is its server's own".to_owned(), |size| sized(&size)),
    );
    says.push(respawns(pool.rounds, pool.then));
    for (when, command) in [("before the signal", &pool.hooks.before), ("after its end", &pool.hooks.after)] {
        if !command.is_empty() {
            says.push(format!(
                "{when} runs {}, for {} at most",
                command.join(" "),
                duration(pool.hooks.deadline_ns)
            ));
        }
    }
    says
}
