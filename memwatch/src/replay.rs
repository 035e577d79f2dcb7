//! A recorded stream of inputs, played to an engine as if its commands were obeyed.
//!
//! One JSON object a line: the boot clock in nanoseconds, and the input. What was answered to the commands of the recorded
//! run is left out: here the answers are made up. A process that is signalled ends at once, what it held is added to
//! the host's available memory from then on, and nothing recorded of it is heard any more. So a policy can be tried on
//! what has happened elsewhere, and gives the same lines each time.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

use crate::core::fact::ProcessKey;
use crate::core::policy::guard::Own;
use crate::core::policy::{Command, Engine, Figures, Host, Input, Outbox, Outcome, Settings};

/// Longest line that is read, in bytes.
const LINE_MAX: usize = 1 << 20;

/// One line of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// Boot clock, nanoseconds.
    pub time_ns: u64,
    /// What happened.
    pub input: Input,
}

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("cannot read the recording: {0}")]
    Read(#[from] std::io::Error),
    /// A line is not what `memwatch record` writes.
    #[error("line {line} of the recording is not one that `memwatch record` writes: {reason}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads a recording line by line. Empty lines are passed over.
pub fn read(mut from: impl BufRead) -> impl Iterator<Item = Result<Recorded, ReplayError>> {
    let mut number = 0;
    let mut text = Vec::new();
    std::iter::from_fn(move || {
        loop {
            number += 1;
            text.clear();
            let fault = |reason: String| Some(Err(ReplayError::Line { line: number, reason }));
            match std::io::Read::take(&mut from, LINE_MAX as u64 + 1).read_until(b'\n', &mut text) {
                Err(error) => return Some(Err(error.into())),
                Ok(0) => return None,
                Ok(length) if length > LINE_MAX => {
                    return fault(format!("it is longer than {LINE_MAX} bytes"));
                }
                Ok(_) => {}
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            return match serde_json::from_slice(&text) {
                Ok(recorded) => Some(Ok(recorded)),
                // What a killed daemon or a full disk leaves: the line was never finished.
                Err(_) if !text.ends_with(b"\n") => {
                    tracing::warn!("line {number} of the recording is cut off and left out");
                    None
                }
                Err(error) => fault(error.to_string()),
            };
        }
    })
}

/// Writes one line of a recording.
///
/// # Errors
/// As the writer's.
pub fn write(to: &mut impl Write, recorded: &Recorded) -> std::io::Result<()> {
    serde_json::to_writer(&mut *to, recorded)?;
    to.write_all(b"\n")
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Inputs played.
    pub inputs: u64,
    /// Who was signalled and so ended, in order, and what came back, in bytes.
    pub ended: Vec<(ProcessKey, u64)>,
    /// Highest use of the host, in bytes.
    pub highest_use: u64,
}

/// An engine and the host it believes in.
#[derive(Debug)]
pub struct Player {
    engine: Engine,
    outbox: Outbox,
    /// Last figures of each living process.
    figures: BTreeMap<ProcessKey, Figures>,
    ended: BTreeMap<ProcessKey, u64>,
    used: u64,
    total: Total,
}

impl Player {
    /// Begins with nothing known. memwatch's own process has no part in a recording.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            engine: Engine::new(settings, Own::default()),
            outbox: Outbox::default(),
            figures: BTreeMap::new(),
            ended: BTreeMap::new(),
            used: 0,
            total: Total::default(),
        }
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Bytes in use when the host was last looked at, had the policy been in force.
    #[must_use]
    pub const fn used(&self) -> u64 {
        self.used
    }

    /// What it came to so far.
    #[must_use]
    pub const fn total(&self) -> &Total {
        &self.total
    }

    /// Plays one line; `tell` sees every command, with the engine and the rankings behind it.
    pub fn play(&mut self, recorded: Recorded, tell: &mut impl FnMut(u64, &Command, &Engine, &Outbox)) {
        let Recorded { time_ns, input } = recorded;
        if let Some(input) = self.believed(input) {
            self.total.inputs += 1;
            self.feed(time_ns, input, tell);
        }
    }

    /// The input as it would have been after what was done here; `None`: it would not have been.
    fn believed(&mut self, input: Input) -> Option<Input> {
        match input {
            Input::Outcome { .. } | Input::Acted(_) => None,
            Input::Runs(who) if self.is_gone(&who.key) => None,
            Input::Ended(key) if self.ended.remove(&key).is_some() => None,
            Input::Ended(key) => {
                self.figures.remove(&key);
                Some(Input::Ended(key))
            }
            Input::Figures { key, figures } if self.is_gone(&key) => {
                // What it took in the recording after its end here was never taken.
                if let (Some(held), Some(freed)) = (held(&figures), self.ended.get_mut(&key)) {
                    *freed = held;
                }
                None
            }
            Input::Figures { key, figures } => {
                let known = self.figures.entry(key).or_default();
                *known = Figures {
                    resident: figures.resident.or(known.resident),
                    private: figures.private.or(known.private),
                    proportional: figures.proportional.or(known.proportional),
                    swap: figures.swap.or(known.swap),
                    peak: figures.peak.or(known.peak),
                    idle: figures.idle.or(known.idle),
                    caught: figures.caught.or(known.caught),
                    as_one: figures.as_one.or(known.as_one),
                };
                Some(Input::Figures { key, figures })
            }
            Input::Table(table) if self.is_gone(&table.key) => None,
            Input::Sweeps(key) | Input::Unreadable(key) if self.is_gone(&key) => None,
            Input::Host(host) => {
                let freed: u64 = self.ended.values().sum();
                let available = host.available.saturating_add(freed).min(host.total);
                let host = Host { available, ..host };
                self.used = host.used();
                self.total.highest_use = self.total.highest_use.max(host.used());
                Some(Input::Host(host))
            }
            other @ (Input::Runs(_)
            | Input::Table(_)
            | Input::Sweeps(_)
            | Input::Unreadable(_)
            | Input::Strain { .. }
            | Input::Holding { .. }
            | Input::Queue(_)
            | Input::Tick) => Some(other),
        }
    }

    fn is_gone(&self, key: &ProcessKey) -> bool {
        self.ended.contains_key(key)
    }

    fn feed(&mut self, time_ns: u64, input: Input, tell: &mut impl FnMut(u64, &Command, &Engine, &Outbox)) {
        let mut waiting = std::collections::VecDeque::from([input]);
        while let Some(input) = waiting.pop_front() {
            self.outbox.clear();
            self.engine.handle(time_ns, input, &mut self.outbox);
            let commands = std::mem::take(&mut self.outbox.commands);
            for command in &commands {
                tell(time_ns, command, &self.engine, &self.outbox);
                self.obey(*command, &mut waiting);
            }
            self.outbox.commands = commands;
        }
    }

    /// Answers a command.
    fn obey(&mut self, command: Command, waiting: &mut std::collections::VecDeque<Input>) {
        match command {
            // A recording has what was read.
            Command::Audit(_) => {}
            Command::Measure(key) => waiting.push_back(match self.figures.get(&key) {
                // A recording may lack the closer look: RSS is then all there is, which is never too little.
                Some(known) => Input::Figures {
                    key,
                    figures: Figures {
                        private: known.private.or(known.resident),
                        proportional: known.proportional.or(known.resident),
                        ..*known
                    },
                },
                None => Input::Unreadable(key),
            }),
            Command::Send { decision, key, .. }
            | Command::KillCgroup { decision, key }
            | Command::StopUnit { decision, key } => {
                waiting.push_back(Input::Outcome { decision, outcome: Outcome::Sent });
                self.end(key);
                waiting.push_back(Input::Ended(key));
            }
            Command::RunHook { decision, .. } => {
                waiting.push_back(Input::Outcome { decision, outcome: Outcome::HookEnded });
            }
            // What the pool would have become is for the engine to remember: nobody in the recording starts or ends by it, but
            // who was to go.
            Command::Tell { decision, .. } => match self.engine.asked_by_master(decision) {
                Some(key) => {
                    waiting.push_back(Input::Outcome { decision, outcome: Outcome::Sent });
                    self.end(key);
                    waiting.push_back(Input::Ended(key));
                }
                None => waiting.push_back(Input::Outcome { decision, outcome: Outcome::WouldSend }),
            },
            Command::Limit(_)
            | Command::Unlimit(_)
            | Command::Rule { .. }
            | Command::Unrule(_)
            | Command::LookWithin(_)
            | Command::Decided(_)
            | Command::Closed(_)
            | Command::Warn(_) => {}
        }
    }

    fn end(&mut self, key: ProcessKey) {
        let figures = self.figures.remove(&key).unwrap_or_default();
        let freed = held(&figures).unwrap_or(0);
        self.ended.insert(key, freed);
        self.total.ended.push((key, freed));
    }
}

/// Bytes that come back when a process ends.
fn held(figures: &Figures) -> Option<u64> {
    figures.private.or(figures.proportional).or(figures.resident)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A recorded gunicorn of six workers that wait for a client, played to a policy with a size.
    #[test]
    fn a_pool_that_follows_is_told_by_what_was_recorded_of_its_sockets() {
        use crate::core::policy::{Queue, Way, Who};
        let settings = crate::config::parse(
            "mode = \"enforce\"\nwhole_host = true\n[found_pools]\nmin_alive = 2\nsize = { max_workers = 8 }\n",
            "test".as_ref(),
        );
        let mut player = Player::new(settings.expect("settings").policy);
        let key = |tgid: u32| ProcessKey { tgid, start_ns: u64::from(tgid) };
        let who = |tgid| Who {
            parent: Some(if tgid == 10 { 2 } else { 10 }),
            comm: "gunicorn".into(),
            exe: Some("/usr/bin/python3.11".into()),
            args: vec!["gunicorn: master [app]".into()],
            uid: Some(1000),
            cgroup: Some("/".into()),
            oom_score_adj: Some(0),
            ..Who::unknown(key(tgid))
        };
        let mut inputs: Vec<(u64, Input)> =
            (10..17).map(|tgid| (0, Input::Runs(Box::new(who(tgid))))).collect();
        for second in 1..100 {
            let idle = Figures {
                resident: Some(1 << 20),
                private: Some(1 << 20),
                idle: Some(true),
                caught: Some(u64::MAX),
                ..Figures::default()
            };
            inputs.extend((10..17).map(|tgid| (second, Input::Figures { key: key(tgid), figures: idle })));
            let queue = Queue {
                master: key(10),
                sockets: 1,
                unix: 0,
                is_per_worker: false,
                waiting: 0,
                most: 0,
                bound: 128,
                dropped: None,
                overflows: None,
                way: Way::Open,
            };
            inputs.push((second, Input::Queue(queue)));
            inputs
                .push((second, Input::Host(Host { total: 1 << 30, available: 1 << 29, ..Host::default() })));
        }
        let mut told = 0;
        for (second, input) in inputs {
            let mut text = Vec::new();
            write(&mut text, &Recorded { time_ns: second * 1_000_000_000, input }).expect("to memory");
            for recorded in read(text.as_slice()) {
                player.play(recorded.expect("a line"), &mut |_, command, _, _| {
                    told += usize::from(matches!(command, Command::Tell { .. }));
                });
            }
        }
        // Half a minute for each, as if it had gone: and nobody has ended by it.
        assert_eq!((told, player.total().ended.len()), (3, 0));
    }

    #[test]
    fn a_line_that_was_never_finished_is_left_out() {
        let mut text = Vec::new();
        write(&mut text, &Recorded { time_ns: 1, input: Input::Tick }).expect("to memory");
        write(&mut text, &Recorded { time_ns: 2, input: Input::Tick }).expect("to memory");
        text.truncate(text.len() - 5);
        let read: Vec<_> = read(text.as_slice()).collect::<Result<_, _>>().expect("one line");
        assert_eq!(read, [Recorded { time_ns: 1, input: Input::Tick }]);
    }

    #[test]
    fn a_line_of_another_kind_is_a_fault_with_its_number() {
        let fault = read(&b"\n{}\n"[..]).next().expect("a line").expect_err("no input");
        assert!(matches!(fault, ReplayError::Line { line: 2, .. }), "{fault}");
    }
}
