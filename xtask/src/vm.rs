//! Boots guests on the kernels of the matrix, runs a command or the tests in them, and brings back what came of it.
//!
//! Goes in: a row of the kernel table, a root file system, a job. Comes out: the job's output, exit status and
//! files. One guest runs at a time. A guest that gives no verdict has failed.

mod acceleration;
mod boot;
mod compatibility;
mod console;
mod emulator;
mod image;
mod initrd;
mod job;
mod kernel;
mod matrix;
mod modules;
mod options;
mod output;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

pub(crate) use self::compatibility::write as write_compatibility;
use self::{
    boot::{Boot, Patience, Verdict},
    emulator::{Emulator, Parts, Processor},
    job::Job,
    kernel::Kernel,
    options::{Options, What},
};
use crate::{Task, process, report, rootfs};

pub(crate) const TASK: Task = Task {
    name: "vm",
    about: "Boot the kernels of the matrix in QEMU and run a command, or the tests, as root in each",
    arguments: options::arguments,
    run: |matches| {
        let options = Options::parse(matches)?;
        let _lock = rootfs::lock()?;
        match &options.what {
            What::Shell => shell(&options),
            What::Command(job) => commands(&options, job),
            What::Tests(programs) => matrix::run(&options, programs),
        }
    },
};

/// Runs the tests with one of these in their name on every kernel of the matrix; every test where there are none.
///
/// # Errors
/// The tests did not pass, none is called like a name, or a kernel could not be had.
pub(crate) fn test_all_kernels(names: &[OsString]) -> Result<()> {
    let options = Options::whole_matrix(names)?;
    let _lock = rootfs::lock()?;
    match &options.what {
        What::Tests(programs) => matrix::run(&options, programs),
        What::Shell | What::Command(_) => bail!("the whole matrix is no command"),
    }
}

/// Runs a line for the shell in a guest with systemd and the real programs, as root in a folder with these files. Gives the
/// kernel's release and the lines that it wrote.
///
/// # Errors
/// The guest cannot be put together, or the command failed.
pub(crate) fn lines_of(
    kernel: &str,
    line: &str,
    files: &[PathBuf],
    timeout: Duration,
) -> Result<(String, Vec<String>)> {
    let options = Options::script(kernel, line, files, timeout)?;
    let _lock = rootfs::lock()?;
    let (What::Command(job), Some(kernel)) = (&options.what, options.kernels.first()) else {
        bail!("no command for a guest");
    };
    let dir = rootfs::guest_dir()?;
    let mut lines = Vec::new();
    let guest = options.guest(kernel, &dir)?;
    let outcome = start(&guest, job, &dir, |line| {
        show(kernel, line);
        lines.push(line.to_owned());
    })?;
    match outcome.boot.verdict {
        Verdict::Ended(0) => Ok((guest.unpacked.release, lines)),
        Verdict::Ended(status) => bail!("the command failed in the guest (exit status {status})"),
        Verdict::Failed(reason, console) => {
            bail!("the guest failed: {reason}; its console's last lines:\n{console}")
        }
    }
}

/// The first process of a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Init {
    /// A script that mounts what tests look at: seconds.
    Minimal,
    /// systemd, with cgroup v2 and journald.
    Systemd,
}

/// A guest to start.
#[derive(Debug)]
struct Guest {
    kernel: &'static Kernel,
    unpacked: kernel::Unpacked,
    init: Init,
    layer: &'static rootfs::Layer,
    memory_mib: u32,
    processor: Processor,
    patience: Patience,
}

/// What came of a guest.
#[derive(Debug)]
struct Outcome {
    boot: Boot,
    /// The folder of the files it gave back.
    files: PathBuf,
}

/// Starts a guest and watches it to its end; `show` gets each line of its job.
fn start(guest: &Guest, job: &Job, dir: &Path, show: impl FnMut(&str)) -> Result<Outcome> {
    let run = run_dir(dir, guest.kernel)?;
    let (command, token) = prepare(guest, job, dir, &run)?;
    let boot = boot::watch(command, &run, &token, guest.patience, show)?;
    let files = run.join("files");
    fs::create_dir_all(&files).with_context(|| format!("cannot create {}", files.display()))?;
    if matches!(boot.verdict, Verdict::Ended(_)) {
        let archive = run.join(emulator::RESULTS);
        process::run(Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(&files))?;
    }
    Ok(Outcome { boot, files })
}

/// Puts together all that a guest is started from.
fn prepare(guest: &Guest, job: &Job, dir: &Path, run: &Path) -> Result<(Command, String)> {
    let image = image::ensure(guest.layer, dir)?;
    let packed = job.pack(guest.init, run)?;
    let parts = Parts {
        processor: guest.processor,
        memory_mib: guest.memory_mib,
        kernel: guest.unpacked.image.clone(),
        initrd: initrd::write(&guest.unpacked, dir, run)?,
        image,
        job: packed.disk,
        is_interactive: job.is_interactive,
    };
    Ok((Emulator::find(dir)?.command(&parts, run)?, packed.token))
}

/// An empty folder for one guest's files, where they lie until the next one starts.
fn run_dir(dir: &Path, kernel: &Kernel) -> Result<PathBuf> {
    let run = dir.join("run").join(kernel.name);
    if run.exists() {
        fs::remove_dir_all(&run).with_context(|| format!("cannot remove {}", run.display()))?;
    }
    fs::create_dir_all(&run).with_context(|| format!("cannot create {}", run.display()))?;
    Ok(run)
}

/// The kernels asked for whose packages can be had, and a text for each other one that is not passed over.
///
/// # Errors
/// There is not one, which is never passed over.
fn present(options: &Options, dir: &Path) -> Result<(Vec<&'static Kernel>, Vec<String>)> {
    present_of(options, |kernel| kernel.unpacked(dir).map(drop))
}

fn present_of(
    options: &Options,
    fetch: impl Fn(&Kernel) -> Result<()>,
) -> Result<(Vec<&'static Kernel>, Vec<String>)> {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for kernel in options.kernels.iter().copied() {
        match fetch(kernel) {
            Ok(()) => there.push(kernel),
            Err(error) => {
                report::step(&format!(
                    "{}: its packages cannot be had, so nothing runs on it: {error:#}",
                    kernel.name
                ));
                if !options.allows_missing {
                    missing.push(format!("{}: its packages cannot be had", kernel.name));
                }
            }
        }
    }
    if there.is_empty() {
        bail!("not one kernel could be had: check the machine's apt configuration and its network");
    }
    Ok((there, missing))
}

/// Runs a command on each kernel; the task fails when it does on one.
fn commands(options: &Options, job: &Job) -> Result<()> {
    let dir = rootfs::guest_dir()?;
    let (there, mut failed) = present(options, &dir)?;
    for kernel in there {
        let outcome = options.guest(kernel, &dir);
        match outcome.and_then(|guest| on_kernel(&guest, job, &dir, |line| show(kernel, line))) {
            Ok(outcome) => match outcome.boot.verdict {
                Verdict::Ended(0) => (),
                // With one kernel, the task stands for the command.
                Verdict::Ended(status) if options.kernels.len() == 1 => std::process::exit(status.into()),
                Verdict::Ended(status) => failed.push(format!("{}: exit status {status}", kernel.name)),
                Verdict::Failed(reason, _) => failed.push(format!("{}: {reason}", kernel.name)),
            },
            Err(error) => failed.push(format!("{}: {error:#}", kernel.name)),
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    Ok(())
}

/// Shows the person at the terminal a line of a guest's.
fn show(kernel: &Kernel, line: &str) {
    report::line(&format!("{:>6} | {line}", kernel.name));
}

/// Runs a job in a guest and tells the person at the terminal how it ended; `show` gets each line of the job.
fn on_kernel(guest: &Guest, job: &Job, dir: &Path, show: impl FnMut(&str)) -> Result<Outcome> {
    let kernel = guest.kernel;
    let mut job = job.clone();
    job.environment.extend([
        ("MEMWATCH_IN_GUEST", "1".to_owned()),
        ("MEMWATCH_KERNEL", kernel.name.to_owned()),
        ("MEMWATCH_WAYS", kernel.ways().join(",")),
        ("MEMWATCH_FEATURES", kernel.features().join(",")),
        ("MEMWATCH_OUT", "/srv/job/out".to_owned()),
        ("HOME", "/root".to_owned()),
    ]);
    let outcome = start(guest, &job, dir, show)?;
    let seconds = |time: std::time::Duration| format!("{:.1} s", time.as_secs_f64());
    let first = outcome.boot.to_first_command.map_or_else(|| "never reached".to_owned(), seconds);
    let verdict = match &outcome.boot.verdict {
        Verdict::Ended(status) => format!("exit status {status}"),
        Verdict::Failed(reason, console) => {
            report::step(&format!("{}: the console's last lines:", kernel.name));
            report::line(console);
            format!("failed: {reason}")
        }
    };
    report::step(&format!(
        "{} ({}, package {}): {verdict}; first command {first}, in all {}; files in {}",
        kernel.name,
        guest.unpacked.release,
        guest.unpacked.version,
        seconds(outcome.boot.total),
        outcome.files.display()
    ));
    Ok(outcome)
}

/// Gives the terminal to a shell in a guest.
fn shell(options: &Options) -> Result<()> {
    let dir = rootfs::guest_dir()?;
    let kernel = options.kernels.first().copied().context("no kernel to start")?;
    let guest = options.guest(kernel, &dir)?;
    let run = run_dir(&dir, kernel)?;
    let job = Job { command: vec!["exec bash -l".into()], is_interactive: true, ..options.job() };
    let (mut command, _) = prepare(&guest, &job, &dir, &run)?;
    report::step(&format!(
        "{} ({}): the guest goes when the shell ends",
        kernel.name, guest.unpacked.release
    ));
    let status = command.status().context("cannot start the emulator")?;
    if !status.success() {
        bail!("the emulator failed ({status})");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{kernel::KERNELS, *};

    #[test]
    fn only_kernels_that_cannot_be_fetched_are_passed_over() {
        let present = |words: &[&str], lacks: &dyn Fn(&Kernel) -> bool| {
            let fetch = |kernel: &Kernel| if lacks(kernel) { bail!("offline") } else { Ok(()) };
            present_of(&Options::parse_words(words).unwrap(), fetch)
        };
        let oldest = |kernel: &Kernel| kernel.name == KERNELS[0].name;
        let (there, missing) = present(&["--allow-missing"], &oldest).unwrap();
        assert_eq!((there.len(), missing.len()), (KERNELS.len() - 1, 0));
        let (there, missing) = present(&[], &oldest).unwrap();
        assert_eq!((there.len(), missing.len()), (KERNELS.len() - 1, 1));
        let none = present(&["--allow-missing", "--", "true"], &|_| true);
        assert!(none.unwrap_err().to_string().contains("not one kernel"));
    }
}
