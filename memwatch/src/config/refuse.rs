//! What no configuration may ask for, whatever the table.

use super::key::{Inner, Key};
use super::reader::{Read, Table};
use super::value::Size;
use crate::core::pattern::Pattern;
use crate::core::policy::{Match, Protect, guarded_path, is_guarded_unit};

/// Whether there are patterns, and each names a program of a kind without a wildcard in its file name.
pub(super) fn names_only(patterns: &[Pattern], is_kind: impl Fn(&str) -> bool) -> bool {
    let file_name = |pattern: &Pattern| pattern.text().rsplit('/').next().unwrap_or_default().to_owned();
    !patterns.is_empty() && patterns.iter().map(file_name).all(|name| is_kind(&name))
}

/// Refuses a rule that names nothing but processes that are never touched.
pub(super) fn guarded(table: &Table<'_, '_>, key: &Key<Inner>, matching: &Match, protect: &Protect) {
    if is_guarded_by_nature(matching) {
        table.refuse_key(
            key,
            "it names only programs that are guarded by nature, so it could never act",
            "name other programs, or take the rule out",
        );
    }
    if protect.matching.iter().any(|protected| covers(protected, matching)) {
        table.refuse_key(
            key,
            "it names only processes that [[protect]] names, so it could never act",
            "name other processes, or take one of the two out",
        );
    }
}

/// Whether all that a rule names is guarded by nature: by its programs, its units, or cgroups that are those of such units. Each key
/// that is written must hold, so one is enough.
fn is_guarded_by_nature(matching: &Match) -> bool {
    let unit_of = |path: &str| path.trim_end_matches('/').rsplit('/').next().is_some_and(is_guarded_unit);
    all(&matching.exe, is_guarded)
        || all(&matching.unit, |unit| is_guarded_unit(unit.text()))
        || all(&matching.cgroup, |path| unit_of(path))
}

/// Whether there are any, and it holds of each.
fn all<T>(list: &[T], holds: impl Fn(&T) -> bool) -> bool {
    !list.is_empty() && list.iter().all(holds)
}

/// Whether a pattern names a program that is guarded by nature where the administrator installed it. A wildcard that may stand for
/// another program as well is given the benefit of the doubt.
fn is_guarded(pattern: &Pattern) -> bool {
    let name = pattern.text();
    let path = if name.starts_with('/') { name.to_owned() } else { format!("/usr/bin/{name}") };
    !name.contains(['*', '?']) && guarded_path(&path).is_some()
}

/// Whether an entry of `[[protect]]` protects all that a rule matches, as far as the texts tell: whatever it asks for, the rule asks for
/// as much or more.
fn covers(protected: &Match, rule: &Match) -> bool {
    let texts =
        |wide: &[Pattern], narrow: &[Pattern]| wide.is_empty() || all(narrow, |one| is_within(wide, one));
    let is_below = |path: &String, root: &String| {
        let rest = path.strip_prefix(root.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let cgroups = || all(&rule.cgroup, |path| protected.cgroup.iter().any(|root| is_below(path, root)));
    texts(&protected.exe, &rule.exe)
        && texts(&protected.args, &rule.args)
        && texts(&protected.comm, &rule.comm)
        && texts(&protected.parent_exe, &rule.parent_exe)
        && texts(&protected.unit, &rule.unit)
        && texts(&protected.container, &rule.container)
        && (protected.cgroup.is_empty() || cgroups())
        && (protected.uid.is_empty() || all(&rule.uid, |uid| protected.uid.contains(uid)))
}

/// Whether one of these patterns matches all that another does: it matches it with nothing in place of its `*`, and with much.
fn is_within(wide: &[Pattern], narrow: &Pattern) -> bool {
    const MUCH: &str = "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}";
    let matches = |pattern: &Pattern, filling: &str| {
        pattern.matches(narrow.text().replace('*', filling).replace('?', "\u{1}").as_bytes())
    };
    wide.iter().any(|pattern| matches(pattern, "") && matches(pattern, MUCH))
}

/// Refuses a limit that nothing can start below.
pub(super) fn too_small(table: &Table<'_, '_>, limit: &Read<Size>, needs: Option<&Read<Size>>) {
    if limit.value.0 < 1 << 20 {
        table.refuse(limit, "no program starts in so little", "write at least \"1MiB\"");
    } else if let Some(needs) = needs
        && limit.value <= needs.value
    {
        table.refuse(
            limit,
            "it needs more than this to start, so each would be killed at once",
            "write more than needs",
        );
    }
}
