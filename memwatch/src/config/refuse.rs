//! What no configuration may ask for, whatever the table.

use super::key::{Inner, Key};
use super::reader::{Read, Table};
use super::value::Size;
use crate::core::pattern::Pattern;
use crate::core::policy::{Match, Protect, guarded_path};

/// Whether there are patterns, and each names a program of a kind without a wildcard in its file name.
pub(super) fn names_only(patterns: &[Pattern], is_kind: impl Fn(&str) -> bool) -> bool {
    let file_name = |pattern: &Pattern| pattern.text().rsplit('/').next().unwrap_or_default().to_owned();
    !patterns.is_empty() && patterns.iter().map(file_name).all(|name| is_kind(&name))
}

/// Refuses a rule that names nothing but programs that are never touched.
pub(super) fn guarded(table: &Table<'_, '_>, key: &Key<Inner>, matching: &Match, protect: &Protect) {
    if !matching.exe.is_empty() && matching.exe.iter().all(is_guarded) {
        table.refuse_key(
            key,
            "it names only programs that are guarded by nature, so it could never act",
            "name other programs, or take the rule out",
        );
    }
    let is_protected =
        |pattern: &Pattern| protect.matching.iter().any(|protected| covers(protected, pattern));
    if !matching.exe.is_empty() && matching.exe.iter().all(is_protected) {
        table.refuse_key(
            key,
            "it names only programs that [[protect]] names, so it could never act",
            "name other programs, or take one of the two out",
        );
    }
}

/// Whether a pattern names a program that is guarded by nature where the administrator installed it. A wildcard that may stand for
/// another program as well is given the benefit of the doubt.
fn is_guarded(pattern: &Pattern) -> bool {
    let name = pattern.text();
    let path = if name.starts_with('/') { name.to_owned() } else { format!("/usr/bin/{name}") };
    !name.contains(['*', '?']) && guarded_path(&path).is_some()
}

/// Whether an entry of `[[protect]]` protects all that an executable's pattern matches, as far as the texts tell.
fn covers(protected: &Match, pattern: &Pattern) -> bool {
    let names_programs_only = Match { exe: Vec::new(), ..protected.clone() }.is_all();
    names_programs_only && protected.exe.iter().any(|exe| exe.matches(pattern.text().as_bytes()))
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
