//! The kernel side, told in a hundred lines: the same predicate of the same crate, the same bookkeeping.

use std::collections::BTreeMap;

use anyhow::Result;
use memwatch::core::detect::fd_table::region_floor;
use memwatch::core::fact::{Body, Event};
use memwatch_ebpf::abi::event::{
    CloseSweep, Exec, Exit, FdTable, Kind, OomKill, Resident, SOURCE_BRK, SOURCE_MMAP, SOURCE_MREMAP,
    SWEEP_END, TABLE_FAILED, TABLE_MAPPED, TABLE_TOUCHED,
};
use memwatch_ebpf::abi::header::Header;
use memwatch_ebpf::abi::state::{LEARNED_MAX, LEARNED_READ, LEARNED_READ_HARD, LEARNED_SET, Learned};
use memwatch_ebpf::table::{Match, explain_heap, explain_mapping, is_candidate};

use crate::story::{Line, start};

/// `PROT_READ | PROT_WRITE`.
const READ_WRITE: u32 = 3;
/// `MAP_PRIVATE | MAP_ANONYMOUS`.
const PRIVATE_ANONYMOUS: u32 = 0x22;
const PAGE: u64 = 4096;

#[derive(Clone, Default)]
struct Process {
    learned: Vec<Learned>,
    total: u64,
    touched: u64,
    next_report: u64,
    largest: FdTable,
    count: u32,
}

/// Processes, and the floor below which a region is not looked at.
pub(crate) struct Kernel {
    region_floor: u64,
    processes: BTreeMap<u32, Process>,
}

impl Kernel {
    pub(crate) const fn new(min_table: u64) -> Self {
        Self { region_floor: region_floor(min_table), processes: BTreeMap::new() }
    }

    /// The other process that an event speaks of.
    pub(crate) fn other(event: &Event) -> Option<u32> {
        if let Body::FdTable(table) = &event.body { Some(table.learned.tgid) } else { None }
    }

    /// What a line of a scenario makes the kernel side send.
    pub(crate) fn take(&mut self, line: &Line) -> Result<Vec<Event>> {
        let now = line.at * 1_000_000;
        let mut events = Vec::new();
        if let Some(child) = line.fork {
            let mut made = self.processes.entry(line.pid).or_default().clone();
            for learned in &mut made.learned {
                learned.forks += 1;
            }
            let made = Process { learned: made.learned, ..Process::default() };
            self.processes.insert(child, made);
        }
        let floor = self.region_floor;
        let process = self.processes.entry(line.pid).or_default();
        if let Some([soft, hard]) = line.read {
            if hard != soft {
                process.learn(line.pid, now, hard, LEARNED_READ_HARD);
            }
            process.learn(line.pid, now, soft, LEARNED_READ);
        }
        if let Some(soft) = line.set {
            process.learn(line.pid, now, soft, LEARNED_SET);
        }
        let mut send = |kind, body| events.push(Event { header: header(line.pid, now, kind), body });
        for (source, length, flags) in requests(line) {
            for _ in 0..line.times.unwrap_or(1) {
                if let Some(table) = process.consider(floor, source, length, flags, line.result) {
                    send(Kind::FdTable, Body::FdTable(table));
                }
            }
        }
        if let Some(bytes) = line.touch {
            for table in process.touch(bytes) {
                send(Kind::FdTable, Body::FdTable(table));
            }
        }
        if let Some(count) = line.closes {
            let first_ns = now.saturating_sub(count * 100);
            let limit = process.learned.last().map_or(0, |learned| learned.limit);
            let sweep = CloseSweep { first_ns, last_ns: now, count, limit, phase: SWEEP_END, _pad: 0 };
            send(Kind::CloseSweep, Body::CloseSweep(sweep));
        }
        if line.oom == Some(true) {
            send(Kind::OomKill, Body::OomKill(oom_kill(line.pid)));
        }
        if line.exec.is_some() {
            *process = Process::default();
            let exec = Exec {
                inode: 0,
                device: 0,
                args_len: 0,
                args_total: 0,
                outside: 0,
                _pad: 0,
                filename: [0; 256],
                args: [0; 512],
                generation: 0,
            };
            send(Kind::Exec, Body::Exec(Box::new(exec)));
        }
        if let Some(status) = line.exit {
            events.push(self.exit(line.pid, now, status));
        }
        Ok(events)
    }

    /// Ends every process that is left.
    pub(crate) fn end(&mut self, at: u64) -> Vec<Event> {
        let left: Vec<u32> = self.processes.keys().copied().collect();
        left.into_iter().map(|pid| self.exit(pid, at * 1_000_000, 0)).collect()
    }

    fn exit(&mut self, pid: u32, now: u64, status: u32) -> Event {
        let process = self.processes.remove(&pid).unwrap_or_default();
        let exit =
            Exit { table_total: process.total, table_touched: process.touched, status, ..Exit::default() };
        Event { header: header(pid, now, Kind::Exit), body: Body::Exit(exit) }
    }
}

impl Process {
    fn learn(&mut self, pid: u32, time_ns: u64, limit: u64, how: u32) {
        self.learned.retain(|learned| learned.limit != limit);
        self.learned.push(Learned { limit, time_ns, tgid: pid, tid: pid, how, forks: 0 });
        if self.learned.len() > LEARNED_MAX {
            self.learned.remove(0);
        }
    }

    /// The better fit wins, then the limit learned last.
    fn explain(&self, source: u32, length: u64, flags: u32) -> Option<(Learned, Match)> {
        let explain = |limit, length| {
            if source == SOURCE_BRK {
                explain_heap(limit, length)
            } else {
                explain_mapping(limit, length, flags)
            }
        };
        self.learned
            .iter()
            .filter_map(|learned| Some((*learned, explain(learned.limit, length)?)))
            .min_by_key(|(learned, found)| (found.fit as u32, std::cmp::Reverse(learned.time_ns)))
    }

    fn consider(
        &mut self,
        floor: u64,
        source: u32,
        length: u64,
        flags: u32,
        result: Option<i64>,
    ) -> Option<FdTable> {
        if length < floor {
            return None;
        }
        let (learned, found) = self.explain(source, length, flags)?;
        let failed = result.is_some_and(|result| result < 0);
        self.count += 1;
        if !failed {
            if self.total == 0 {
                self.next_report = 1 << 20;
            }
            self.total += length;
        }
        let table = FdTable {
            learned,
            length,
            overhead: found.overhead,
            result: result.unwrap_or(0x7000_0000_0000),
            total: self.total,
            touched: self.touched,
            anon: self.touched,
            element: found.element,
            fit: found.fit as u32,
            state: if failed { TABLE_FAILED } else { TABLE_MAPPED },
            source,
            flags,
            ordinal: self.count,
        };
        if !failed && length >= self.largest.length {
            self.largest = table;
        }
        Some(table)
    }

    /// A record at every doubling, and one at the whole.
    fn touch(&mut self, bytes: u64) -> Vec<FdTable> {
        let goal = (self.touched + bytes).min(self.total);
        let mut tables = Vec::new();
        while self.total != 0 && self.next_report <= goal {
            self.touched = self.next_report;
            tables.push(FdTable {
                state: TABLE_TOUCHED,
                total: self.total,
                touched: self.touched,
                anon: self.touched,
                ..self.largest
            });
            let whole = self.total - self.total / 64;
            let double = self.touched * 2;
            self.next_report = if double < whole || self.touched >= whole { double } else { whole };
        }
        self.touched = goal;
        tables
    }
}

/// Requests that the hooks pass on: source, length and flags.
fn requests(line: &Line) -> Vec<(u32, u64, u32)> {
    let mapped = line.malloc.map(|[count, size]| (count * size + 16).next_multiple_of(PAGE)).or(line.mmap);
    let (prot, flags) = (line.prot.unwrap_or(READ_WRITE), line.flags.unwrap_or(PRIVATE_ANONYMOUS));
    let mut requests = Vec::new();
    if let Some(length) = mapped.filter(|_| is_candidate(prot, flags)) {
        requests.push((SOURCE_MMAP, length, flags));
    }
    requests.extend(line.mremap.map(|length| (SOURCE_MREMAP, length, 0)));
    requests.extend(line.brk.map(|growth| (SOURCE_BRK, growth, 0)));
    requests
}

fn header(pid: u32, time_ns: u64, kind: Kind) -> Header {
    Header {
        time_ns,
        start_ns: start(pid),
        cgroup_id: 0,
        seq: 0,
        tgid: pid,
        tid: pid,
        uid: 0,
        parent_tgid: 1,
        cpu: 0,
        kind: kind as u16,
        version: 0,
        len: 0,
        comm: [0; 16],
    }
}

fn oom_kill(pid: u32) -> OomKill {
    OomKill {
        resident: Resident::default(),
        page_tables: 0,
        total_vm: 0,
        start_ns: start(pid),
        cgroup_id: 0,
        memcg_id: 0,
        domain_id: 0,
        domain_limit: 0,
        domain_usage: 0,
        tgid: pid,
        tid: pid,
        uid: 0,
        oom_score_adj: 0,
        domain: 0,
        parent_tgid: 1,
        comm: [0; 16],
    }
}
