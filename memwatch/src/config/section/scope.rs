//! Parts of the host whose memory is bounded.

use std::cmp::Ordering;

use crate::config::key::{Each, Key, Section, Unwritten};
use crate::config::reader::{Read, Reader, Table};
use crate::config::value::{Bound, Cgroup, Count, Exponent, Name, Size, UseOf};
use crate::core::policy::{Amount, Bounds, Reach, Scope, Step};

const NAME: Key<Name> =
    Key::new("name", Unwritten::Absent("`scope-` and its number"), "Its name in reports.");
const CGROUP: Key<Cgroup> = Key::new(
    "cgroup",
    Unwritten::Absent("the whole host"),
    "It reaches over this cgroup and those below it; use is the sum of its processes' shares (PSS).",
);
const TREE: Key<Count> = Key::new(
    "tree",
    Unwritten::Absent("the whole host"),
    "It reaches over this process id and its descendants, present and to come; use is counted as of a cgroup.",
);
const MEMORY: Key<Size> =
    Key::new("memory", Unwritten::Absent("all of the host's"), "Its memory, which shares are shares of.");
const MEASURE: Key<UseOf> = Key::new(
    "measure",
    Unwritten::Toml("\"shares\""),
    "Of a `cgroup`: what its use is, the sum of its processes' shares (PSS), or `true-use`: all that the cgroup costs the host, whoever is charged for it (docs/audit.md). The `memory` left out is then its own limit, where it has one.",
);
const LOWER: Key<Bound> = Key::new(
    "lower",
    Unwritten::Toml("\"80%\""),
    "Use from which on workers are asked to leave, those with the most private memory first.",
);
const UPPER: Key<Bound> =
    Key::new("upper", Unwritten::Toml("\"92%\""), "Use from which on they are killed until it is below.");
const EXPONENT: Key<Exponent> = Key::new(
    "exponent",
    Unwritten::Toml("2.0"),
    "Between the bounds `ceil(n x ((use - lower) / (upper - lower)) ^ exponent)` of n workers are asked to leave.",
);
const STEPS: Key<Each> = Key::new(
    "steps",
    Unwritten::Absent("the exponent"),
    "Instead of the exponent: how many, from which use on.",
);
const ANY_PROCESS: Key<bool> = Key::new(
    "any_process",
    Unwritten::Toml("false"),
    "Whether every process in it may be chosen, and not only the workers of pools. It has to be spelled out.",
);

/// `[[scope]]`.
pub(in crate::config) const SECTION: Section = Section {
    heading: "[[scope]]",
    doc: "A part of the host with a memory budget. Once one is written, what lies in none is not acted on.",
    rows: &[
        NAME.row,
        CGROUP.row,
        TREE.row,
        MEMORY.row,
        MEASURE.row,
        LOWER.row,
        UPPER.row,
        EXPONENT.row,
        STEPS.row,
        ANY_PROCESS.row,
    ],
};

const AT: Key<Bound> = Key::new("at", Unwritten::Required, "Use from which on it holds.");
const COUNT: Key<Count> = Key::new("count", Unwritten::Required, "Workers to ask to leave.");

/// A line of the table of steps.
pub(in crate::config) const STEP: Section = Section {
    heading: "steps = [{ at = …, count = … }, …]",
    doc: "A line of a scope's table of steps, in rising order.",
    rows: &[AT.row, COUNT.row],
};

/// A process keeps which scopes it is in as the bits of one number.
const MOST: usize = 64;

/// Reads the scopes; without any there is one, the host.
pub(in crate::config) fn read(tables: &[Table<'_, '_>], reader: &Reader<'_>) -> Vec<Scope> {
    if tables.is_empty() {
        let host = scope(&Table::absent(reader, &SECTION), "host".to_owned());
        return vec![host];
    }
    let scopes: Vec<_> = (1..)
        .zip(tables)
        .map(|(number, table): (usize, _)| scope(table, format!("scope-{number}")))
        .collect();
    if let Some(first_too_many) = tables.get(MOST) {
        first_too_many
            .refuse_all(format!("more than {MOST} scopes"), "join some, or watch them with another memwatch");
    }
    super::refuse_twins(tables, &NAME, scopes.iter().map(|scope| scope.name.as_str()));
    scopes
}

fn scope(table: &Table<'_, '_>, name: String) -> Scope {
    let memory = table.find(&MEMORY);
    let bounds = bounds(table, memory.as_ref().map(|memory| memory.value.0));
    let reach = reach(table);
    if let Some(memory) = memory.as_ref().filter(|memory| memory.value.0 < 16 << 20) {
        table.refuse(memory, "no server starts in so little", "write at least \"16MiB\"");
    }
    if let Some(memory) = memory.as_ref().filter(|_| reach == Reach::Host) {
        table.refuse(
            memory,
            "the host has the memory it has",
            "leave it out, or write cgroup or tree as well",
        );
    }
    let measure = table.find(&MEASURE);
    let true_use = measure.as_ref().is_some_and(|measure| measure.value == UseOf::TrueUse);
    if let Some(measure) = measure.filter(|_| true_use && !matches!(reach, Reach::Cgroup(_))) {
        table.refuse(
            &measure,
            "only a cgroup can be charged for less than it holds",
            "leave it out, or write cgroup as well",
        );
    }
    Scope {
        name: table.find(&NAME).map_or(name, |read| read.value.0),
        reach,
        memory: memory.map(|memory| memory.value.0),
        true_use,
        bounds: Some(bounds),
        any_process: table.get(&ANY_PROCESS).value,
    }
}

fn reach(table: &Table<'_, '_>) -> Reach {
    let (cgroup, tree) = (table.find(&CGROUP), table.find(&TREE));
    if let (Some(_), Some(tree)) = (&cgroup, &tree) {
        table.refuse(tree, "a scope reaches over a cgroup or a tree, not both", "write two scopes");
    }
    if let Some(tree) = &tree
        && tree.value.0 < 2
    {
        table.refuse(
            tree,
            "this is the whole host, or no process",
            "leave it out, or write a process id above 1",
        );
    }
    if let Some(cgroup) = &cgroup
        && cgroup.value.0.len() > 1
    {
        table.refuse(cgroup, "a scope has one budget, and reaches over one cgroup", "write a scope for each");
    }
    match (cgroup.and_then(|cgroup| cgroup.value.0.into_iter().next()), tree) {
        (Some(cgroup), _) => Reach::Cgroup(cgroup),
        (None, Some(tree)) => Reach::Tree(tree.value.0),
        (None, None) => Reach::Host,
    }
}

fn bounds(table: &Table<'_, '_>, memory: Option<u64>) -> Bounds {
    let (lower, upper) = (table.get(&LOWER), table.get(&UPPER));
    let is_sound = lower.is_sound && upper.is_sound;
    match compare(lower.value.0, upper.value.0, memory) {
        Some(Ordering::Less) => {}
        Some(_) if is_sound => table.refuse(
            if table.has(&LOWER) { &lower } else { &upper },
            "the lower bound is not below the upper one",
            "write a smaller lower or a larger upper",
        ),
        None if is_sound => table.refuse(
            if table.has(&LOWER) { &lower } else { &upper },
            "one bound is a share and the other a size, which cannot be compared",
            "write both as shares, or both as sizes",
        ),
        Some(_) | None => {}
    }
    for bound in [&lower, &upper] {
        floor(table, bound);
        if let (Amount::Bytes(bytes), Some(memory)) = (bound.value.0, memory)
            && bytes > memory
        {
            table.refuse(bound, "more than the scope's memory", "write a smaller bound or a larger memory");
        }
    }
    let steps = steps(table, &upper, memory);
    Bounds { lower: lower.value.0, upper: upper.value.0, exponent: table.get(&EXPONENT).value.0, steps }
}

/// Refuses what any host at rest is above: everything would be killed.
fn floor(table: &Table<'_, '_>, bound: &Read<Bound>) {
    let is_low = match bound.value.0 {
        Amount::Bytes(bytes) => bytes < 8 << 20,
        Amount::Share(share) => share < 2_000,
    };
    if is_low && bound.is_sound {
        table.refuse(
            bound,
            "use is above this at all times: every candidate would go",
            "write at least \"20%\" or \"8MiB\"",
        );
    }
}

fn steps(table: &Table<'_, '_>, upper: &Read<Bound>, memory: Option<u64>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in table.each(&STEPS, &STEP) {
        let (at, count) = (line.find(&AT), line.find(&COUNT));
        let (Some(at), Some(count)) = (at, count) else { continue };
        let step = Step { at: at.value.0, count: count.value.0 };
        if let Some(last) = steps.last()
            && (compare(last.at, step.at, memory) != Some(Ordering::Less) || step.count <= last.count)
        {
            line.refuse(&at, "the steps do not rise", "write them with rising `at` and rising `count`");
        }
        if compare(step.at, upper.value.0, memory) != Some(Ordering::Less) && upper.is_sound {
            line.refuse(&at, "not below the upper bound", "write a use below it, in the same unit");
        }
        if step.count == 0 {
            line.refuse(&count, "this step does nothing", "leave it out, or write at least 1");
        }
        steps.push(step);
    }
    steps
}

/// Which of two amounts is less; `None`: it depends on the host.
fn compare(one: Amount, other: Amount, memory: Option<u64>) -> Option<Ordering> {
    match (one, other, memory) {
        (Amount::Bytes(one), Amount::Bytes(other), _) => Some(one.cmp(&other)),
        (Amount::Share(one), Amount::Share(other), _) => Some(one.cmp(&other)),
        (one, other, Some(memory)) => Some(one.of(memory).cmp(&other.of(memory))),
        (_, _, None) => None,
    }
}
