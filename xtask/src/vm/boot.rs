//! Runs one guest from power-on to its verdict.
//!
//! Goes in: the emulator's command and the time it may take. Comes out: how the guest ended; anything but a
//! verdict of its own is a failure with the last lines of the console and of the emulator's complaints.

use std::{
    fs::File,
    io::Read as _,
    path::Path,
    process::{Child, Command, ExitStatus},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    console,
    emulator::{COMPLAINTS, CONSOLE, OUTPUT, RESULTS},
    output::{Reader, Said},
};

/// How often the guest's files are looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the console is read on after a sign of grief.
const CONSOLE_TAIL: Duration = Duration::from_millis(500);

/// How a guest ended.
#[derive(Debug, Clone)]
pub(crate) enum Verdict {
    /// Its job ended with this status, and its files are here.
    Ended(u8),
    /// It gave none, for this reason; the console's last lines.
    Failed(String, String),
}

/// A boot and what came of it.
#[derive(Debug, Clone)]
pub(crate) struct Boot {
    pub(crate) verdict: Verdict,
    /// From power-on to the job's first command.
    pub(crate) to_first_command: Option<Duration>,
    pub(crate) total: Duration,
}

/// How long a guest may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// To the job's first command.
    pub(crate) to_start: Duration,
    /// In all.
    pub(crate) in_all: Duration,
}

/// The emulator as long as it runs; it goes when this does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself: then there is nothing to kill, and only its status to take.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Runs a guest whose files lie in `run`; `show` gets each line its job prints.
///
/// # Errors
/// The emulator cannot be started or the guest's files cannot be read: nothing that the guest did.
pub(super) fn watch(
    mut command: Command,
    run: &Path,
    token: &str,
    patience: Patience,
    mut show: impl FnMut(&str),
) -> Result<Boot> {
    for file in [CONSOLE, OUTPUT, RESULTS] {
        let path = run.join(file);
        File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    let mut guest =
        Guest { run, output: open(run, OUTPUT)?, console: open(run, CONSOLE)?, said: String::new() };
    let mut reader = Reader::new(token);
    let (mut ready, mut end, mut lost) = (None, None, None);
    let started = Instant::now();
    let mut emulator = Running(command.spawn().context("cannot start the emulator")?);
    let verdict = loop {
        // Asked first: what it wrote before it went is then read below.
        let gone = emulator.0.try_wait().context("cannot wait for the emulator")?;
        for said in reader.take(&rest_of(&mut guest.output)?) {
            match said {
                Said::Ready => ready = Some(started.elapsed()),
                Said::Line(line) => show(&line),
                Said::End { status, results_bytes } => end = Some((status, results_bytes)),
                Said::Lost(status) => {
                    lost = Some(format!(
                        "its files could not be packed, the last lines tell why; exit status {status} of its job"
                    ));
                }
            }
        }
        let state = match guest.state(gone, end)? {
            State::Running => lost
                .take()
                .map_or_else(|| lateness(started.elapsed(), ready.is_some(), patience), State::Failed),
            state @ (State::Ended(_) | State::Failed(_)) => state,
        };
        match state {
            State::Running => std::thread::sleep(PAUSE),
            State::Ended(status) => break Verdict::Ended(status),
            State::Failed(reason) => {
                reader.rest().iter().for_each(|line| show(line));
                let complaints = std::fs::read_to_string(run.join(COMPLAINTS)).unwrap_or_default();
                break Verdict::Failed(reason, console::last_lines(&(guest.said + &complaints)));
            }
        }
    };
    Ok(Boot { verdict, to_first_command: ready, total: started.elapsed() })
}

/// How a guest stands at one look.
enum State {
    Running,
    Ended(u8),
    Failed(String),
}

/// The files of a running guest, as far as they have been read.
struct Guest<'a> {
    run: &'a Path,
    output: File,
    console: File,
    /// All that the console has shown.
    said: String,
}

impl Guest<'_> {
    /// How the guest stands: `gone` is the emulator's own status, `end` the status and the length of the
    /// results that the guest has told.
    fn state(&mut self, gone: Option<ExitStatus>, end: Option<(u8, u64)>) -> Result<State> {
        self.said.push_str(&String::from_utf8_lossy(&rest_of(&mut self.console)?));
        // Grief first: a job that ends with success on a kernel that has oopsed has not succeeded.
        if let Some(grief) = console::grief(&self.said) {
            // The lines that follow the first sign say what led to it.
            std::thread::sleep(CONSOLE_TAIL);
            self.said.push_str(&String::from_utf8_lossy(&rest_of(&mut self.console)?));
            return Ok(State::Failed(grief));
        }
        let Some((status, bytes)) = end else {
            let reason = |status| format!("the guest went without a verdict (the emulator: {status})");
            return Ok(gone.map_or(State::Running, |status| State::Failed(reason(status))));
        };
        let arrived = self.run.join(RESULTS).metadata().context("cannot look at the results")?.len();
        Ok(match gone {
            _ if arrived >= bytes => State::Ended(status),
            Some(_) => {
                State::Failed(format!("the guest's files did not arrive ({arrived} of {bytes} bytes)"))
            }
            None => State::Running,
        })
    }
}

/// Whether a running guest has taken too long.
fn lateness(elapsed: Duration, is_ready: bool, patience: Patience) -> State {
    let (limit, what) = if is_ready {
        (patience.in_all, "ended")
    } else {
        (patience.to_start.min(patience.in_all), "started")
    };
    if elapsed <= limit {
        return State::Running;
    }
    State::Failed(format!("time-out: its job had not {what} after {} s", limit.as_secs()))
}

fn open(run: &Path, file: &str) -> Result<File> {
    let path = run.join(file);
    File::open(&path).with_context(|| format!("cannot open {}", path.display()))
}

/// What has been added to a growing file since the last look.
fn rest_of(file: &mut File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).context("cannot read what the guest wrote")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { to_start: Duration::from_secs(1), in_all: Duration::from_secs(5) };

    /// Runs a shell script in the emulator's place.
    fn run(name: &str, script: &str) -> (Boot, Vec<String>) {
        let dir = std::env::temp_dir().join(format!("memwatch-boot-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(&dir);
        let mut lines = Vec::new();
        let boot = watch(command, &dir, "t", PATIENCE, |line| lines.push(line.to_owned())).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        (boot, lines)
    }

    fn reason(boot: &Boot) -> &str {
        match &boot.verdict {
            Verdict::Failed(reason, _) => reason,
            Verdict::Ended(status) => panic!("ended with {status}"),
        }
    }

    #[test]
    fn a_verdict_is_taken_with_the_files() {
        let (boot, lines) = run(
            "end",
            "printf 't ready\\nhello\\n\\nt end 3 4\\n' >> output; sleep 0.2; printf 1234 >> results.tar; exec sleep 60",
        );
        assert!(matches!(boot.verdict, Verdict::Ended(3)), "{:?}", boot.verdict);
        assert_eq!(lines, ["hello"]);
        assert!(boot.to_first_command.is_some());
    }

    #[test]
    fn no_verdict_is_a_failure() {
        let (boot, lines) = run("gone", "printf 't ready\\nhel' >> output");
        assert!(reason(&boot).contains("without a verdict"), "{boot:?}");
        assert_eq!(lines, ["hel"]);
    }

    #[test]
    fn lost_files_are_a_failure() {
        let (boot, lines) =
            run("lost", "printf 't ready\\ntar: no space\\n\\nt lost 0\\n' >> output; exec sleep 60");
        assert!(reason(&boot).contains("could not be packed"), "{boot:?}");
        assert_eq!(lines, ["tar: no space"]);
    }

    #[test]
    fn a_panic_counts_more_than_a_verdict() {
        let script =
            "echo 'Kernel panic - not syncing: x' >> console.log; echo 't end 0 0' >> output; exec sleep 60";
        assert!(reason(&run("panic", script).0).starts_with("kernel panic"));
    }

    #[test]
    fn silence_ends_in_a_time_out() {
        assert!(reason(&run("late", "exec sleep 60").0).contains("not started after 1 s"));
    }
}
