//! Facts: decoded events with what is known of the processes they speak of.

use std::sync::Arc;

use memwatch_ebpf::abi::event;
use memwatch_ebpf::abi::header::Header;

/// A process: a bare pid may be another process by the time it is looked at, the pair may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct ProcessKey {
    /// Process id in the initial pid namespace.
    pub tgid: u32,
    /// Start on the boot clock, in nanoseconds. /proc gives it to the clock tick (10 ms) only, see [`ProcessKey::is_same`].
    pub start_ns: u64,
}

impl ProcessKey {
    /// Length of the clock tick in which /proc counts start times, in nanoseconds (`USER_HZ` is 100 on every
    /// architecture this program runs on).
    pub const TICK_NS: u64 = 10_000_000;

    /// Whether both mean one process when either start time may be rounded down to a clock tick.
    #[must_use]
    pub const fn is_same(self, other: Self) -> bool {
        self.tgid == other.tgid && self.start_ns / Self::TICK_NS == other.start_ns / Self::TICK_NS
    }
}

/// A decoded record: who and when, and what.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Who did it, when.
    pub header: Header,
    /// What was done.
    pub body: Body,
}

impl Event {
    /// The process that the header names.
    #[must_use]
    pub const fn key(&self) -> ProcessKey {
        ProcessKey { tgid: self.header.tgid, start_ns: self.header.start_ns }
    }
}

/// What a record says. One variant per [`event::Kind`].
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// `mmap(2)`.
    Mmap(event::Mapping),
    /// `munmap(2)`.
    Munmap(event::Mapping),
    /// `mremap(2)`.
    Mremap(event::Mapping),
    /// `brk(2)`.
    Brk(event::Mapping),
    /// A major page fault.
    Fault(event::Fault),
    /// A process passed its RSS limit.
    Rss(event::Rss),
    /// A limit was read.
    RlimitRead(event::Rlimit),
    /// A limit was set.
    RlimitSet(event::Rlimit),
    /// The kernel's descriptor table grew.
    FdTableGrowth(event::FdTableGrowth),
    /// A run of closes of descriptors that are not open.
    CloseSweep(event::CloseSweep),
    /// Memory that matches one slot per possible descriptor.
    FdTable(event::FdTable),
    /// A rule acted in the kernel.
    Action(event::Action),
    /// The kernel chose an OOM victim.
    OomKill(event::OomKill),
    /// A process runs another program.
    Exec(Box<event::Exec>),
    /// A process made another process.
    Fork(event::Fork),
    /// A process ended.
    Exit(event::Exit),
}

impl Body {
    /// The kind of the record it came from.
    #[must_use]
    pub const fn kind(&self) -> event::Kind {
        match self {
            Self::Mmap(_) => event::Kind::Mmap,
            Self::Munmap(_) => event::Kind::Munmap,
            Self::Mremap(_) => event::Kind::Mremap,
            Self::Brk(_) => event::Kind::Brk,
            Self::Fault(_) => event::Kind::Fault,
            Self::Rss(_) => event::Kind::Rss,
            Self::RlimitRead(_) => event::Kind::RlimitRead,
            Self::RlimitSet(_) => event::Kind::RlimitSet,
            Self::FdTableGrowth(_) => event::Kind::FdTableGrowth,
            Self::CloseSweep(_) => event::Kind::CloseSweep,
            Self::FdTable(_) => event::Kind::FdTable,
            Self::Action(_) => event::Kind::Action,
            Self::OomKill(_) => event::Kind::OomKill,
            Self::Exec(_) => event::Kind::Exec,
            Self::Fork(_) => event::Kind::Fork,
            Self::Exit(_) => event::Kind::Exit,
        }
    }
}

/// Where a container's identity was read from a cgroup path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The container's full id.
    pub id: String,
    /// The runtime as the path names it (`docker`, `containerd`, `cri-o`, `podman`, …), when it does.
    pub runtime: Option<&'static str>,
}

/// A Kubernetes pod, as a cgroup path names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its uid. Of a static pod it is the hash of its file, which the API server shows as the annotation
    /// `kubernetes.io/config.hash`.
    pub uid: String,
    /// Its class, when the path tells.
    pub qos: Option<Qos>,
}

/// Quality of service that the kubelet gives a pod: who goes first when a node is short of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// All its containers have limits, and requests equal to them.
    Guaranteed,
    /// Some have a request or a limit.
    Burstable,
    /// None has.
    BestEffort,
}

/// The cgroup hierarchy that a path stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hierarchy {
    /// The unified one (v2).
    Unified,
    /// That of the v1 memory controller.
    Memory,
    /// The v1 hierarchy without controllers that systemd keeps for itself.
    Systemd,
}

/// What is known of one process. Unknown is `None` (or empty for `args`), never a guess.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The process.
    pub key: ProcessKey,
    /// Its parent's process id.
    pub parent_tgid: Option<u32>,
    /// Its name: any bytes, no zeros.
    pub comm: Vec<u8>,
    /// Real user id.
    pub uid: Option<u32>,
    /// Path of its executable: any bytes.
    pub exe: Option<Vec<u8>>,
    /// Its argument vector: any bytes each. Empty when unknown.
    pub args: Vec<Vec<u8>>,
    /// Whether there are more of them, or more of the last one.
    pub args_cut: bool,
    /// Its cgroup's id, as records carry it (`Header::cgroup_id`).
    pub cgroup_id: Option<u64>,
    /// Its cgroup path, in the hierarchy that says most.
    pub cgroup_path: Option<Arc<str>>,
    /// That hierarchy: on a host with v1 hierarchies it may be another one than that of the id.
    pub cgroup_hierarchy: Option<Hierarchy>,
    /// Its container, when the cgroup path names one.
    pub container: Option<Container>,
    /// Its pod, when the cgroup path names one.
    pub pod: Option<Pod>,
    /// The systemd unit that the cgroup path names.
    pub unit: Option<String>,
    /// The slice of this host's systemd that the cgroup path names.
    pub slice: Option<String>,
}

impl Identity {
    /// A process of which nothing else is known.
    #[must_use]
    pub const fn unknown(key: ProcessKey) -> Self {
        Self {
            key,
            parent_tgid: None,
            comm: Vec::new(),
            uid: None,
            exe: None,
            args: Vec::new(),
            args_cut: false,
            cgroup_id: None,
            cgroup_path: None,
            cgroup_hierarchy: None,
            container: None,
            pod: None,
            unit: None,
            slice: None,
        }
    }
}

/// An event and the processes it speaks of.
#[derive(Clone, Debug)]
pub struct Fact {
    /// The event.
    pub event: Event,
    /// The process that the header names.
    pub process: Arc<Identity>,
    /// The other process of the event: the victim of an OOM kill, the child of a fork, the ancestor that learned
    /// the limit of an fd table, the target of a limit look-up.
    pub other: Option<Arc<Identity>>,
    /// Of an OOM kill: the path of the cgroup that was short of memory.
    pub domain: Option<Arc<str>>,
}

impl Fact {
    /// The process that it is about: the victim of an OOM kill, else the one that the header names.
    #[must_use]
    pub fn subject(&self) -> Option<&Identity> {
        if let Body::OomKill(_) = &self.event.body { self.other.as_deref() } else { Some(&self.process) }
    }
}
