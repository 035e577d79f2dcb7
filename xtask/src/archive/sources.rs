//! Derives the sources of any suite of Debian from those the machine's apt has.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail};

use crate::process;

/// The keys Debian signs its archives with; every Debian system has them, for all suites in use.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The rolling suite: it has neither a security nor an updates part.
const UNSTABLE: &str = "sid";

/// One of the machine's sources, as apt resolved it.
#[derive(Debug, PartialEq, Eq)]
struct Source<'a> {
    uri: &'a str,
    suite: &'a str,
    component: &'a str,
    origin: &'a str,
}

/// The suite the machine itself runs, `bookworm` for one.
///
/// # Errors
/// It is no Debian system.
pub(crate) fn machine_suite() -> Result<String> {
    let release = std::fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let field =
        |key: &str| release.lines().find_map(|line| line.strip_prefix(key)).map(|it| it.trim_matches('"'));
    match (field("ID="), field("VERSION_CODENAME=")) {
        (Some("debian"), Some(suite)) => Ok(suite.to_owned()),
        (id, _) => bail!(
            "guests are made of Debian's packages, through the machine's own apt, but this system is {}: \
             run the task on Debian 12 or later",
            id.unwrap_or("unknown")
        ),
    }
}

/// The `deb` lines of a suite, the archive itself last, after the parts that old suites lose.
///
/// Apt tells a source's particulars only once it has lists of it: where the machine has none, they are fetched
/// to `spare`.
///
/// # Errors
/// The machine's apt names no Debian archive.
pub(super) fn derived(suite: &str, spare: &Path) -> Result<Vec<String>> {
    let mut targets = targets(&[])?;
    if targets.is_empty() {
        fs::create_dir_all(spare.join("partial")).context("cannot create a folder for apt's lists")?;
        let lists = format!("Dir::State::lists={}", spare.display());
        let options = ["-o", &lists, "-o", "APT::Sandbox::User=root"];
        process::output(Command::new("apt-get").args(options).arg("update"))?;
        targets = self::targets(&options)?;
    }
    lines(&targets, &machine_suite()?, suite).with_context(|| {
        format!("apt's sources on this machine name no Debian archive with {suite}'s kin: see `apt-get indextargets`")
    })
}

/// What apt knows of its sources: a line each, of the fields [`parse_source`] reads.
fn targets(options: &[&str]) -> Result<String> {
    let format = "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(ORIGIN)";
    process::output(Command::new("apt-get").args(options).args([
        "indextargets",
        "Created-By: Packages",
        "--format",
        format,
    ]))
}

/// The `deb` lines for `suite`, from the sources for `machine`.
fn lines(targets: &str, machine: &str, suite: &str) -> Option<Vec<String>> {
    let sources: Vec<_> = targets.lines().filter_map(parse_source).filter(Source::is_debian).collect();
    let find = |part: &str| {
        let name = format!("{machine}{part}");
        sources.iter().find(|source| source.suite == name)
    };
    let parts = if suite == UNSTABLE { &[][..] } else { &["-security", "-updates"] };
    let optional = parts.iter().filter_map(|part| Some((find(part)?, *part)));
    let archive = find("")?;
    Some(
        optional
            .chain([(archive, "")])
            .map(|(source, part)| {
                // Without `targets`, apt fetches all the indexes that other programs of the machine want.
                format!("deb [signed-by={KEYRING} targets=Packages] {} {suite}{part} main\n", source.uri)
            })
            .collect(),
    )
}

fn parse_source(line: &str) -> Option<Source<'_>> {
    let mut fields = line.split('|');
    let source = Source {
        uri: fields.next()?,
        suite: fields.next()?,
        component: fields.next()?,
        origin: fields.next()?,
    };
    Some(source)
}

impl Source<'_> {
    /// Others have a component `main` and name their suites after Debian's, too.
    fn is_debian(&self) -> bool {
        self.component == "main" && self.origin == "Debian"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGETS: &str = "http://other.example/|bookworm|main|Other|\n\
                           http://mirror.example/debian/|bookworm|contrib|Debian\n\
                           http://mirror.example/debian/|bookworm|main|Debian\n\
                           http://mirror.example/debian/|bookworm-updates|main|Debian\n\
                           http://mirror.example/safe/|bookworm-security|main|Debian\n\
                           http://cloud.example/|tool-bookworm|main|Debian\n";

    fn shortened(suite: &str) -> Vec<String> {
        let prefix = format!("deb [signed-by={KEYRING} targets=Packages] http://mirror.example/");
        let lines = lines(TARGETS, "bookworm", suite).unwrap();
        lines.iter().map(|line| line.strip_prefix(&prefix).unwrap().to_owned()).collect()
    }

    #[test]
    fn a_stable_suite_has_its_parts_and_the_archive_last() {
        let expected =
            ["safe/ trixie-security main\n", "debian/ trixie-updates main\n", "debian/ trixie main\n"];
        assert_eq!(shortened("trixie"), expected);
    }

    #[test]
    fn unstable_is_the_archive_alone() {
        assert_eq!(shortened(UNSTABLE), ["debian/ sid main\n"]);
    }

    #[test]
    fn without_debian_there_is_nothing_to_derive_from() {
        assert_eq!(lines("http://other.example/|bookworm|main|Other\n", "bookworm", "sid"), None);
        assert_eq!(lines("", "bookworm", "sid"), None);
    }
}
