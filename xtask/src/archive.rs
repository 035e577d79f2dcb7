//! Debian's package archives, for any of its suites, as the machine's own apt reaches them.
//!
//! Goes in: the machine's apt sources, the name of a suite. Comes out: resolved versions, unpacked packages.
//! Each suite has lists and a package database of its own below the target folder; the machine's are only read,
//! and nothing is installed.

mod program;
mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

pub(crate) use self::{program::Program, sources::machine_suite};
use crate::{process, report};

/// How long a suite's lists count as fresh.
const LISTS_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// One suite of Debian and what is known of it on this machine.
pub(crate) struct Suite {
    name: String,
    dir: PathBuf,
}

/// A package in one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Suite {
    /// Opens a suite; its lists are fetched when there are none or they are a day old.
    ///
    /// # Errors
    /// The machine's apt names no Debian archive, or the archive has no such suite or cannot be reached.
    pub(crate) fn open(guest: &Path, name: &str) -> Result<Self> {
        let suite = Self { name: name.to_owned(), dir: guest.join("apt").join(name) };
        // Also for lists that are fresh: the settings carry the folder's path, and a checkout may be moved.
        suite.prepare()?;
        if suite.has_fresh_lists() {
            return Ok(suite);
        }
        let [all @ .., archive] = &sources::derived(name, &guest.join("apt/machine"))?[..] else {
            bail!("no sources for {name}")
        };
        report::step(&format!("apt-get update for {name} (lists of its own in {})", suite.dir.display()));
        // Old suites lose their security and updates parts to the attic long before the archive itself.
        let whole = [all, std::slice::from_ref(archive)].concat();
        let updated = suite.update(&whole).or_else(|error| {
            if all.is_empty() {
                return Err(error);
            }
            report::step(&format!("{name}: once more, without its security and updates parts: {error:#}"));
            suite.update(std::slice::from_ref(archive))
        });
        match updated {
            Ok(()) => fs::write(suite.stamp(), "").context("cannot mark the lists as fresh")?,
            Err(error) if suite.stamp().is_file() => {
                report::step(&format!(
                    "{name}: cannot refresh the lists, going on with the old ones: {error:#}"
                ));
            }
            Err(error) => {
                return Err(error.context(format!(
                    "cannot reach Debian's suite {name}: does the machine's mirror still carry it?"
                )));
            }
        }
        Ok(suite)
    }

    /// The same suite without its security and updates parts: those of a suite whose support has ended can
    /// still name packages that are gone.
    ///
    /// # Errors
    /// It is without them already, or cannot be reached.
    pub(crate) fn reduced(&self) -> Result<Self> {
        let sources = fs::read_to_string(self.sources()).context("cannot read the suite's sources")?;
        let mut lines = sources.lines().rev();
        let archive = lines.next().with_context(|| format!("no sources for {}", self.name))?;
        if lines.next().is_none() {
            bail!("{} has no other source", self.name);
        }
        self.update(&[format!("{archive}\n")])?;
        Ok(Self { name: self.name.clone(), dir: self.dir.clone() })
    }

    /// The packages asked for and all they depend on, as apt resolves them for an empty system.
    ///
    /// # Errors
    /// The suite lacks a package, or its dependencies cannot be met.
    pub(crate) fn resolve(&self, names: &[&str]) -> Result<Vec<Package>> {
        let mut simulate = self.apt("apt-get");
        simulate.args(["--simulate", "--no-install-recommends", "install"]).args(names);
        let text = process::output(&mut simulate)
            .with_context(|| format!("cannot resolve {} in {}", names.join(" "), self.name))?;
        Ok(installed(&text))
    }

    /// Unpacks one package, without what it depends on, into a folder that is there only when it is complete.
    ///
    /// # Errors
    /// The suite lacks it, or it cannot be fetched or unpacked.
    pub(crate) fn unpack_alone(&self, name: &str, into: &Path) -> Result<()> {
        let mut packages = self.resolve(&[name])?;
        packages.retain(|package| package.name == name);
        self.unpack(&packages, into)
    }

    /// Downloads packages and unpacks them into a folder that is there only when it is complete.
    ///
    /// # Errors
    /// A package cannot be fetched or unpacked.
    pub(crate) fn unpack(&self, packages: &[Package], into: &Path) -> Result<()> {
        let archives = self.dir.join("archives");
        recreate(&archives)?;
        let versions = packages.iter().map(|package| format!("{}={}", package.name, package.version));
        process::output(self.apt("apt-get").arg("download").args(versions).current_dir(&archives))
            .with_context(|| format!("cannot download packages of {}", self.name))?;
        // Not `with_extension`, as a version has dots of its own.
        let mut partial = into.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        recreate(&partial)?;
        let entries =
            fs::read_dir(&archives).with_context(|| format!("cannot list {}", archives.display()))?;
        for archive in entries.flatten().map(|entry| entry.path()) {
            process::run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&partial))?;
        }
        fs::remove_dir_all(&archives).with_context(|| format!("cannot remove {}", archives.display()))?;
        if into.exists() {
            fs::remove_dir_all(into).with_context(|| format!("cannot remove {}", into.display()))?;
        }
        fs::rename(&partial, into).with_context(|| format!("cannot create {}", into.display()))
    }

    /// The suite's sources, one `deb` line each.
    pub(crate) fn sources(&self) -> PathBuf {
        self.dir.join("sources.list")
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        // Given as a file so that the machine's own settings (a proxy, a password) hold, all but these.
        command.arg("-c").arg(self.dir.join("apt.conf"));
        command
    }

    fn stamp(&self) -> PathBuf {
        self.dir.join("updated")
    }

    fn has_fresh_lists(&self) -> bool {
        let age = fs::metadata(self.stamp()).and_then(|data| data.modified()).map(|at| at.elapsed());
        matches!(age, Ok(Ok(age)) if age < LISTS_AGE)
    }

    fn prepare(&self) -> Result<()> {
        for part in ["lists/partial", "cache/archives/partial"] {
            let dir = self.dir.join(part);
            fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let dir = self.dir.display();
        let conf = format!(
            "Dir::State \"{dir}\";\nDir::State::lists \"{dir}/lists\";\nDir::State::status \"{dir}/status\";\n\
             Dir::Cache \"{dir}/cache\";\nDir::Etc::sourcelist \"{dir}/sources.list\";\n\
             Dir::Etc::sourceparts \"/dev/null\";\nDir::Etc::preferences \"/dev/null\";\n\
             Dir::Etc::preferencesparts \"/dev/null\";\n\
             Acquire::Languages \"none\";\nAcquire::Retries \"3\";\nAPT::Sandbox::User \"root\";\n\
             APT::Update::Error-Mode \"any\";\n"
        );
        for (file, text) in [("apt.conf", conf.as_str()), ("status", "")] {
            let path = self.dir.join(file);
            if fs::read_to_string(&path).is_ok_and(|there| there == text) {
                continue;
            }
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn update(&self, sources: &[String]) -> Result<()> {
        let path = self.sources();
        fs::write(&path, sources.concat()).with_context(|| format!("cannot write {}", path.display()))?;
        process::output(self.apt("apt-get").args(["-q", "update"])).map(drop)
    }
}

/// Makes an empty folder, whatever was there.
fn recreate(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))
}

/// The packages in the output of `apt-get --simulate install` on an empty system: `Inst name (version …`.
fn installed(simulated: &str) -> Vec<Package> {
    let mut packages: Vec<_> = simulated
        .lines()
        .filter_map(|line| line.strip_prefix("Inst ")?.split_once(" ("))
        .filter_map(|(name, rest)| {
            let version = rest.split(' ').next()?;
            Some(Package { name: name.to_owned(), version: version.to_owned() })
        })
        .collect();
    packages.sort_by(|one, other| one.name.cmp(&other.name));
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolved_packages_are_read_in_order_of_name() {
        let simulated = "NOTE: This is only a simulation!\n\
                         Inst libb (1:2.0-1+b1 Debian:12.1/oldstable [amd64])\n\
                         Inst a (1.0 Debian:12.1/oldstable, Debian-Security:12/x [all])\nConf a (1.0 x)\n";
        let package = |name: &str, version: &str| Package { name: name.into(), version: version.into() };
        assert_eq!(installed(simulated), [package("a", "1.0"), package("libb", "1:2.0-1+b1")]);
    }
}
