//! The programs the guests get: the test program, its companions, and the memwatch that is released.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::{build, package, process, report, workspace};

/// The package of the tests, and the one test program of it that needs nothing of the repository.
const PACKAGE: &str = "memwatch-tests";
const TEST: &str = "behaviour";

/// The test that installs the Debian package.
const OF_PACKAGE: &str = "deploy::the_package_installs_runs_and_goes";

/// Which programs and tests to run: those that are not given are built.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) tests: Option<PathBuf>,
    pub(crate) memwatch: Option<PathBuf>,
    /// Parts of the names of the tests to run; all when there are none.
    pub(crate) only: Vec<String>,
}

/// What is brought into a guest.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) tests: PathBuf,
    pub(super) memwatch: PathBuf,
    /// What the tests start besides; they look for it in their own folder.
    pub(super) beside: Vec<PathBuf>,
    /// The Debian package.
    pub(super) package: DebianPackage,
}

/// The Debian package, as its test gets it.
#[derive(Debug)]
pub(super) enum DebianPackage {
    /// No test is to have it, or what is tested was not built here: its test may be skipped.
    NotWanted,
    /// It could not be built: its test must fail.
    NotBuilt,
    Built(PathBuf),
}

impl DebianPackage {
    /// What tells the test of it; a name of no file where there should be one.
    ///
    /// # Errors
    /// The package has no name.
    pub(super) fn variable(&self) -> Result<Option<(&'static str, String)>> {
        let path = match self {
            Self::NotWanted => return Ok(None),
            Self::NotBuilt => String::new(),
            Self::Built(path) => format!("/srv/job/files/{}", super::file_name(path)?),
        };
        Ok(Some(("MEMWATCH_DEB", path)))
    }

    /// The file to bring into the guest.
    pub(super) fn file(self) -> Option<PathBuf> {
        match self {
            Self::NotWanted | Self::NotBuilt => None,
            Self::Built(path) => Some(path),
        }
    }
}

impl Programs {
    /// Whether all of them are built here, of the tree as it is.
    pub(super) fn are_built_here(&self) -> bool {
        self.tests.is_none() && self.memwatch.is_none()
    }

    /// The tests to run of those there are.
    ///
    /// # Errors
    /// None is called like a part of a name that is given.
    pub(super) fn chosen(&self, known: BTreeSet<String>) -> Result<BTreeSet<String>> {
        if self.only.is_empty() {
            return Ok(known);
        }
        if let Some(part) = self.only.iter().find(|part| !known.iter().any(|name| name.contains(*part))) {
            bail!("no test of the guests is called like {part}");
        }
        let is_chosen = |name: &String| self.only.iter().any(|part| name.contains(part));
        Ok(known.into_iter().filter(is_chosen).collect())
    }

    /// Gives the programs, built where they were not given.
    ///
    /// # Errors
    /// The build failed, or there is no such test program.
    pub(super) fn built(&self) -> Result<Built> {
        let memwatch = self.memwatch.clone().map_or_else(build::release, Ok)?;
        if let Some(tests) = self.tests.clone() {
            return Ok(Built { tests, memwatch, beside: Vec::new(), package: DebianPackage::NotWanted });
        }
        let package = self.package(&memwatch);
        let (tests, beside) = build_tests()?;
        Ok(Built { tests, memwatch, beside, package })
    }

    /// Where it cannot be made, as without crates.io, its test fails and all others run. It is made of what was built here.
    fn package(&self, memwatch: &Path) -> DebianPackage {
        let is_wanted =
            self.only.is_empty() || self.only.iter().any(|part| OF_PACKAGE.contains(part.as_str()));
        if !is_wanted || self.memwatch.is_some() {
            return DebianPackage::NotWanted;
        }
        package::debian(memwatch).map_or_else(
            |error| {
                report::step(&format!(
                    "the Debian package cannot be built, so its test will fail: {error:#}"
                ));
                DebianPackage::NotBuilt
            },
            DebianPackage::Built,
        )
    }
}

/// Builds the test program and gives it, and what it starts besides.
fn build_tests() -> Result<(PathBuf, Vec<PathBuf>)> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--locked", "--package", PACKAGE, "--test", TEST, "--no-run"]);
    cargo.args(["--message-format", "json-render-diagnostics"]).current_dir(workspace::root());
    let messages = process::output(&mut cargo)?;
    let (tests, others): (Vec<_>, Vec<_>) =
        messages.lines().filter_map(executable).partition(|(name, _)| name == TEST);
    let (_, tests) =
        tests.into_iter().next().with_context(|| format!("{PACKAGE} has no test program {TEST}"))?;
    Ok((tests, others.into_iter().map(|(_, path)| path).collect()))
}

/// The names of all tests there are for guests.
///
/// # Errors
/// The test program cannot be built, or names none.
pub(crate) fn known() -> Result<BTreeSet<String>> {
    names(&build_tests()?.0)
}

/// The names of all tests of a test program.
pub(super) fn names(program: &Path) -> Result<BTreeSet<String>> {
    let told = process::output(Command::new(program).arg("--list").env_remove("MEMWATCH_TEST_ONLY"))?;
    let names: BTreeSet<String> = told.lines().filter_map(listed).map(str::to_owned).collect();
    if names.is_empty() {
        bail!("{} names no test", program.display());
    }
    Ok(names)
}

/// The name in a line such as `life::exit: test`.
fn listed(line: &str) -> Option<&str> {
    line.strip_suffix(": test")
}

/// The target and the path of a program, in one of cargo's messages.
fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let path = message.get("executable")?.as_str()?;
    let name = message.get("target")?.get("name")?.as_str()?;
    Some((name.to_owned(), Path::new(path).to_path_buf()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_that_was_not_built_is_told_of() {
        assert_eq!(DebianPackage::NotWanted.variable().unwrap(), None);
        assert_eq!(DebianPackage::NotBuilt.variable().unwrap(), Some(("MEMWATCH_DEB", String::new())));
        let built = DebianPackage::Built("/t/m_1.deb".into());
        assert_eq!(built.variable().unwrap(), Some(("MEMWATCH_DEB", "/srv/job/files/m_1.deb".into())));
    }

    #[test]
    fn a_part_of_no_name_is_an_error() {
        let known = ["life::exit", "life::exec", "oom::host"].map(str::to_owned);
        let chosen = |only: &[&str]| {
            let only = only.iter().map(|part| (*part).to_owned()).collect();
            Programs { tests: None, memwatch: None, only }.chosen(known.clone().into())
        };
        assert_eq!(chosen(&[]).unwrap().len(), 3);
        assert_eq!(chosen(&["host", "exec"]).unwrap(), ["life::exec", "oom::host"].map(str::to_owned).into());
        assert!(chosen(&["life::", "typo"]).unwrap_err().to_string().contains("typo"));
    }

    #[test]
    fn programs_are_found_in_cargos_messages() {
        let message = r#"{"reason":"compiler-artifact","target":{"name":"behaviour"},"executable":"/t/b-1"}"#;
        assert_eq!(executable(message), Some(("behaviour".into(), "/t/b-1".into())));
        assert_eq!(executable(r#"{"target":{"name":"lib"},"executable":null}"#), None);
        assert_eq!(executable("not json"), None);
    }
}
