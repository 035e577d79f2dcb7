//! The load: one process that is measured with and without a tracer.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context as _, Result};

/// `memwatch-load serve`, waiting for commands; killed when dropped.
pub(super) struct Load {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What a hog did.
pub(super) struct Hog {
    /// Bytes that it has touched until it had all or was killed.
    pub(super) touched: u64,
    /// Bytes resident before the first of them.
    pub(super) before: u64,
    /// The boot clock at each MiB, from the first on.
    pub(super) times: Vec<u64>,
    /// Meanwhile: the boot clock, and bytes that the host has available.
    pub(super) looks: Vec<(u64, u64)>,
}

impl Hog {
    /// Bytes a second; `None` when it was too short to tell.
    pub(super) fn speed(&self) -> Option<f64> {
        let (first, last) = (*self.times.first()?, *self.times.last()?);
        let seconds = last.checked_sub(first).filter(|ns| *ns > 0)? as f64 / 1e9;
        Some((self.times.len() - 1) as f64 * 1_048_576.0 / seconds)
    }
}

/// What a flood did.
pub(super) struct Flooded {
    pub(super) calls: u64,
    pub(super) seconds: f64,
}

impl Load {
    /// Starts it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub(super) fn start(program: &Path) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start memwatch-load")?;
        let commands = child.stdin.take().context("memwatch-load has no input")?;
        let answers = BufReader::new(child.stdout.take().context("memwatch-load has no output")?);
        Ok(Self { child, commands, answers })
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Nanoseconds per operation: the median over the batches of a block.
    ///
    /// # Errors
    /// The load failed; its own message is on standard error.
    pub(super) fn measure(&mut self, operation: &str, milliseconds: u64) -> Result<f64> {
        Ok(self.ask(&format!("measure {operation} {milliseconds}"))?.0)
    }

    /// Reads of the descriptor limit by `processes` processes, `rate` a second together, or as fast as it goes (0).
    ///
    /// # Errors
    /// The load failed; its own message is on standard error.
    pub(super) fn flood(&mut self, processes: u32, seconds: f64, rate: u64) -> Result<Flooded> {
        let (calls, seconds) = self.ask(&format!("flood {processes} {seconds} {rate}"))?;
        Ok(Flooded { calls: calls as u64, seconds })
    }

    /// Has it hold an index of so many bytes, so many of them in memory, mapped so many times, in place of the one before.
    ///
    /// # Errors
    /// The load failed; its own message is on standard error.
    pub(super) fn index(&mut self, bytes: u64, resident: u64, times: u64) -> Result<()> {
        self.ask(&format!("index {bytes} {resident} {times}")).map(drop)
    }

    /// Entries a second that the kernel gives of the index in pagemap, and in kpagecgroup.
    ///
    /// # Errors
    /// The load failed; its own message is on standard error.
    pub(super) fn kernel_rates(&mut self) -> Result<(f64, f64)> {
        self.ask("rates")
    }

    /// Processes that sleep, each with private memory in so many areas; gives how many the machine bore.
    ///
    /// # Errors
    /// The load failed; its own message is on standard error.
    pub(super) fn crowd(&mut self, processes: u32, areas: u32, bytes: u64) -> Result<u32> {
        let (started, _asked) = self.ask(&format!("crowd {processes} {areas} {bytes}"))?;
        Ok(started as u32)
    }

    /// A process that waits, then touches so many bytes at full speed, and holds them until the next command.
    ///
    /// # Errors
    /// The load failed; its own message is on standard error.
    pub(super) fn hog(&mut self, bytes: u64, wait_ms: u64) -> Result<Hog> {
        let answer = self.answer(&format!("hog {bytes} {wait_ms}"))?;
        let numbers = answer.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>();
        match numbers.as_deref() {
            Ok([touched, before, count, rest @ ..]) if *count <= rest.len() as u64 => {
                let (times, looks) = rest.split_at(*count as usize);
                let looks = looks.chunks_exact(2).filter_map(|look| Some((*look.first()?, *look.last()?)));
                Ok(Hog { touched: *touched, before: *before, times: times.to_vec(), looks: looks.collect() })
            }
            _ => anyhow::bail!("memwatch-load answered a hog with {answer:?}"),
        }
    }

    /// Reads the descriptor limit and asks for a table of that many pointers, of which nothing is touched; held until the next command.
    ///
    /// # Errors
    /// The load failed; its own message is on standard error.
    pub(super) fn table(&mut self) -> Result<()> {
        self.ask("table").map(drop)
    }

    /// Ends what the last command started.
    ///
    /// # Errors
    /// The load failed; its own message is on standard error.
    pub(super) fn rest(&mut self) -> Result<()> {
        self.ask("measure getpid 1").map(drop)
    }

    /// Gives a command; gives the first two numbers of the answer.
    fn ask(&mut self, command: &str) -> Result<(f64, f64)> {
        let answer = self.answer(command)?;
        let mut numbers = answer.split_whitespace().map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(first)), Some(Ok(second))) => Ok((first, second)),
            _ => anyhow::bail!("memwatch-load answered {command:?} with {answer:?}"),
        }
    }

    fn answer(&mut self, command: &str) -> Result<String> {
        writeln!(self.commands, "{command}").context("memwatch-load takes no more commands")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer).context("cannot read memwatch-load's answer")?;
        Ok(answer)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
