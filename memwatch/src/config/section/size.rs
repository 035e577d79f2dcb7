//! How the size of a pool follows what waits at its sockets.

use crate::config::key::{Inner, Key, Section, Unwritten};
use crate::config::reader::Table;
use crate::config::value::{Count, Nanoseconds};
use crate::core::policy::Sizing;

const MAX_WORKERS: Key<Count> = Key::new("max_workers", Unwritten::Required, "Workers at most.");
const IDLE_MIN: Key<Count> = Key::new(
    "idle_min",
    Unwritten::Toml("2"),
    "Workers that wait for a client from which on one may go; while memory is above the scope's `lower`, one is enough.",
);
const IDLE_FOR: Key<Nanoseconds> = Key::new(
    "idle_for",
    Unwritten::Toml("\"30s\""),
    "How long so many have to be idle, and the queue nearly empty, before one goes.",
);
const WAITING: Key<Count> = Key::new(
    "waiting",
    Unwritten::Toml("1"),
    "Connections that may wait to be accepted. More of them are a long queue, half of them or less a nearly empty one.",
);
const WAITING_FOR: Key<Nanoseconds> = Key::new(
    "waiting_for",
    Unwritten::Toml("\"1s\""),
    "How long the queue has to be long before a worker is added.",
);
const SPARE: Key<Count> = Key::new(
    "spare",
    Unwritten::Toml("0"),
    "Idle workers kept in reserve: while fewer are idle one is added as if the queue were long, before anybody waits.",
);
const TURN: Key<Nanoseconds> = Key::new(
    "turn",
    Unwritten::Toml("\"1min\""),
    "Time from an added worker to the next that goes. Each time that one that went has to be added again soon it doubles, four times at most, and one more has to be idle.",
);

/// The value of `size`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "size = { … }",
    doc: "How the number of a pool's workers follows what waits at its sockets, one worker at a time: never below `min_alive`, and \
          never more while memory is above the scope's `lower`, or would be should all workers and one more come to hold the most \
          that one has held. docs/pools.md tells what is read and who can be told.",
    rows: &[MAX_WORKERS.row, IDLE_MIN.row, IDLE_FOR.row, WAITING.row, WAITING_FOR.row, SPARE.row, TURN.row],
};

/// Reads it; `None`: it is not written.
pub(in crate::config) fn read(pool: &Table<'_, '_>, key: &Key<Inner>, min_alive: u32) -> Option<Sizing> {
    if !pool.has(key) {
        return None;
    }
    let table = pool.inner(key, &SECTION);
    let max_workers = table.find(&MAX_WORKERS);
    if let Some(max_workers) = &max_workers
        && max_workers.value.0 <= min_alive.max(1)
    {
        table.refuse(
            max_workers,
            "min_alive workers are as many already, so that the size could never change",
            "write a larger max_workers or a smaller min_alive",
        );
    }
    let idle_min = table.get(&IDLE_MIN);
    if idle_min.value.0 == 0 && idle_min.is_sound {
        table.refuse(&idle_min, "busy workers would be taken away", "write at least 1");
    }
    let spare = table.get(&SPARE);
    if spare.value.0 >= idle_min.value.0 && spare.is_sound && idle_min.is_sound && idle_min.value.0 > 0 {
        table.refuse(
            &spare,
            "a worker that goes would be added again at once",
            "write less than idle_min, or a larger idle_min",
        );
    }
    Some(Sizing {
        max_workers: max_workers.map_or(0, |read| read.value.0),
        idle_min: idle_min.value.0,
        idle_for_ns: table.get(&IDLE_FOR).value.0,
        waiting: table.get(&WAITING).value.0,
        waiting_for_ns: table.get(&WAITING_FOR).value.0,
        spare: spare.value.0,
        turn_ns: table.get(&TURN).value.0,
    })
}
