//! The loaded object: its maps, its programs, and what became of each hook.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::path::Path;

use aya::maps::{Array, HashMap, MapError, PerCpuArray, RingBuf};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use memwatch_ebpf::abi::knobs::{Knobs, Rule};
use memwatch_ebpf::abi::offsets::Offsets;
use memwatch_ebpf::abi::state::{Counters, Process, RingState};
use rustix::process::{Resource, getrlimit};
use zerocopy::IntoBytes;

use super::btf::{self, Btf, BtfError};
use super::on_demand::{OnDemand, RSS, TOUCH, TOUCH_KERNEL};
use super::targets::Targets;
use super::ways::{Attacher, chain};
use super::{HOOKS, Hook, REFUSE, Way, WayKind, offsets};
use crate::rights::{self, Missing};
use crate::source::Ring;

/// The BPF object, built by build.rs.
pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/memwatch-ebpf"));

/// Levels of the kernel side's log: everything, nothing.
const KERNEL_LOG_ALL: u8 = 0xff;
const KERNEL_LOG_NONE: u8 = 0;

/// Why a hook is not attached that somebody does not want.
pub(crate) const LEFT_OUT: &str = "left out by --without";

/// Twice what a trace of the whole host has open.
const DESCRIPTORS: u64 = 128;

/// How to load.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ways that may be used where a hook has one of them; empty: all.
    pub ways: Vec<WayKind>,
    /// Names of hooks that are not to be attached.
    pub without: Vec<String>,
    /// Bytes of the ring buffer: a power of two and a multiple of the page size.
    pub ring_bytes: u32,
    /// Processes followed at once.
    pub processes: u32,
    /// Samples of each running CPU per second.
    pub sample_hz: u64,
    /// Whether to see every change of RSS from the start; else [`Probe::watch_rss`] turns that on.
    pub watch_rss: bool,
    /// Whether to see every first touch of a page from the start; else [`Probe::watch_touch`] turns that on.
    pub watch_touch: bool,
    /// Whether to attach the hook that refuses fd tables.
    pub refuse: bool,
    /// Whether the kernel side writes its own log, which goes to the program's log.
    pub kernel_log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ways: Vec::new(),
            without: Vec::new(),
            ring_bytes: 4 << 20,
            processes: 32_768,
            sample_hz: 100,
            watch_rss: false,
            watch_touch: false,
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
    /// The kernel's process ids mean nothing here.
    #[error(
        "process ids here are those of a pid namespace, and the kernel's records have the host's: run memwatch in the host's pid \
         namespace (`--pid=host`, in a pod `hostPID: true`)"
    )]
    PidNamespace,
    /// Programs, maps and events are descriptors.
    #[error("{0} descriptors are too few to attach the hooks: raise the limit (`ulimit -n {DESCRIPTORS}`)")]
    FewDescriptors(u64),
    /// The process lacks the right to use BPF.
    #[error("not allowed to load BPF programs: {0}")]
    NotAllowed(String),
    /// The object or its maps were refused.
    #[error("cannot load the BPF object: {0}")]
    Load(String),
    /// Not one hook could be attached.
    #[error("no hook could be attached; the first reason: {} (`memwatch doctor` lists all)", .0.first().map_or("", HookStatus::first_reason))]
    NothingAttached(Vec<HookStatus>),
    /// Marks went from parents to children faster than they could be taken away.
    #[error("processes fork faster than their marks can be taken away; send SIGHUP again when that is over")]
    Restless,
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
    /// Whether it is loaded only, and attached later where it is needed.
    pub waits: bool,
    /// Whether it has none of the ways that [`Options::ways`] asks for, and was tried by its own.
    pub keeps_own: bool,
    /// Whether it is one of [`Options::without`].
    pub left_out: bool,
    /// The ways tried before.
    pub refused: Vec<Refusal>,
}

impl HookStatus {
    /// Why the first way did not attach, in one line.
    pub(crate) fn first_reason(&self) -> &str {
        let refused = self.refused.first().and_then(|refused| refused.reason.lines().next());
        refused.unwrap_or(if self.left_out { LEFT_OUT } else { "" })
    }

    /// How many hooks are attached, of how many, and which are when they are needed: `20 of 22 hooks; attached when needed: …`.
    #[must_use]
    pub fn tally(hooks: &[Self]) -> String {
        let mut waiting: Vec<_> = hooks.iter().filter(|hook| hook.waits).map(|hook| hook.hook.name).collect();
        let attached = hooks.iter().filter(|hook| hook.attached.is_some() && !hook.waits).count();
        let mut known = hooks.len();
        // It is offered to the kernel only where a rule refuses.
        if !hooks.iter().any(|hook| hook.hook.name == REFUSE.name) {
            waiting.push(REFUSE.name);
            known += 1;
        }
        let when = if waiting.is_empty() { "" } else { "; attached when needed: " };
        format!("{attached} of {known} hooks{when}{}", waiting.join(", "))
    }
}

/// Loaded and attached programs. Dropping it detaches all of them.
pub struct Probe {
    pub(super) ebpf: Ebpf,
    pub(super) knobs: Knobs,
    /// What is attached without aya: perf events of classic tracepoints, links. Closing one detaches its program.
    _events: Vec<OwnedFd>,
    /// Programs that were loaded without aya.
    pub(super) by_hand: Vec<(&'static str, OwnedFd)>,
    rss: OnDemand,
    touch: OnDemand,
    touch_kernel: OnDemand,
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
    /// Loads everything and attaches what the kernel takes. Nothing is counted or told before all of it is attached.
    ///
    /// # Errors
    /// [`ProbeError`] when not one hook attaches, or before that when the kernel's types or BPF itself are not available.
    pub fn load(options: &Options, knobs: &Knobs) -> Result<Self, ProbeError> {
        if !rights::sees_all_processes() {
            return Err(ProbeError::PidNamespace);
        }
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        if descriptors < DESCRIPTORS {
            return Err(ProbeError::FewDescriptors(descriptors));
        }
        crate::sys::raise_memlock();
        let types = Btf::read(Path::new(btf::VMLINUX))?;
        let (offsets, missing_fields) = offsets::resolve(&types);
        let targets = Targets::of(&types);
        // Before the object comes: together they would take half as much again.
        drop(types);
        let mut ebpf = load_object(options, &offsets)?;
        let mut attacher = Attacher {
            options,
            targets: &targets,
            tracefs: None,
            trampolines: None,
            events: Vec::new(),
            by_hand: Vec::new(),
        };
        let wanted = HOOKS.iter().chain(options.refuse.then_some(&REFUSE));
        let hooks: Vec<_> = wanted.map(|hook| attacher.attach(&mut ebpf, hook)).collect();
        let Attacher { events, by_hand, .. } = attacher;
        if hooks.iter().all(|hook| hook.attached.is_none()) {
            return Err(ProbeError::NothingAttached(hooks));
        }
        // Takes its map away, which the refusing hook asks for.
        let logger = options.kernel_log.then(|| EbpfLogger::init(&mut ebpf)).transpose();
        let logger = logger.map_err(|error| ProbeError::Load(format!("the kernel side's log: {error}")))?;
        crate::sys::trim_heap();
        let mut probe = Self {
            ebpf,
            knobs: *knobs,
            _events: events,
            by_hand,
            rss: RSS,
            touch: TOUCH,
            touch_kernel: TOUCH_KERNEL,
            logger,
            hooks,
            missing_fields,
        };
        for hook in [&mut probe.rss, &mut probe.touch, &mut probe.touch_kernel] {
            let is_loaded =
                |status: &HookStatus| status.attached.is_some_and(|way| way.program() == hook.program);
            hook.loaded = probe.hooks.iter().any(is_loaded);
        }
        let wanted = [
            (options.watch_rss, &mut probe.rss),
            (options.watch_touch, &mut probe.touch),
            (options.watch_touch, &mut probe.touch_kernel),
        ];
        for (_, hook) in wanted.into_iter().filter(|(is_wanted, _)| *is_wanted) {
            if let Err(reason) = hook.attach(&mut probe.ebpf, true) {
                hook.loaded = false;
                give_up(&mut probe.hooks, hook.program, reason);
            }
        }
        for hook in [&probe.rss, &probe.touch, &probe.touch_kernel] {
            let is_it = |way: Way| way.program() == hook.program;
            let status = probe.hooks.iter_mut().find(|status| status.attached.is_some_and(is_it));
            if let Some(status) = status {
                status.waits = !hook.is_attached();
            }
        }
        probe.knobs.armed_ns = crate::sys::boot_ns();
        set_knobs(&mut probe.ebpf, &probe.knobs)?;
        Ok(probe)
    }

    /// Starts or ends seeing every change of RSS, which costs each page fault of the host about 60 ns, and 400 ns while
    /// [`Knobs::rss_limit`] is set.
    ///
    /// # Errors
    /// When the kernel refuses to attach.
    pub fn watch_rss(&mut self, on: bool) -> Result<(), String> {
        self.rss.attach(&mut self.ebpf, on)
    }

    /// Starts or ends seeing which pages are touched, which costs each page fault of the host about 130 ns, 75 of them
    /// for the tracepoint itself.
    ///
    /// # Errors
    /// When the kernel refuses to attach.
    pub fn watch_touch(&mut self, on: bool) -> Result<(), String> {
        self.touch.attach(&mut self.ebpf, on)?;
        self.touch_kernel.attach(&mut self.ebpf, on)
    }

    /// Takes the ring buffer; it can be taken once.
    ///
    /// # Errors
    /// When it was taken before.
    pub fn take_ring(&mut self) -> Result<Ring, ProbeError> {
        let mut take =
            |name| self.ebpf.take_map(name).ok_or(ProbeError::Load("the ring buffer is in use".into()));
        let records = RingBuf::try_from(take("EVENTS")?)
            .map_err(|source| ProbeError::Map { name: "EVENTS", source })?;
        let looks_until =
            Array::try_from(take("READER")?).map_err(|source| ProbeError::Map { name: "READER", source })?;
        Ok(Ring { records, looks_until })
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
        let known = self.knobs;
        self.knobs = Knobs {
            armed_ns: known.armed_ns,
            has_marks: known.has_marks | knobs.has_marks,
            has_limits: known.has_limits | knobs.has_limits,
            ..*knobs
        };
        set_knobs(&mut self.ebpf, &self.knobs)
    }

    /// Has the kernel side write no more records. It counts on, and rules go on acting.
    ///
    /// # Errors
    /// When the map refuses.
    pub fn silence(&mut self) -> Result<(), ProbeError> {
        self.set_knobs(&Knobs { kinds: 0, ..self.knobs })
    }

    /// Records that each CPU tried to write.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn numbered(&mut self) -> Result<Vec<u64>, ProbeError> {
        let map: PerCpuArray<_, Wire<RingState>> = typed(&mut self.ebpf, "RING_STATE")?;
        let states = map.get(&0, 0).map_err(|source| ProbeError::Map { name: "RING_STATE", source })?;
        Ok(states.iter().map(|state| state.0.seq).collect())
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

    /// State of one process, if the kernel side knows it.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn process(&mut self, tgid: u32) -> Result<Option<Process>, ProbeError> {
        let map: HashMap<_, u32, Wire<Process>> = typed(&mut self.ebpf, "PROCESSES")?;
        match map.get(&tgid, 0) {
            Ok(state) => Ok(Some(state.0)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(source) => Err(ProbeError::Map { name: "PROCESSES", source }),
        }
    }

    /// Has the kernel side forget every process but these: exits that no program saw leave entries behind.
    ///
    /// # Errors
    /// When the map cannot be used.
    pub fn forget_others(&mut self, running: &HashSet<u32>) -> Result<(), ProbeError> {
        let mut map: HashMap<_, u32, Wire<Process>> = typed(&mut self.ebpf, "PROCESSES")?;
        let gone: Vec<u32> =
            map.keys().filter_map(Result::ok).filter(|tgid| !running.contains(tgid)).collect();
        for tgid in gone {
            // One that goes meanwhile is what is wanted.
            let _ = map.remove(&tgid);
        }
        Ok(())
    }

    /// Sums of every cgroup over processes that ended or moved on; living ones add what they have not folded yet.
    ///
    /// # Errors
    /// When the map cannot be read.
    pub fn cgroups(&mut self) -> Result<Vec<(u64, Counters)>, ProbeError> {
        let map: HashMap<_, u64, Wire<Counters>> = typed(&mut self.ebpf, "CGROUPS")?;
        Ok(map.iter().filter_map(Result::ok).map(|(id, sums)| (id, sums.0)).collect())
    }
}

/// Makes a wire type usable as a map value.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Wire<T>(pub(super) T);

#[expect(unsafe_code, reason = "aya asks for a promise that wire types keep by construction")]
// SAFETY: wire types are `repr(C)`, hold integers only and have no padding (`IntoBytes` refuses it).
unsafe impl<T: IntoBytes + Copy + 'static> aya::Pod for Wire<T> {}

pub(super) fn typed<'a, M>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<M, ProbeError>
where
    M: TryFrom<&'a mut aya::maps::Map, Error = MapError>,
{
    let map = ebpf.map_mut(name).ok_or_else(|| ProbeError::Load(format!("the object has no map {name}")))?;
    M::try_from(map).map_err(|source| ProbeError::Map { name, source })
}

fn give_up(hooks: &mut [HookStatus], program: &str, reason: String) {
    let status = hooks.iter_mut().find(|hook| hook.attached.is_some_and(|way| way.program() == program));
    if let Some(status) = status {
        status.attached = None;
        status.refused.push(Refusal { way: WayKind::RawTracepoint, reason });
    }
}

fn set_knobs(ebpf: &mut Ebpf, knobs: &Knobs) -> Result<(), ProbeError> {
    let mut map: Array<_, Wire<Knobs>> = typed(ebpf, "KNOBS")?;
    map.set(0, Wire(*knobs), 0).map_err(|source| ProbeError::Map { name: "KNOBS", source })
}

fn load_object(options: &Options, offsets: &Offsets) -> Result<Ebpf, ProbeError> {
    let symbols = offsets::Symbols::read();
    EbpfLoader::new()
        // The kernel's types are needed for trampolines only, and aya's copy of them is large.
        .btf(None)
        .override_global(
            "AYA_LOG_LEVEL",
            if options.kernel_log { &KERNEL_LOG_ALL } else { &KERNEL_LOG_NONE },
            true,
        )
        .override_global("OFFSETS", offsets.as_bytes(), true)
        .override_global("PER_CPU_OFFSET", symbols.per_cpu_offset.as_bytes(), true)
        .override_global("PAGE_OFFSET_BASE", symbols.page_offset_base.as_bytes(), true)
        .override_global("PGDIR_SHIFT", symbols.pgdir_shift.as_bytes(), true)
        .map_max_entries("EVENTS", options.ring_bytes)
        .map_max_entries("PROCESSES", options.processes)
        .map_max_entries("MARKS", options.processes)
        // A cgroup that matters has a process; half of the room is for those that are gone.
        .map_max_entries("CGROUPS", options.processes / 2)
        .map_max_entries("REMOVED", options.processes / 4)
        .load(OBJECT)
        .map_err(|error| {
            let text = chain(&error);
            if text.contains("Operation not permitted") || text.contains("os error 1)") {
                ProbeError::NotAllowed(not_allowed(&rights::missing_to_load()))
            } else {
                ProbeError::Load(text)
            }
        })
}

/// Which right is missing, and the remedy. Which map or program the kernel refused first says nothing.
fn not_allowed(missing: &[Missing]) -> String {
    if missing.is_empty() {
        return "no capability is missing, so a security policy, lockdown or a user namespace forbids it; run it in the \
                host's own namespaces, under a policy that allows bpf(2)"
            .to_owned();
    }
    let names: Vec<_> = missing.iter().map(|missing| missing.name).collect();
    format!(
        "missing here: {}; grant them, or run as root with all capabilities (`memwatch doctor` tells what each is for)",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_what_is_missing() {
        let missing = ["CAP_BPF", "CAP_PERFMON"].map(|name| Missing { name, purpose: "" });
        let text = ProbeError::NotAllowed(not_allowed(&missing)).to_string();
        assert!(text.contains("missing here: CAP_BPF, CAP_PERFMON; grant them"), "{text}");
        assert!(not_allowed(&[]).starts_with("no capability is missing"));
    }
}
