//! What is known of particular programs: the setting that bounds their tables, and the elements these have.
//!
//! The facts stand in `data/programs.toml`, which is compiled in and parsed once.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use memwatch_ebpf::abi::knobs::ELEMENTS_MAX;
use serde::Deserialize;

use crate::core::fact::Identity;

const DATA: &str = include_str!("../../../../data/programs.toml");

/// A test loads the file; should it ever be broken in a build of one's own, advice falls back to the limit.
static PROGRAMS: LazyLock<Vec<Program>> = LazyLock::new(|| parse(DATA).unwrap_or_default());

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    program: Vec<Program>,
}

/// One program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Program {
    /// Its name, as people write it.
    pub(super) name: String,
    /// File names of its executable. A `*` at the end stands for anything.
    pub(super) exe: Vec<String>,
    /// Names of its processes, for when the executable is not known. As `exe`.
    #[serde(default)]
    pub(super) comm: Vec<String>,
    /// Bytes per descriptor seen in its tables.
    #[serde(default)]
    pub(super) element_bytes: Vec<u32>,
    /// Descriptors above which its tables do not grow.
    pub(super) slots_max: Option<u64>,
    /// Whether it leaves its tables untouched: they cost address space only.
    #[serde(default)]
    pub(super) untouched: bool,
    /// The setting that bounds its tables.
    pub(super) setting: Option<Setting>,
    /// What is worth knowing where there is no setting.
    pub(super) note: Option<String>,
    /// Where this is written or was seen.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reader of the file; a test asks for it"))]
    pub(super) source: String,
}

/// A setting that bounds a program's tables.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Setting {
    /// Its name.
    pub(super) name: String,
    /// A line that sets it.
    pub(super) example: String,
    /// Where that line goes.
    pub(super) place: String,
}

/// The largest element of any program.
pub(super) fn largest_element() -> u64 {
    PROGRAMS.iter().flat_map(|program| &program.element_bytes).copied().max().unwrap_or(0).into()
}

/// Tables that may lie side by side in one area: HAProxy has four.
const TABLES_MAX: u32 = 4;

/// Whether `element` is the sum of a few known ones with a large one among them: small ones add up to nearly anything.
pub(super) fn is_sum_of_tables(known: &[u32], element: u32) -> bool {
    let largest = known.iter().copied().max().unwrap_or(0);
    let large = known.iter().filter(|part| **part * 2 >= largest);
    large.filter_map(|part| element.checked_sub(*part)).any(|rest| is_sum(known, rest, TABLES_MAX - 1))
}

/// Whether `element` is the sum of at most `terms` of the known ones, each as often as needed.
fn is_sum(known: &[u32], element: u32, terms: u32) -> bool {
    element == 0
        || (terms > 0
            && known
                .iter()
                .filter_map(|part| element.checked_sub(*part))
                .any(|rest| is_sum(known, rest, terms - 1)))
}

/// The largest sum of a few known ones.
pub(super) fn largest_sum(known: &[u32]) -> u32 {
    known.iter().copied().max().unwrap_or(0).saturating_mul(TABLES_MAX)
}

impl Program {
    /// The program that a process runs. The executable decides; the name of the process only where that is unknown.
    pub(super) fn of(process: &Identity) -> Option<&'static Self> {
        Self::named(process.exe.as_deref(), &process.comm)
    }

    /// The same by the path of the executable and the name of the process.
    pub(super) fn named(exe: Option<&[u8]>, comm: &[u8]) -> Option<&'static Self> {
        let name = exe.map(|path| {
            let file = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
            file.strip_suffix(b" (deleted)").unwrap_or(file)
        });
        PROGRAMS.iter().find(|program| match name {
            Some(name) => program.exe.iter().any(|pattern| fits(pattern, name)),
            None => program.comm.iter().any(|pattern| fits(pattern, comm)),
        })
    }
}

/// Bytes per descriptor in tables of programs that go by these names: paths or file names of executables, with or without a
/// wildcard at the end. Zeros fill what is left.
#[must_use]
pub fn known_elements<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> [u32; ELEMENTS_MAX] {
    let named = names.into_iter().filter_map(|name| {
        let stem = name.strip_suffix(b"*").unwrap_or(name);
        Program::named(Some(stem), &[])
    });
    let elements: BTreeSet<u32> = named.flat_map(|program| &program.element_bytes).copied().collect();
    let mut known = [0; ELEMENTS_MAX];
    for (place, element) in known.iter_mut().zip(elements) {
        *place = element;
    }
    known
}

fn fits(pattern: &str, name: &[u8]) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start.as_bytes()),
        None => name == pattern.as_bytes(),
    }
}

fn parse(text: &str) -> Result<Vec<Program>, toml::de::Error> {
    toml::from_str::<File>(text).map(|file| file.program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_sound() {
        let programs = parse(DATA).expect("data/programs.toml parses");
        let mut names = BTreeSet::new();
        let mut patterns = BTreeSet::new();
        for program in &programs {
            assert!(names.insert(&program.name), "{} is there twice", program.name);
            assert!(!program.exe.is_empty(), "{} has no executable", program.name);
            assert!(!program.source.is_empty(), "{} has no source", program.name);
            assert!(
                program.setting.is_some() || program.note.is_some(),
                "{} has neither a setting nor a note",
                program.name
            );
            for pattern in &program.exe {
                assert!(patterns.insert(pattern), "{pattern} is there twice");
                let stem = pattern.strip_suffix('*').unwrap_or(pattern);
                assert!(
                    stem.len() > 2 && !stem.contains(['*', '/']),
                    "{pattern} would fit too much or nothing"
                );
            }
            for name in &program.comm {
                assert!(name.len() <= 15, "{name} is longer than a process name can be");
            }
            for element in &program.element_bytes {
                assert!(element % 4 == 0 && (4..=1024).contains(element), "{} x {element}", program.name);
            }
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let text = "[[program]]\nname = 'x'\nexe = ['xyz']\nsource = 'y'\nsetings = 1\n";
        let error = parse(text).expect_err("an unknown key");
        assert!(error.message().contains("setings"), "{error}");
    }

    #[test]
    fn patterns() {
        assert!(fits("uwsgi*", b"uwsgi-core") && fits("uwsgi*", b"uwsgi"));
        assert!(fits("slapd", b"slapd") && !fits("slapd", b"slapd2"));
    }

    #[test]
    fn elements_of_named_programs() {
        let known = |names: &[&str]| known_elements(names.iter().map(|name| name.as_bytes()));
        assert_eq!(known(&["uwsgi*"]), [8, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(known(&["/usr/sbin/haproxy", "*/squid"]), [4, 16, 128, 136, 432, 0, 0, 0]);
        assert_eq!(known(&["*", "sh", ""]), [0; ELEMENTS_MAX]);
        let all = parse(DATA).expect("data/programs.toml parses");
        let most = all.iter().map(|program| program.element_bytes.len()).max();
        assert!(most.is_some_and(|most| most <= ELEMENTS_MAX), "{most:?} elements of one program");
    }
}
