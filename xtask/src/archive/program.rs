//! Programs of Debian's packages that are run without being installed.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::{Suite, machine_suite};
use crate::{process, report};

/// Where a package's folder of shared libraries can be, and its loader is.
const LIBRARIES: [&str; 2] = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"];

/// A program, either of the machine's own or unpacked with all it needs.
#[derive(Debug)]
pub(crate) enum Program {
    /// Found on the machine.
    Installed(PathBuf),
    /// Unpacked below this folder, at this path in it.
    Unpacked(PathBuf, &'static str),
}

impl Program {
    /// Finds a program, or unpacks its package with everything that depends on, the C library included.
    ///
    /// # Errors
    /// The package cannot be had.
    pub(crate) fn find(guest: &Path, package: &'static str, path: &'static str) -> Result<Self> {
        Self::find_in(machine_suite, guest, package, path)
    }

    /// The same with the suite that has the package: what the machine's own lacks, or has in too old a version.
    ///
    /// # Errors
    /// The package cannot be had.
    pub(crate) fn find_in(
        suite: impl FnOnce() -> Result<String>,
        guest: &Path,
        package: &'static str,
        path: &'static str,
    ) -> Result<Self> {
        let name = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path);
        // Root's own search path has /usr/sbin, others' has not.
        if let Some(installed) =
            process::find(name).or_else(|| Some(Path::new("/").join(path)).filter(|path| path.is_file()))
        {
            return Ok(Self::Installed(installed));
        }
        let dir = guest.join("tools").join(package);
        if !dir.is_dir() {
            let suite = Suite::open(guest, &suite()?)?;
            report::step(&format!("unpacking {package} and what it needs in {}", dir.display()));
            suite.unpack(&suite.resolve(&[package])?, &dir)?;
        }
        Ok(Self::Unpacked(dir, path))
    }

    /// The folder the program is unpacked in, if it is.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Installed(_) => None,
            Self::Unpacked(dir, _) => Some(dir),
        }
    }

    /// The words that start it: an unpacked one by the loader it came with, so that the machine's libraries,
    /// of whatever version, stay out of it.
    ///
    /// # Errors
    /// The package has no loader.
    pub(crate) fn words(&self) -> Result<Vec<OsString>> {
        match self {
            Self::Installed(path) => Ok(vec![path.into()]),
            Self::Unpacked(dir, path) => {
                let folders = LIBRARIES.map(|libraries| dir.join(libraries));
                let loader = folders.iter().map(|folder| folder.join("ld-linux-x86-64.so.2"));
                let loader = loader.into_iter().find(|loader| loader.exists());
                let loader = loader.with_context(|| format!("no loader in {}", dir.display()))?;
                let libraries = std::env::join_paths(library_folders(&folders)?)
                    .with_context(|| format!("{} cannot be a search path", dir.display()))?;
                Ok(vec![loader.into(), "--library-path".into(), libraries, dir.join(path).into()])
            }
        }
    }

    /// A command that starts it.
    ///
    /// # Errors
    /// As [`Program::words`].
    pub(crate) fn command(&self) -> Result<Command> {
        let words = self.words()?;
        let (program, arguments) = words.split_first().context("a program without a name")?;
        let mut command = Command::new(program);
        command.args(arguments);
        Ok(command)
    }
}

/// The folders and those right below them: some libraries lie in one of their own (`pulseaudio`).
fn library_folders(folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        found.push(folder.clone());
        let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
        found.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    Ok(found)
}
