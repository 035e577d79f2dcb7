//! A scenario: JSON lines, the first of which says what it is about; and findings as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context, Result};
use memwatch::core::detect::fd_table::{Confidence, FdTables, Finding};
use memwatch::core::fact::{Container, Fact, Identity, ProcessKey};
use serde::Deserialize;

use crate::kernel::Kernel;
use crate::random;

/// The first line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    /// What happens, and where that was seen.
    pub(crate) about: String,
    /// Processes that have tables.
    pub(crate) tables: Vec<u32>,
    /// `--min-table` of the text beside; the default when absent.
    pub(crate) min_table: Option<u64>,
}

/// A process, as the ledger knows it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Who {
    comm: String,
    exe: Option<String>,
    unit: Option<String>,
    runtime: Option<String>,
}

impl Who {
    pub(crate) fn named(comm: &str) -> Self {
        Self { comm: comm.to_owned(), ..Self::default() }
    }
}

/// What a process does. One of the optional keys says what.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) pid: u32,
    /// When, in milliseconds.
    #[serde(default)]
    pub(crate) at: u64,
    /// The process begins.
    pub(crate) who: Option<Who>,
    /// It reads its limit: soft and hard.
    pub(crate) read: Option<[u64; 2]>,
    /// It sets its soft limit.
    pub(crate) set: Option<u64>,
    /// It makes another process.
    pub(crate) fork: Option<u32>,
    /// `malloc` of so many elements of so many bytes: one mapping with a header of 16 bytes.
    pub(crate) malloc: Option<[u64; 2]>,
    /// `mmap` of so many bytes.
    pub(crate) mmap: Option<u64>,
    /// `PROT_*` of `mmap`; read and write when absent.
    pub(crate) prot: Option<u32>,
    /// `MAP_*` of `mmap`; private and anonymous when absent.
    pub(crate) flags: Option<u32>,
    /// `mremap` to so many bytes.
    pub(crate) mremap: Option<u64>,
    /// `brk` up by so many bytes.
    pub(crate) brk: Option<u64>,
    /// What the call returns; an address when absent.
    pub(crate) result: Option<i64>,
    /// How often the call is made.
    pub(crate) times: Option<u32>,
    /// Anonymous memory grows by so many bytes.
    pub(crate) touch: Option<u64>,
    /// So many closes of descriptors that are not open, the last at `at`.
    pub(crate) closes: Option<u64>,
    /// The kernel chooses it as an OOM victim.
    pub(crate) oom: Option<bool>,
    /// It runs another program.
    pub(crate) exec: Option<Who>,
    /// It ends with this wait status.
    pub(crate) exit: Option<u32>,
    /// So many processes from `pid` on, each of which learns `read` and maps one region of random length.
    pub(crate) random: Option<u32>,
}

/// A scenario.
pub(crate) struct Story {
    pub(crate) header: Header,
    lines: Vec<Line>,
    is_random: bool,
}

impl Story {
    /// Reads a scenario.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty());
        let (_, first) = lines.next().context("an empty scenario")?;
        let header = serde_json::from_str(first).context("line 1")?;
        let mut told = Vec::new();
        let mut is_random = false;
        for (number, text) in lines {
            let line: Line = serde_json::from_str(text).with_context(|| format!("line {}", number + 1))?;
            match line.random {
                Some(count) => {
                    is_random = true;
                    told.extend(random::lines(&line, count));
                }
                None => told.push(line),
            }
        }
        Ok(Self { header, lines: told, is_random })
    }

    /// Whether its processes are made up by the thousand.
    pub(crate) const fn is_random(&self) -> bool {
        self.is_random
    }

    /// Processes of the scenario.
    pub(crate) fn processes(&self) -> usize {
        let mut pids: Vec<u32> =
            self.lines.iter().flat_map(|line| [Some(line.pid), line.fork]).flatten().collect();
        pids.sort_unstable();
        pids.dedup();
        pids.len()
    }

    /// The facts that the kernel side and the ledger would make of it. Processes still there at the end exit.
    pub(crate) fn facts(&self, min_table: u64) -> Result<Vec<Fact>> {
        let mut kernel = Kernel::new(min_table);
        let mut ledger: BTreeMap<u32, Arc<Identity>> = BTreeMap::new();
        let mut facts = Vec::new();
        for line in &self.lines {
            if let Some(who) = line.who.as_ref().or(line.exec.as_ref()) {
                ledger.insert(line.pid, Arc::new(identity(line.pid, who)));
            }
            if let Some(child) = line.fork {
                let parent = ledger.get(&line.pid).context("a fork of nobody")?;
                let key = ProcessKey { tgid: child, start_ns: start(child) };
                ledger.insert(child, Arc::new(Identity { key, ..Identity::clone(parent) }));
            }
            for event in kernel.take(line)? {
                let pid = event.header.tgid;
                let process = Arc::clone(ledger.get(&pid).with_context(|| format!("{pid} has no `who`"))?);
                let other = Kernel::other(&event).and_then(|pid| ledger.get(&pid)).map(Arc::clone);
                facts.push(Fact { event, process, other, domain: None });
            }
        }
        let end = self.lines.iter().map(|line| line.at).max().unwrap_or_default();
        for event in kernel.end(end + 1000) {
            let process = Arc::clone(ledger.get(&event.header.tgid).context("an exit of nobody")?);
            facts.push(Fact { event, process, other: None, domain: None });
        }
        Ok(facts)
    }

    /// What the detector finds.
    pub(crate) fn run(&self, min_table: u64) -> Result<Vec<Finding>> {
        let mut detector = FdTables::new(min_table);
        let mut findings = Vec::new();
        for fact in self.facts(min_table)? {
            detector.take(&fact, &mut findings);
        }
        Ok(findings)
    }
}

/// Start of a process, in nanoseconds.
pub(crate) const fn start(pid: u32) -> u64 {
    1 + pid as u64
}

fn identity(pid: u32, who: &Who) -> Identity {
    let runtime = who.runtime.as_deref().map(|name| match name {
        "docker" => Some("docker"),
        "containerd" => Some("containerd"),
        "podman" => Some("podman"),
        "cri-o" => Some("cri-o"),
        _ => None,
    });
    Identity {
        parent_tgid: Some(1),
        comm: who.comm.clone().into_bytes(),
        uid: Some(0),
        exe: who.exe.clone().map(String::into_bytes),
        container: runtime.map(|runtime| Container { id: "ab".repeat(32), runtime }),
        unit: who.unit.clone(),
        ..Identity::unknown(ProcessKey { tgid: pid, start_ns: start(pid) })
    }
}

/// Findings as text, for people to compare. Of a random scenario only the alarms are told, and how many others.
pub(crate) fn tell(story: &Story, findings: &[Finding]) -> String {
    let mut text = format!("{}\n", story.header.about);
    let is_told = |finding: &&Finding| !story.is_random() || is_alarm(finding) && finding.last;
    let mut known = BTreeSet::new();
    for finding in findings.iter().filter(is_told) {
        text.push_str(&headline(finding));
        // Between its first report and its last a region only grows.
        if known.insert(finding.id) || finding.last {
            text.push_str(&explanation(finding));
        }
    }
    if story.is_random() {
        let last = findings.iter().filter(|finding| finding.last);
        let quiet = last.filter(|finding| !is_alarm(finding)).count();
        let _ = writeln!(text, "\n{quiet} processes with a finding of low confidence");
    } else if findings.is_empty() {
        text.push_str("\nno finding\n");
    }
    text
}

/// Whether a finding is one to look at.
pub(crate) fn is_alarm(finding: &Finding) -> bool {
    finding.confidence >= Confidence::Medium
}

fn headline(finding: &Finding) -> String {
    format!(
        "\n#{} {} at {} ms: {} {}{}, confidence {}\n  N {} k {} L {} overhead {} total {} touched {} lag {} {:?} table {}\n",
        finding.id,
        String::from_utf8_lossy(&finding.process.comm),
        finding.time_ns / 1_000_000,
        finding.source.as_str(),
        finding.state.as_str(),
        if finding.last { " (last)" } else { "" },
        finding.confidence.as_str(),
        finding.learned.limit,
        finding.element_bytes,
        finding.bytes,
        finding.overhead_bytes,
        finding.total_bytes,
        finding.touched_bytes,
        finding.lag_ns.map_or_else(|| "unknown".to_owned(), |lag_ns| format!("{} us", lag_ns / 1000)),
        finding.fit,
        finding.ordinal,
    )
}

fn explanation(finding: &Finding) -> String {
    let mut text = String::new();
    if let Some(ancestor) = &finding.learned_by {
        let comm = String::from_utf8_lossy(&ancestor.comm);
        let _ = writeln!(text, "  learned by {} ({comm})", ancestor.key.tgid);
    }
    for reason in &finding.reasons {
        let _ = writeln!(text, "  {}: {}", reason.code, reason.text);
    }
    let _ = writeln!(text, "  advice: {}", finding.advice);
    text
}
