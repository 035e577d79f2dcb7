//! Writes every input to a file, for `memwatch replay`: on a thread of its own behind a bounded queue, so that a slow disk holds
//! nobody up. What finds no room and what cannot be written is counted.
//!
//! A line stands in the file whole or not at all: what a full disk left of one is cut off again.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;

use crate::core::fact::ProcessKey;
use crate::core::policy::Input;
use crate::replay::{self, Recorded};

/// Lines on their way to the file: more than a large host has processes at the start.
const QUEUE: usize = 65_536;
/// Bytes written at once, about.
const BATCH: usize = 256 << 10;
/// Time that the disk has for what is left at the end.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// What became of the inputs.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Lines in the file.
    pub written: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Lines that could not be written.
    pub failed: u64,
    /// Why not, the last time.
    pub error: Option<String>,
    /// Lines that found no room on their way.
    pub shed: u64,
    /// Processes in the recording.
    pub processes: u64,
}

impl Tally {
    /// Lines that are missing from the file.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.failed + self.shed
    }

    /// Why lines are missing, with the remedy.
    #[must_use]
    pub fn reason(&self) -> String {
        match &self.error {
            Some(error) => format!("{error}; make room, or record elsewhere"),
            None => "the disk is too slow; record elsewhere, or one --cgroup only".to_owned(),
        }
    }
}

/// The recorder.
#[derive(Debug)]
pub(super) struct Recorder {
    lines: SyncSender<Vec<u8>>,
    ended: Receiver<()>,
    shared: Arc<Mutex<Tally>>,
    shed: u64,
    processes: u64,
    told: u64,
    path: PathBuf,
    only: Option<Only>,
}

/// What of the host is recorded.
#[derive(Debug)]
struct Only {
    cgroup: String,
    within: HashSet<ProcessKey>,
}

impl Recorder {
    /// Begins a recording of the host, or of one cgroup and those below it.
    pub(super) fn start(path: &Path, cgroup: Option<&str>) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let (lines, queue) = sync_channel(QUEUE);
        let (ending, ended) = sync_channel(1);
        let shared = Arc::new(Mutex::new(Tally::default()));
        let tally = Arc::clone(&shared);
        let write = move || {
            write_each(file, &queue, &tally);
            // Nobody may wait for it any more.
            let _ = ending.send(());
        };
        std::thread::Builder::new()
            .name("memwatch-record".into())
            .spawn(write)
            .context("cannot start the thread that records")?;
        let only = cgroup.map(|cgroup| Only { cgroup: cgroup.to_owned(), within: HashSet::new() });
        Ok(Self { lines, ended, shared, shed: 0, processes: 0, told: 0, path: path.to_owned(), only })
    }

    /// Takes an input down.
    pub(super) fn take(&mut self, time_ns: u64, input: &Input) {
        if self.only.as_mut().is_some_and(|only| !only.concerns(input)) {
            return;
        }
        self.processes += u64::from(matches!(input, Input::Runs(_)));
        let mut line = Vec::new();
        // Into memory, of types that are numbers and text: it cannot fail.
        let is_made = replay::write(&mut line, &Recorded { time_ns, input: input.clone() }).is_ok();
        if is_made && self.lines.try_send(line).is_err() {
            self.shed += 1;
        }
    }

    /// What became of the inputs so far.
    pub(super) fn tally(&self) -> Tally {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Tally { shed: self.shed, processes: self.processes, ..shared }
    }

    /// Tells what is missing, once for each look at which there is more.
    pub(super) fn complain(&mut self) {
        let tally = self.tally();
        if tally.missing() > self.told {
            tracing::error!(
                "{} inputs are missing from {}: {}",
                tally.missing() - self.told,
                self.path.display(),
                tally.reason()
            );
            self.told = tally.missing();
        }
    }

    /// Ends the recording, and waits a while for the disk.
    pub(super) fn finish(self) -> Tally {
        let Self { lines, ended, shared, shed, processes, .. } = self;
        drop(lines);
        let is_whole = ended.recv_timeout(LAST_WRITE).is_ok();
        let mut tally = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (tally.shed, tally.processes) = (shed, processes);
        if !is_whole {
            tally.error.get_or_insert_with(|| "the disk was too slow for the end of it".to_owned());
            tally.failed += 1;
        }
        tally
    }
}

impl Only {
    /// Whether an input is part of the recording.
    fn concerns(&mut self, input: &Input) -> bool {
        match input {
            Input::Host(_) | Input::Tick => true,
            Input::Holding { cgroup, .. } => *cgroup == self.cgroup,
            Input::Strain { cgroup, .. } => cgroup.as_ref().is_none_or(|path| *path == self.cgroup),
            Input::Runs(who) if who.is_below(&self.cgroup) => {
                self.within.insert(who.key);
                true
            }
            // One that moved out has ended as far as the recording goes.
            Input::Runs(who) => self.within.contains(&who.key),
            Input::Ended(key) => self.within.remove(key),
            Input::Figures { key, .. } | Input::Unreadable(key) | Input::Sweeps(key) => {
                self.within.contains(key)
            }
            Input::Queue(queue) => self.within.contains(&queue.master),
            Input::Table(table) => self.within.contains(&table.key),
            Input::Acted(acted) => self.within.contains(&acted.key),
            Input::Outcome { .. } => false,
        }
    }
}

fn write_each(mut file: File, queue: &Receiver<Vec<u8>>, tally: &Mutex<Tally>) {
    let mut good = 0;
    while let Ok(mut batch) = queue.recv() {
        let mut lines = 1;
        while batch.len() < BATCH
            && let Ok(line) = queue.try_recv()
        {
            batch.extend_from_slice(&line);
            lines += 1;
        }
        let written = file.write_all(&batch).and_then(|()| file.flush());
        if written.is_err() {
            cut(&mut file, good);
        }
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(()) => {
                good += batch.len() as u64;
                (tally.written, tally.bytes) = (tally.written + lines, good);
            }
            Err(error) => {
                tally.failed += lines;
                tally.error = Some(error.to_string());
            }
        }
    }
}

/// Takes back what was written of a batch; a pipe keeps it.
fn cut(file: &mut File, good: u64) {
    let done: io::Result<u64> = file.set_len(good).and_then(|()| file.seek(SeekFrom::Start(good)));
    if let Err(error) = done {
        tracing::debug!("what was written of a line stays: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_full_disk_does_not_take_is_counted() {
        let mut recorder = Recorder::start(Path::new("/dev/full"), None).unwrap();
        for time_ns in 0..10 {
            recorder.take(time_ns, &Input::Tick);
        }
        let tally = recorder.finish();
        assert_eq!((tally.written, tally.failed), (0, 10));
        assert!(tally.error.is_some_and(|error| error.contains("No space left")));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let path = std::env::temp_dir().join(format!("memwatch-recorder-{}", std::process::id()));
        let mut recorder = Recorder::start(&path, None).unwrap();
        for time_ns in 0..1000 {
            recorder.take(time_ns, &Input::Tick);
        }
        let tally = recorder.finish();
        assert_eq!((tally.written, tally.missing()), (1000, 0));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), tally.bytes);
        let read = replay::read(io::BufReader::new(File::open(&path).unwrap()));
        assert!(read.map(|line| line.unwrap().time_ns).eq(0..1000));
        std::fs::remove_file(path).unwrap();
    }
}
