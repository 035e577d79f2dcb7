//! Runs other programs: their output goes to standard error or is taken, their failure is an error.

use std::{
    ffi::{OsStr, OsString},
    io::stderr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// Runs a program to its end; what it prints goes to standard error.
///
/// # Errors
/// The program cannot be started, or fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = name(command);
    let status = command
        .stdout(stderr())
        .status()
        .with_context(|| format!("cannot run {program}: is it installed?"))?;
    if !status.success() {
        bail!("{program} failed ({status}): its own message is above");
    }
    Ok(())
}

/// Runs a program and gives what it printed; its complaints become part of the error.
///
/// # Errors
/// The program cannot be started, or fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let program = name(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}: is it installed?"))?;
    if !output.status.success() {
        bail!("{program} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A cargo command in the repository.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(cargo_program());
    command.current_dir(workspace::root());
    command
}

/// The cargo that runs the task.
pub(crate) fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The path of a program on `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// A command as a message names it: the program without its folder, and the words that say what it does.
fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words: Vec<_> =
        std::iter::once(program).chain(command.get_args().take(2)).map(OsStr::to_string_lossy).collect();
    format!("`{}`", words.join(" "))
}
