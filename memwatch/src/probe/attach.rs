//! Loads the BPF object and attaches each hook by the first way that the kernel takes.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, RingBuf};
use aya::programs::perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent as AyaEvent};
use aya::programs::raw_trace_point::RawTracePointLinkId;
use aya::programs::{FExit, KProbe, PerfEvent, Program, ProgramError, RawTracePoint, TracePoint};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use memwatch_ebpf::abi::knobs::{Knobs, RssLimit, Rule};
use memwatch_ebpf::abi::offsets::Offsets;
use memwatch_ebpf::abi::state::{Counters, Process};
use zerocopy::IntoBytes;

use super::btf::{self, Btf, BtfError};
use super::tracefs::Tracefs;
use super::{HOOKS, Hook, REFUSE, SoftwareEvent, Way, WayKind, modify_return, offsets};

/// The BPF object, built by build.rs.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/memwatch-ebpf"));

/// Offset of `ret` in the record of every sys_exit event, compiled into the programs.
const RET_FIELD: (u32, u32) = (16, 8);

/// The hook that is attached only while it is needed.
const RSS_PROGRAM: &str = "rss_raw";
const RSS_EVENT: &str = "rss_stat";

/// Levels of the kernel side's log: everything, nothing.
const KERNEL_LOG_ALL: u8 = 0xff;
const KERNEL_LOG_NONE: u8 = 0;

/// How to load.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ways that may be used; empty: all.
    pub ways: Vec<WayKind>,
    /// Bytes of the ring buffer: a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// Processes followed at once.
    pub processes: u32,
    /// Samples of each running CPU per second.
    pub sample_hz: u64,
    /// Whether to see every change of RSS from the start; else [`Probe::watch_rss`] turns that on.
    pub watch_rss: bool,
    /// Whether to attach the hook that refuses fd tables.
    pub refuse: bool,
    /// Whether the kernel side writes its own log, which goes to the program's log.
    pub kernel_log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ways: Vec::new(),
            ring_bytes: 4 << 20,
            processes: 32_768,
            sample_hz: 100,
            watch_rss: false,
            refuse: false,
            kernel_log: false,
        }
    }
}

/// Why nothing could be loaded at all.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The kernel publishes no types.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The process lacks the right to use BPF.
    #[error(
        "not allowed to load BPF programs: run as root, or with the capabilities CAP_BPF, CAP_PERFMON and CAP_SYS_ADMIN \
         (`memwatch doctor` tells which is missing): {0}"
    )]
    NotAllowed(String),
    /// The object or its maps were refused.
    #[error("cannot load the BPF object: {0}")]
    Load(String),
    /// Not one hook could be attached.
    #[error("no hook could be attached; the first reason: {0} (`memwatch doctor` lists all)")]
    NothingAttached(String),
    /// A map could not be used.
    #[error("cannot use the BPF map {name}: {source}")]
    Map {
        /// Its name.
        name: &'static str,
        /// Why.
        source: MapError,
    },
}

/// One way that was tried and refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The way.
    pub way: WayKind,
    /// Why, with the last lines of the verifier when it spoke.
    pub reason: String,
}

/// What became of one hook.
#[derive(Debug)]
pub struct HookStatus {
    /// The row.
    pub hook: &'static Hook,
    /// The way that attached.
    pub attached: Option<Way>,
    /// The ways tried before.
    pub refused: Vec<Refusal>,
}

/// Loaded and attached programs. Dropping it detaches all of them.
pub struct Probe {
    ebpf: Ebpf,
    /// What is attached without aya: perf events of classic tracepoints, links. Closing one detaches its program.
    _events: Vec<OwnedFd>,
    /// Present while every change of RSS is seen.
    rss_link: Option<RawTracePointLinkId>,
    /// Whether it can be.
    has_rss: bool,
    logger: Option<EbpfLogger<&'static dyn log::Log>>,
    /// One entry per row of the hook table, and one for the refusing hook when it was asked for.
    pub hooks: Vec<HookStatus>,
    /// Kernel fields that were not found.
    pub missing_fields: Vec<String>,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Probe").field("hooks", &self.hooks).finish_non_exhaustive()
    }
}

impl Probe {
    /// Loads everything and attaches what the kernel takes. The knobs are set before the first hook attaches.
    ///
    /// # Errors
    /// [`ProbeError`] when not one hook attaches, or before that when the kernel's types or BPF itself are not available.
    pub fn load(options: &Options, knobs: &Knobs) -> Result<Self, ProbeError> {
        crate::sys::raise_memlock();
        let types = Btf::read(Path::new(btf::VMLINUX))?;
        let (offsets, missing_fields) = offsets::resolve(&types);
        let mut ebpf = load_object(options, &offsets)?;
        set_knobs(&mut ebpf, knobs)?;
        let logger = options.kernel_log.then(|| EbpfLogger::init(&mut ebpf)).transpose();
        let logger = logger.map_err(|error| ProbeError::Load(format!("the kernel side's log: {error}")))?;
        let mut attacher =
            Attacher { options, types: &types, tracefs: None, trampolines: None, events: Vec::new() };
        let wanted = HOOKS.iter().chain(options.refuse.then_some(&REFUSE));
        let hooks: Vec<_> = wanted.map(|hook| attacher.attach(&mut ebpf, hook)).collect();
        let Attacher { events, .. } = attacher;
        if hooks.iter().all(|hook| hook.attached.is_none()) {
            let first = hooks.iter().flat_map(|hook| &hook.refused).next();
            return Err(ProbeError::NothingAttached(
                first.map_or_else(String::new, |first| first.reason.clone()),
            ));
        }
        drop(types);
        crate::sys::trim_heap();
        let has_rss = hooks.iter().any(|hook| hook.attached.is_some_and(|way| way.program() == RSS_PROGRAM));
        let mut probe =
            Self { ebpf, _events: events, rss_link: None, has_rss, logger, hooks, missing_fields };
        if options.watch_rss
            && let Err(reason) = probe.watch_rss(true)
        {
            probe.give_up_rss(reason);
        }
        Ok(probe)
    }

    fn give_up_rss(&mut self, reason: String) {
        self.has_rss = false;
        let status =
            self.hooks.iter_mut().find(|hook| hook.attached.is_some_and(|way| way.program() == RSS_PROGRAM));
        if let Some(status) = status {
            status.attached = None;
            status.refused.push(Refusal { way: WayKind::RawTracepoint, reason });
        }
    }

    /// Starts or ends seeing every change of RSS, which costs each page fault of the host about 60 ns.
    ///
    /// # Errors
    /// When the kernel refuses to attach.
    pub fn watch_rss(&mut self, on: bool) -> Result<(), String> {
        if on == self.rss_link.is_some() || !self.has_rss {
            return Ok(());
        }
        let program: &mut RawTracePoint =
            find(&mut self.ebpf, RSS_PROGRAM)?.try_into().map_err(|e| explain(&e))?;
        match self.rss_link.take() {
            Some(link) => program.detach(link).map_err(|e| explain(&e)),
            None => {
                self.rss_link = Some(program.attach(RSS_EVENT).map_err(|e| explain(&e))?);
                Ok(())
            }
        }
    }

    /// Takes the ring buffer; it can be taken once.
    ///
    /// # Errors
    /// When it was taken before.
    pub fn take_ring(&mut self) -> Result<RingBuf<MapData>, ProbeError> {
        let map = self.ebpf.take_map("EVENTS").ok_or(ProbeError::Load("the ring buffer is in use".into()))?;
        RingBuf::try_from(map).map_err(|source| ProbeError::Map { name: "EVENTS", source })
    }

    /// Hands what the kernel side logged to the program's log.
    pub fn flush_log(&mut self) {
        if let Some(logger) = &mut self.logger {
            logger.flush();
        }
    }

    /// Changes filters and floors.
    ///
    /// # Errors
    /// When the map refuses.
    pub fn set_knobs(&mut self, knobs: &Knobs) -> Result<(), ProbeError> {
        set_knobs(&mut self.ebpf, knobs)
    }

    /// Sets the rules; the count of valid ones is [`Knobs::rules`].
    ///
    /// # Errors
    /// When the map refuses.
    pub fn set_rules(&mut self, rules: &[Rule]) -> Result<(), ProbeError> {
        let mut map: Array<_, Wire<Rule>> = typed(&mut self.ebpf, "RULES")?;
        for (index, rule) in (0..).zip(rules) {
            map.set(index, Wire(*rule), 0).map_err(|source| ProbeError::Map { name: "RULES", source })?;
        }
        Ok(())
    }

    /// Marks a process for filters and rules.
    ///
    /// # Errors
    /// When the map is full.
    pub fn mark(&mut self, tgid: u32, marks: u32) -> Result<(), ProbeError> {
        let mut map: HashMap<_, u32, u32> = typed(&mut self.ebpf, "MARKS")?;
        map.insert(tgid, marks, 0).map_err(|source| ProbeError::Map { name: "MARKS", source })
    }

    /// Takes a process's marks away; one without marks is no error.
    ///
    /// # Errors
    /// When the map refuses.
    pub fn unmark(&mut self, tgid: u32) -> Result<(), ProbeError> {
        let mut map: HashMap<_, u32, u32> = typed(&mut self.ebpf, "MARKS")?;
        match map.remove(&tgid) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(source) => Err(ProbeError::Map { name: "MARKS", source }),
        }
    }

    /// Sets the RSS limit of a process.
    ///
    /// # Errors
    /// When the map is full.
    pub fn limit_rss(&mut self, tgid: u32, limit: RssLimit) -> Result<(), ProbeError> {
        let mut map: HashMap<_, u32, Wire<RssLimit>> = typed(&mut self.ebpf, "LIMITS")?;
        map.insert(tgid, Wire(limit), 0).map_err(|source| ProbeError::Map { name: "LIMITS", source })
    }

    /// Losses and failures of the kernel side, indexed by [`memwatch_ebpf::abi::fault::FaultCode`], all CPUs summed.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn faults(&mut self) -> Result<Vec<u64>, ProbeError> {
        let map: PerCpuArray<_, u64> = typed(&mut self.ebpf, "FAULTS")?;
        let error = |source| ProbeError::Map { name: "FAULTS", source };
        (0..map.len()).map(|code| Ok(map.get(&code, 0).map_err(error)?.iter().sum())).collect()
    }

    /// State of every process that the kernel side knows.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn processes(&mut self) -> Result<Vec<(u32, Process)>, ProbeError> {
        let map: HashMap<_, u32, Wire<Process>> = typed(&mut self.ebpf, "PROCESSES")?;
        // An entry that goes while it is read is not an error: its process has ended.
        Ok(map.iter().filter_map(Result::ok).map(|(tgid, state)| (tgid, state.0)).collect())
    }

    /// Sums of every cgroup over processes that ended or moved on; living ones add what they have not folded yet.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn cgroups(&mut self) -> Result<Vec<(u64, Counters)>, ProbeError> {
        let map: HashMap<_, u64, Wire<Counters>> = typed(&mut self.ebpf, "CGROUPS")?;
        Ok(map.iter().filter_map(Result::ok).map(|(id, sums)| (id, sums.0)).collect())
    }

    /// Instructions that the verifier walked through for a program, where the kernel tells (5.16).
    #[must_use]
    pub fn verified_instructions(&self, program: &str) -> Option<u32> {
        self.ebpf.program(program)?.info().ok()?.verified_instruction_count()
    }
}

/// Makes a wire type usable as a map value.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct Wire<T>(T);

#[expect(unsafe_code, reason = "aya asks for a promise that wire types keep by construction")]
// SAFETY: wire types are `repr(C)`, hold integers only and have no padding (`IntoBytes` refuses it).
unsafe impl<T: IntoBytes + Copy + 'static> aya::Pod for Wire<T> {}

fn typed<'a, M>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<M, ProbeError>
where
    M: TryFrom<&'a mut aya::maps::Map, Error = MapError>,
{
    let map = ebpf.map_mut(name).ok_or_else(|| ProbeError::Load(format!("the object has no map {name}")))?;
    M::try_from(map).map_err(|source| ProbeError::Map { name, source })
}

fn set_knobs(ebpf: &mut Ebpf, knobs: &Knobs) -> Result<(), ProbeError> {
    let mut map: Array<_, Wire<Knobs>> = typed(ebpf, "KNOBS")?;
    map.set(0, Wire(*knobs), 0).map_err(|source| ProbeError::Map { name: "KNOBS", source })
}

fn load_object(options: &Options, offsets: &Offsets) -> Result<Ebpf, ProbeError> {
    EbpfLoader::new()
        // The kernel's types are needed for trampolines only, and aya's copy of them is large.
        .btf(None)
        .override_global(
            "AYA_LOG_LEVEL",
            if options.kernel_log { &KERNEL_LOG_ALL } else { &KERNEL_LOG_NONE },
            true,
        )
        .override_global("OFFSETS", offsets.as_bytes(), true)
        .override_global("PER_CPU_OFFSET", offsets::per_cpu_offset().as_bytes(), true)
        .override_global("LOADED_NS", crate::sys::boot_ns().as_bytes(), true)
        .map_max_entries("EVENTS", options.ring_bytes)
        .map_max_entries("PROCESSES", options.processes)
        .map_max_entries("MARKS", options.processes)
        .load(OBJECT)
        .map_err(|error| {
            let text = chain(&error);
            if text.contains("Operation not permitted") || text.contains("os error 1)") {
                ProbeError::NotAllowed(text)
            } else {
                ProbeError::Load(text)
            }
        })
}

struct Attacher<'a> {
    options: &'a Options,
    types: &'a Btf,
    /// Opened at the first classic tracepoint.
    tracefs: Option<Result<Tracefs, String>>,
    /// aya's copy of the kernel's types, read at the first trampoline; an error where the kernel takes none.
    trampolines: Option<Result<aya::Btf, String>>,
    events: Vec<OwnedFd>,
}

impl Attacher<'_> {
    fn attach(&mut self, ebpf: &mut Ebpf, hook: &'static Hook) -> HookStatus {
        let mut status = HookStatus { hook, attached: None, refused: Vec::new() };
        for way in hook.ways {
            if !self.options.ways.is_empty() && !self.options.ways.contains(&way.kind()) {
                continue;
            }
            match self.attach_way(ebpf, way) {
                Ok(()) => {
                    status.attached = Some(*way);
                    break;
                }
                Err(reason) => status.refused.push(Refusal { way: way.kind(), reason }),
            }
        }
        status
    }

    fn attach_way(&mut self, ebpf: &mut Ebpf, way: &Way) -> Result<(), String> {
        match *way {
            Way::Fexit { program, function } => self.fexit(find(ebpf, program)?, function),
            Way::ModifyReturn { program, function } => {
                let id = self.types.function(function);
                let id = id.ok_or_else(|| format!("the kernel has no function {function}"))?;
                self.events.extend(modify_return::attach(OBJECT, ebpf, program, id)?);
                Ok(())
            }
            Way::Raw { program, event } => self.raw(find(ebpf, program)?, event),
            Way::Tracepoint { program, category, event } => {
                self.tracepoint(find(ebpf, program)?, category, event)
            }
            Way::Kretprobe { program, function } => {
                let program: &mut KProbe = find(ebpf, program)?.try_into().map_err(|e| explain(&e))?;
                program.load().map_err(|e| explain(&e))?;
                program.attach(function, 0).map_err(|e| explain(&e)).map(drop)
            }
            Way::Perf { program, event } => self.perf(find(ebpf, program)?, event),
        }
    }

    fn fexit(&mut self, program: &mut Program, function: &str) -> Result<(), String> {
        let id = self.types.function(function);
        let id = id.ok_or_else(|| format!("the kernel has no function {function}"))?;
        // Asked once with an empty program: reading aya's copy of the types only to be refused takes longer than all else.
        let types = self
            .trampolines
            .get_or_insert_with(|| {
                crate::sys::try_trampoline(id)?;
                aya::Btf::from_sys_fs().map_err(|e| chain(&e))
            })
            .as_ref()
            .map_err(Clone::clone)?;
        let program: &mut FExit = program.try_into().map_err(|e| explain(&e))?;
        program.load(function, types).and_then(|()| program.attach().map(drop)).map_err(|e| explain(&e))
    }

    fn raw(&self, program: &mut Program, event: &str) -> Result<(), String> {
        if event == "mark_victim" && self.types.tracepoint_argument_is_pointer(event, 0) == Some(false) {
            return Err("this kernel's mark_victim passes a number where the victim's task is needed".into());
        }
        let program: &mut RawTracePoint = program.try_into().map_err(|e| explain(&e))?;
        program.load().map_err(|e| explain(&e))?;
        if event == RSS_EVENT {
            return Ok(()); // attached while it is needed
        }
        program.attach(event).map_err(|e| explain(&e)).map(drop)
    }

    fn tracepoint(&mut self, program: &mut Program, category: &str, event: &str) -> Result<(), String> {
        let tracefs = self
            .tracefs
            .get_or_insert_with(|| {
                Tracefs::open().map_err(|e| format!("tracefs is not mounted and cannot be: {e}"))
            })
            .as_ref()
            .map_err(Clone::clone)?;
        let id =
            tracefs.id(category, event).map_err(|e| format!("no trace event {category}:{event}: {e}"))?;
        let field = tracefs.field(category, event, "ret").map_err(|e| e.to_string())?;
        if field != RET_FIELD {
            return Err(format!("{category}:{event} has its result at {field:?}, not {RET_FIELD:?}"));
        }
        let program: &mut TracePoint = program.try_into().map_err(|e| explain(&e))?;
        program.load().map_err(|e| explain(&e))?;
        let fd = program.fd().map_err(|e| explain(&e))?;
        let opened = crate::sys::open_trace_event(id).and_then(|opened| {
            crate::sys::attach_to_event(&opened, fd.as_fd())?;
            Ok(opened)
        });
        self.events.push(opened.map_err(|e| format!("cannot attach to {category}:{event}: {e}"))?);
        Ok(())
    }

    fn perf(&self, program: &mut Program, event: SoftwareEvent) -> Result<(), String> {
        let program: &mut PerfEvent = program.try_into().map_err(|e| explain(&e))?;
        program.load().map_err(|e| explain(&e))?;
        let (event, policy) = match event {
            SoftwareEvent::CpuClock => (AyaEvent::CpuClock, SamplePolicy::Frequency(self.options.sample_hz)),
            SoftwareEvent::MajorFaults => (AyaEvent::PageFaultsMaj, SamplePolicy::Period(1)),
        };
        let cpus = aya::util::online_cpus().map_err(|(what, e)| format!("cannot read {what}: {e}"))?;
        for cpu in cpus {
            program
                .attach(
                    PerfEventConfig::Software(event),
                    PerfEventScope::AllProcessesOneCpu { cpu },
                    policy,
                    false,
                )
                .map_err(|e| format!("on CPU {cpu}: {}", explain(&e)))?;
        }
        Ok(())
    }
}

fn find<'a>(ebpf: &'a mut Ebpf, program: &str) -> Result<&'a mut Program, String> {
    ebpf.program_mut(program).ok_or_else(|| format!("the object has no program {program}"))
}

/// An error with its causes; of a verifier's log the last lines only, which hold the reason.
fn explain(error: &ProgramError) -> String {
    if let ProgramError::LoadError { io_error, verifier_log } = error {
        let log = verifier_log.to_string();
        let lines: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.iter().rev().take(8).rev().copied().collect::<Vec<_>>().join("\n    ");
        return if last.is_empty() {
            format!("load: {io_error}")
        } else {
            format!("load: {io_error}\n    {last}")
        };
    }
    chain(error)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = inner.source();
    }
    text
}
