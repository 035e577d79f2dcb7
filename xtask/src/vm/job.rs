//! What a guest is started for, as the files that are brought in: a tar archive on a disk of its own.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};

use super::Init;
use crate::process;

/// Runs a command and tells the host how it went.
const RUN: &str = include_str!("guest/run.sh");
/// Gives a shell on the console instead.
const SHELL: &str = include_str!("guest/shell.sh");
/// The first process of a guest without systemd.
const MINIMAL: &str = include_str!("guest/minimal.sh");
/// The job as a unit of a guest with systemd.
const UNIT: &str = include_str!("guest/memwatch-job.service");

/// What to do in a guest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Job {
    /// The command's words; a single one is a line for the shell.
    pub(crate) command: Vec<String>,
    /// Files of the host, put into the folder the command starts in.
    pub(crate) files: Vec<PathBuf>,
    /// Variables set for it.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// Whether it talks to the terminal and not to the task.
    pub(crate) is_interactive: bool,
}

/// A job packed for one boot.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) disk: PathBuf,
    /// What the guest's own words begin with, different each time: a job's output cannot be taken for them.
    pub(super) token: String,
}

impl Job {
    /// Writes the archive below `run`.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub(super) fn pack(&self, init: Init, run: &Path) -> Result<Packed> {
        let root = run.join("job");
        if root.exists() {
            fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
        }
        let dir = root.join("srv/job");
        fs::create_dir_all(dir.join("files")).with_context(|| format!("cannot create {}", dir.display()))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let token = format!("guest-{:x}-{:x}", std::process::id(), now.as_nanos());
        let first = match init {
            Init::Minimal => "/srv/job/init-minimal",
            Init::Systemd => "/lib/systemd/systemd",
        };
        let run_script = if self.is_interactive { SHELL } else { RUN };
        let texts = [
            ("command", self.script().as_str()),
            ("token", &token),
            ("init", first),
            ("run", run_script),
            ("init-minimal", MINIMAL),
        ]
        .map(|(name, text)| (dir.join(name), text.to_owned()));
        for (path, text) in texts {
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let mut parts = vec!["srv"];
        if init == Init::Systemd {
            add_unit(&root)?;
            parts.push("etc");
        }
        for file in &self.files {
            let name = file.file_name().with_context(|| format!("{} is no file", file.display()))?;
            fs::copy(file, dir.join("files").join(name))
                .with_context(|| format!("cannot read {}", file.display()))?;
        }
        let disk = run.join("job.tar");
        let mut tar = Command::new("tar");
        // Folders of the guest's take these modes, so they must not be what the host's umask made them.
        tar.args(["--owner=0", "--group=0", "--mode=0755", "-cf"]).arg(&disk).arg("-C").arg(&root);
        process::run(tar.args(parts))?;
        fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
        Ok(Packed { disk, token })
    }

    /// The command and its variables, as a script.
    fn script(&self) -> String {
        let variables =
            self.environment.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value)));
        let command = match &self.command[..] {
            [line] => line.clone(),
            words => format!("exec {}", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")),
        };
        format!("{}{command}\n", variables.collect::<String>())
    }
}

/// Makes the job a unit that systemd starts.
fn add_unit(root: &Path) -> Result<()> {
    let units = root.join("etc/systemd/system");
    let wanted = units.join("multi-user.target.wants");
    fs::create_dir_all(&wanted).with_context(|| format!("cannot create {}", wanted.display()))?;
    let path = units.join("memwatch-job.service");
    fs::write(&path, UNIT).with_context(|| format!("cannot write {}", path.display()))?;
    symlink("../memwatch-job.service", wanted.join("memwatch-job.service"))
        .context("cannot enable the job's unit")
}

/// A word that the shell leaves as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(command: &[&str]) -> String {
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        Job { command, environment: vec![("A", "it's".into())], ..Job::default() }.script()
    }

    #[test]
    fn words_stay_words_and_a_line_is_the_shells() {
        assert_eq!(script(&["echo", "a b", "$c"]), "export A='it'\\''s'\nexec 'echo' 'a b' '$c'\n");
        assert_eq!(script(&["exit 3"]), "export A='it'\\''s'\nexit 3\n");
    }
}
