//! Attaches each hook by the first way that the kernel takes.

use std::os::fd::{AsFd, OwnedFd};

use aya::Ebpf;
use aya::programs::perf_event::{PerfEventConfig, PerfEventScope, SamplePolicy, SoftwareEvent as AyaEvent};
use aya::programs::{FEntry, FExit, KProbe, PerfEvent, Program, ProgramError, RawTracePoint, TracePoint};

use super::attach::{HookStatus, OBJECT, Options, Refusal};
use super::on_demand::is_on_demand;
use super::targets::Targets;
use super::tracefs::Tracefs;
use super::{Hook, SoftwareEvent, Way, modify_return};

/// Offset of `ret` in the record of every sys_exit event, compiled into the programs.
const RET_FIELD: (u32, u32) = (16, 8);

/// Attaches hooks one after the other; what several need is asked of the kernel once.
pub(super) struct Attacher<'a> {
    pub(super) options: &'a Options,
    pub(super) targets: &'a Targets,
    /// Opened at the first classic tracepoint.
    pub(super) tracefs: Option<Result<Tracefs, String>>,
    /// aya's copy of the kernel's types, read at the first trampoline; an error where the kernel takes none.
    pub(super) trampolines: Option<Result<aya::Btf, String>>,
    pub(super) events: Vec<OwnedFd>,
    /// Programs that were loaded without aya.
    pub(super) by_hand: Vec<(&'static str, OwnedFd)>,
}

impl Attacher<'_> {
    /// Attaches a hook by the first way that is allowed and taken.
    pub(super) fn attach(&mut self, ebpf: &mut Ebpf, hook: &'static Hook) -> HookStatus {
        let keeps_own = hook.keeps_own(&self.options.ways);
        let mut status = HookStatus {
            hook,
            attached: None,
            waits: false,
            keeps_own,
            left_out: false,
            refused: Vec::new(),
        };
        if self.options.without.iter().any(|name| name == hook.name) {
            return HookStatus { keeps_own: false, left_out: true, ..status };
        }
        for way in hook.ways_among(&self.options.ways) {
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
            Way::Fentry { program, function } => {
                let types = self.trampolines(function)?;
                let program: &mut FEntry = find(ebpf, program)?.try_into().map_err(|e| explain(&e))?;
                program
                    .load(function, types)
                    .and_then(|()| program.attach())
                    .map_err(|e| explain(&e))
                    .map(drop)
            }
            Way::Fexit { program, function } => {
                let types = self.trampolines(function)?;
                let program: &mut FExit = find(ebpf, program)?.try_into().map_err(|e| explain(&e))?;
                program
                    .load(function, types)
                    .and_then(|()| program.attach())
                    .map_err(|e| explain(&e))
                    .map(drop)
            }
            Way::ModifyReturn { program, function } => {
                let id = self.targets.function(function)?;
                let attached = modify_return::attach(OBJECT, ebpf, program, id)?;
                self.events.push(attached.link);
                self.by_hand.push((program, attached.program));
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

    /// The kernel's types as trampolines need them, where it has the function and takes trampolines.
    fn trampolines(&mut self, function: &str) -> Result<&aya::Btf, String> {
        let id = self.targets.function(function)?;
        // Asked once with an empty program: reading aya's copy of the types only to be refused takes longer than all else.
        self.trampolines
            .get_or_insert_with(|| {
                crate::sys::bpf::try_trampoline(id)?;
                aya::Btf::from_sys_fs().map_err(|e| chain(&e))
            })
            .as_ref()
            .map_err(Clone::clone)
    }

    fn raw(&self, program: &mut Program, event: &str) -> Result<(), String> {
        if event == "mark_victim" && self.targets.mark_victim_passes_task == Some(false) {
            return Err("this kernel's mark_victim passes a number where the victim's task is needed".into());
        }
        let program: &mut RawTracePoint = program.try_into().map_err(|e| explain(&e))?;
        program.load().map_err(|e| explain(&e))?;
        if is_on_demand(event) {
            return Ok(()); // attached while it is needed
        }
        program.attach(event).map_err(|e| explain(&e)).map(drop)
    }

    fn tracepoint(&mut self, program: &mut Program, category: &str, event: &str) -> Result<(), String> {
        let tracefs = self
            .tracefs
            .get_or_insert_with(|| {
                Tracefs::open().map_err(|e| {
                    format!("tracefs is not mounted, and to mount it for memwatch alone was refused: {e}")
                })
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

pub(super) fn find<'a>(ebpf: &'a mut Ebpf, program: &str) -> Result<&'a mut Program, String> {
    ebpf.program_mut(program).ok_or_else(|| format!("the object has no program {program}"))
}

/// An error with its causes; of a verifier's log the last lines only, which hold the reason.
pub(super) fn explain(error: &ProgramError) -> String {
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

pub(super) fn chain(error: &dyn std::error::Error) -> String {
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

#[cfg(test)]
mod tests {
    use std::io;

    use aya_obj::VerifierLog;

    use super::*;

    #[test]
    fn a_refused_program_is_told_with_the_verifiers_last_lines() {
        let refused = |log: String| {
            let io_error = io::Error::from_raw_os_error(libc::EACCES);
            explain(&ProgramError::LoadError { io_error, verifier_log: VerifierLog::new(log) })
        };
        let log: String = (1..=40).map(|number| format!("{number}: (61) r0 = *(u32 *)(r1 +0)\n\n")).collect();
        let text = refused(log);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "load: Permission denied (os error 13)");
        let places: Vec<_> = lines[1..].iter().filter_map(|line| line.trim().split(':').next()).collect();
        assert_eq!(places, ["33", "34", "35", "36", "37", "38", "39", "40"]);
        assert_eq!(refused(String::new()), "load: Permission denied (os error 13)");
    }
}
