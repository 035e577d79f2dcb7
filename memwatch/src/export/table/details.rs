//! What an event says, in words.

use std::io::Write;

use memwatch_ebpf::abi::event::{
    Action, CloseSweep, Exec, Exit, Fault, Mapping, OOM_CGROUP, OOM_HOST, OomKill, RLIMIT_FOREIGN_TARGET,
    RLIMIT_HAS_NEW, RLIMIT_HAS_OLD, Rlimit, Rss, UNKNOWN,
};

use crate::core::fact::{Body, Fact, Identity};
use crate::core::quantity::{Bytes, Counted, Limit, Nanos};
use crate::enrich::cri::Containers;
use crate::export::exit_status::{self, End};
use crate::export::kernel_names::{self, MAP, PROT};
use crate::export::subject::{known, until_zero};
use crate::export::{Loss, escape, lost_kinds, words};

/// Appends formatted text. Writing to a Vec cannot fail.
macro_rules! say {
    ($out:expr, $($text:tt)*) => {{ let _ = write!($out, $($text)*); }};
}

/// Appends the details of a fact.
pub(super) fn push(fact: &Fact, containers: &Containers, out: &mut Vec<u8>) {
    match &fact.event.body {
        Body::Mmap(body) => mmap(body, out),
        Body::Munmap(body) => {
            say!(out, "gave back {} at {:#x}", Bytes(body.length), body.addr);
            failure(body.result, out);
        }
        Body::Mremap(body) => {
            say!(out, "resized {} to {} at {:#x}", Bytes(body.old), Bytes(body.length), body.addr);
            if u64::try_from(body.result).is_ok_and(|moved| moved != body.addr) {
                say!(out, ", moved to {:#x}", body.result);
            }
            failure(body.result, out);
        }
        Body::Brk(body) => brk(body, out),
        Body::Fault(body) => fault(body, out),
        Body::Rss(body) => rss(body, out),
        Body::RlimitRead(body) | Body::RlimitSet(body) => rlimit(body, out),
        Body::FdTableGrowth(body) => say!(
            out,
            "kernel's descriptor table grew from {} to {} slots, {}",
            body.old_slots,
            body.new_slots,
            Bytes(body.bytes)
        ),
        Body::CloseSweep(body) => close_sweep(body, out),
        // The detector turns these into findings.
        Body::FdTable(_) => {}
        Body::Action(body) => action(body, out),
        Body::OomKill(body) => oom_kill(body, fact, containers, out),
        Body::Exec(body) => exec(body, &fact.process, out),
        Body::Fork(body) => say!(out, "made process {}", body.tgid),
        Body::Exit(body) => exit(body, out),
    }
}

/// Appends the details of a loss.
pub(super) fn push_loss(loss: &Loss, out: &mut Vec<u8>) {
    say!(out, "{} {}, {} since the start", loss.count, loss.kind, loss.total);
    if let Some(kind) = lost_kinds::find(loss.kind) {
        say!(out, ": {}", kind.meaning);
    }
}

/// Appends where a process belongs: its container and pod, by name where a runtime tells, or else its unit or cgroup.
pub(super) fn push_place(identity: &Identity, containers: &Containers, out: &mut Vec<u8>) {
    let naming = identity.container.as_ref().and_then(|container| containers.naming(&container.id));
    if let Some(naming) = naming.as_deref().map(words::naming).filter(|words| !words.is_empty()) {
        out.extend_from_slice(b", ");
        escape::terminal(naming.as_bytes(), out);
    } else if let Some(container) = &identity.container {
        out.extend_from_slice(b", container ");
        escape::terminal(container.id.as_bytes(), out);
        if let Some(pod) = &identity.pod {
            out.extend_from_slice(b" of pod ");
            escape::terminal(pod.uid.as_bytes(), out);
        }
    } else if let Some(pod) = &identity.pod {
        out.extend_from_slice(b", pod ");
        escape::terminal(pod.uid.as_bytes(), out);
    } else if let Some(unit) = &identity.unit {
        out.extend_from_slice(b", unit ");
        escape::terminal(unit.as_bytes(), out);
    } else if let Some(path) = &identity.cgroup_path {
        out.extend_from_slice(b", cgroup ");
        escape::terminal(path.as_bytes(), out);
    }
}

/// Appends the arguments of a process but the first ones, separated by spaces; a mark at the end where some are missing.
pub(super) fn push_args(process: &Identity, but: usize, out: &mut Vec<u8>) {
    for (index, arg) in process.args.iter().skip(but).enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        escape::terminal(arg, out);
    }
    if process.args_cut {
        out.extend_from_slice(" …".as_bytes());
    }
}

fn failure(result: i64, out: &mut Vec<u8>) {
    if kernel_names::is_error(result) {
        out.extend_from_slice(b": failed, ");
        error(result, out);
    }
}

fn error(result: i64, out: &mut Vec<u8>) {
    match kernel_names::errno(result) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => say!(out, "error {}", result.unsigned_abs()),
    }
}

fn mmap(body: &Mapping, out: &mut Vec<u8>) {
    say!(out, "mapped {}", Bytes(body.length));
    if !kernel_names::is_error(body.result) {
        say!(out, " at {:#x}", body.result);
    }
    out.extend_from_slice(b", ");
    kernel_names::push_bits(body.prot, PROT, "PROT_NONE", out);
    out.push(b' ');
    kernel_names::push_bits(body.flags, MAP, "0", out);
    failure(body.result, out);
}

fn brk(body: &Mapping, out: &mut Vec<u8>) {
    let now = body.result as u64;
    match now.checked_sub(body.old) {
        _ if now == body.old && body.addr != now => say!(out, "heap could not be moved to {:#x}", body.addr),
        Some(_) => say!(out, "heap grew by {} to {now:#x}", Bytes(body.length)),
        None => say!(out, "heap shrank by {} to {now:#x}", Bytes(body.length)),
    }
}

fn fault(body: &Fault, out: &mut Vec<u8>) {
    out.extend_from_slice(b"major fault");
    if body.addr != UNKNOWN {
        say!(out, " at {:#x}", body.addr);
    }
    say!(out, ", so far {} major and about {} minor", body.major, body.minor);
}

fn rss(body: &Rss, out: &mut Vec<u8>) {
    let resident = body.resident;
    let total = [resident.anon, resident.file, resident.shmem]
        .into_iter()
        .filter_map(|bytes| known(bytes, UNKNOWN))
        .fold(0, u64::saturating_add);
    say!(
        out,
        "{} resident, over {}: anon {}, file {}, shmem {}",
        Bytes(total),
        Bytes(body.limit),
        Size(resident.anon),
        Size(resident.file),
        Size(resident.shmem)
    );
}

/// Bytes that may not be known.
struct Size(u64);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            UNKNOWN => f.write_str("unknown"),
            bytes => Bytes(bytes).fmt(f),
        }
    }
}

fn rlimit(body: &Rlimit, out: &mut Vec<u8>) {
    match kernel_names::resource(body.resource) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => say!(out, "resource {}", body.resource),
    }
    if body.target != 0 {
        say!(out, " of process {}", body.target);
    }
    if body.has & RLIMIT_FOREIGN_TARGET != 0 {
        out.extend_from_slice(b" of another process in its pid namespace");
    }
    if body.has & RLIMIT_HAS_OLD != 0 {
        say!(out, ": soft {}, hard {}", Limit(body.soft), Limit(body.hard));
    }
    if body.has & RLIMIT_HAS_NEW != 0 {
        say!(out, ", set to soft {}, hard {}", Limit(body.new_soft), Limit(body.new_hard));
    }
    failure(body.result, out);
}

fn close_sweep(body: &CloseSweep, out: &mut Vec<u8>) {
    let lasted = Nanos(body.last_ns.saturating_sub(body.first_ns));
    say!(out, "{} of descriptors that are not open in {lasted}", Counted(body.count, "close"));
    if let Some(limit) = known(body.limit, 0) {
        say!(out, ", limit {limit}");
    }
    if let Some(phase) = words::sweep_phase(body.phase) {
        say!(out, " ({phase})");
    }
}

fn action(body: &Action, out: &mut Vec<u8>) {
    say!(out, "rule {}: {}", body.rule, words::action(body.what).unwrap_or("unknown"));
    if body.signal != 0 {
        match kernel_names::signal(body.signal) {
            Some(name) => say!(out, " {name}"),
            None => say!(out, " signal {}", body.signal),
        }
    }
    say!(out, " at {}, bound {}", Bytes(body.bytes), Bytes(body.bound));
    failure(body.result, out);
}

fn oom_kill(body: &OomKill, fact: &Fact, containers: &Containers, out: &mut Vec<u8>) {
    say!(
        out,
        "killed for lack of memory: anon {}, file {}, shmem {}, page tables {}, oom_score_adj {}",
        Size(body.resident.anon),
        Size(body.resident.file),
        Size(body.resident.shmem),
        Bytes(body.page_tables),
        body.oom_score_adj
    );
    match body.domain {
        OOM_CGROUP => {
            out.extend_from_slice(b"; cgroup ");
            match &fact.domain {
                Some(path) => escape::terminal(path.as_bytes(), out),
                None => say!(out, "{}", body.domain_id),
            }
            say!(out, " at {} of {}", Bytes(body.domain_usage), Bytes(body.domain_limit));
        }
        OOM_HOST => out.extend_from_slice(b"; the host is short"),
        _ => {}
    }
    let trigger = &fact.event.header;
    say!(out, "; triggered by {} ", trigger.tgid);
    escape::terminal(until_zero(&trigger.comm), out);
    if let Some(victim) = &fact.other {
        push_place(victim, containers, out);
    }
}

fn exec(body: &Exec, process: &Identity, out: &mut Vec<u8>) {
    escape::terminal(until_zero(&body.filename), out);
    if process.args.len() > 1 || process.args_cut {
        out.extend_from_slice(b": ");
        push_args(process, 0, out);
    }
}

fn exit(body: &Exit, out: &mut Vec<u8>) {
    match exit_status::of(body.status) {
        End::Code(code) => say!(out, "exit code {code}"),
        End::Signal { number, core_dumped } => {
            match kernel_names::signal(number) {
                Some(name) => say!(out, "killed by {name}"),
                None => say!(out, "killed by signal {number}"),
            }
            if core_dumped {
                out.extend_from_slice(b", core dumped");
            }
        }
    }
    let grown = body.counters.mmap_bytes.saturating_add(body.counters.brk_grown_bytes);
    say!(out, ", mapped {}, max RSS {}", Bytes(grown), Size(body.max_rss));
    if body.table_total > 0 {
        say!(out, ", fd tables {} ({} touched)", Bytes(body.table_total), Bytes(body.table_touched));
    }
}
