//! The fields that an event has of its own.

use memwatch_ebpf::abi::event::{
    self, Action, CloseSweep, Exec, Exit, Fault, Fork, Mapping, OomKill, RLIMIT_FOREIGN_TARGET,
    RLIMIT_HAS_NEW, RLIMIT_HAS_OLD, Rlimit, Rss, UNKNOWN,
};
use memwatch_ebpf::abi::header::Header;

use super::line::Line;
use crate::core::fact::{Body, Fact};
use crate::export::kernel_names::{self, MAP, MREMAP, PROT};
use crate::export::schema::{Field, fields};
use crate::export::subject::{known, until_zero};
use crate::export::{exit_status, words};

pub(super) fn write(line: &mut Line<'_>, fact: &Fact) {
    match &fact.event.body {
        Body::Mmap(body) => mmap(line, body),
        Body::Munmap(body) => munmap(line, body),
        Body::Mremap(body) => mremap(line, body),
        Body::Brk(body) => brk(line, body),
        Body::Fault(body) => fault(line, body),
        Body::Rss(body) => rss(line, body),
        Body::RlimitRead(body) => rlimit(line, body, &READ_KEYS, None),
        Body::RlimitSet(body) => rlimit(line, body, &SET_KEYS, Some((&NEW_SOFT, &NEW_HARD))),
        Body::FdTableGrowth(body) => {
            line.number(&fields::GROWTH_OLD_SLOTS, body.old_slots);
            line.number(&fields::GROWTH_NEW_SLOTS, body.new_slots);
            line.number(&fields::GROWTH_BYTES, body.bytes);
        }
        Body::CloseSweep(body) => close_sweep(line, body),
        // The detector turns these into findings.
        Body::FdTable(_) => {}
        Body::Action(body) => action(line, body),
        Body::OomKill(body) => oom_kill(line, body, &fact.event.header, fact.domain.as_deref()),
        Body::Exec(body) => exec(line, body),
        Body::Fork(Fork { start_ns, tgid, outside: _ }) => {
            line.number(&fields::FORK_CHILD, *tgid);
            line.maybe(&fields::FORK_CHILD_START, known(*start_ns, 0));
        }
        Body::Exit(body) => exit(line, body),
    }
}

fn mmap(line: &mut Line<'_>, body: &Mapping) {
    if body.addr != 0 {
        line.hex(&fields::MMAP_ADDRESS, body.addr);
    }
    line.number(&fields::MMAP_BYTES, body.length);
    line.bits(&fields::MMAP_PROT, body.prot, PROT, "PROT_NONE");
    line.number(&fields::MMAP_PROT_NUMBER, body.prot);
    line.bits(&fields::MMAP_FLAGS, body.flags, MAP, "0");
    line.number(&fields::MMAP_FLAGS_NUMBER, body.flags);
    line.result(Some(&fields::MMAP_RESULT), &fields::MMAP_ERROR, body.result);
}

fn munmap(line: &mut Line<'_>, body: &Mapping) {
    line.hex(&fields::MUNMAP_ADDRESS, body.addr);
    line.number(&fields::MUNMAP_BYTES, body.length);
    line.result(None, &fields::MUNMAP_ERROR, body.result);
}

fn mremap(line: &mut Line<'_>, body: &Mapping) {
    line.hex(&fields::MREMAP_ADDRESS, body.addr);
    line.number(&fields::MREMAP_OLD_BYTES, body.old);
    line.number(&fields::MREMAP_BYTES, body.length);
    line.bits(&fields::MREMAP_FLAGS, body.flags, MREMAP, "0");
    line.number(&fields::MREMAP_FLAGS_NUMBER, body.flags);
    line.result(Some(&fields::MREMAP_RESULT), &fields::MREMAP_ERROR, body.result);
}

fn brk(line: &mut Line<'_>, body: &Mapping) {
    line.hex(&fields::BRK_ADDRESS, body.addr);
    let now = body.result as u64;
    if let Some(before) = known(body.old, 0) {
        line.hex(&fields::BRK_OLD_ADDRESS, before);
        // The kernel answers a refused request with the break as it was.
        if now != before || body.addr == before {
            line.number(&fields::BRK_CHANGE_BYTES, now.wrapping_sub(before) as i64);
        }
    }
    line.hex(&fields::BRK_RESULT, now);
}

fn fault(line: &mut Line<'_>, body: &Fault) {
    if body.addr != UNKNOWN {
        line.hex(&fields::FAULT_ADDRESS, body.addr);
    }
    line.maybe(&fields::FAULT_MAJOR, known(body.major, UNKNOWN));
    line.maybe(&fields::FAULT_MINOR, known(body.minor, UNKNOWN));
}

fn rss(line: &mut Line<'_>, body: &Rss) {
    let event::Resident { anon, file, shmem, swap } = body.resident;
    line.number(&fields::RSS_LIMIT, body.limit);
    if let [Some(anon), Some(file), Some(shmem)] = [anon, file, shmem].map(|bytes| known(bytes, UNKNOWN)) {
        line.number(&fields::RSS_TOTAL, anon.saturating_add(file).saturating_add(shmem));
    }
    line.maybe(&fields::RSS_ANON, known(anon, UNKNOWN));
    line.maybe(&fields::RSS_FILE, known(file, UNKNOWN));
    line.maybe(&fields::RSS_SHMEM, known(shmem, UNKNOWN));
    line.maybe(&fields::RSS_SWAP, known(swap, UNKNOWN));
}

/// The keys of one limit: its value, and that it has none.
type LimitKeys = (&'static Field, &'static Field);

struct RlimitKeys {
    resource: &'static Field,
    resource_number: &'static Field,
    target: &'static Field,
    foreign_target: &'static Field,
    soft: LimitKeys,
    hard: LimitKeys,
    error: &'static Field,
}

static READ_KEYS: RlimitKeys = RlimitKeys {
    resource: &fields::RLIMIT_READ_RESOURCE,
    resource_number: &fields::RLIMIT_READ_RESOURCE_NUMBER,
    target: &fields::RLIMIT_READ_TARGET,
    foreign_target: &fields::RLIMIT_READ_FOREIGN_TARGET,
    soft: (&fields::RLIMIT_READ_SOFT, &fields::RLIMIT_READ_SOFT_UNLIMITED),
    hard: (&fields::RLIMIT_READ_HARD, &fields::RLIMIT_READ_HARD_UNLIMITED),
    error: &fields::RLIMIT_READ_ERROR,
};
static SET_KEYS: RlimitKeys = RlimitKeys {
    resource: &fields::RLIMIT_SET_RESOURCE,
    resource_number: &fields::RLIMIT_SET_RESOURCE_NUMBER,
    target: &fields::RLIMIT_SET_TARGET,
    foreign_target: &fields::RLIMIT_SET_FOREIGN_TARGET,
    soft: (&fields::RLIMIT_SET_SOFT, &fields::RLIMIT_SET_SOFT_UNLIMITED),
    hard: (&fields::RLIMIT_SET_HARD, &fields::RLIMIT_SET_HARD_UNLIMITED),
    error: &fields::RLIMIT_SET_ERROR,
};
static NEW_SOFT: LimitKeys = (&fields::RLIMIT_SET_NEW_SOFT, &fields::RLIMIT_SET_NEW_SOFT_UNLIMITED);
static NEW_HARD: LimitKeys = (&fields::RLIMIT_SET_NEW_HARD, &fields::RLIMIT_SET_NEW_HARD_UNLIMITED);

fn rlimit(
    line: &mut Line<'_>,
    body: &Rlimit,
    keys: &RlimitKeys,
    new: Option<(&'static LimitKeys, &'static LimitKeys)>,
) {
    if let Some(name) = kernel_names::resource(body.resource) {
        line.word(keys.resource, name);
    }
    line.number(keys.resource_number, body.resource);
    line.maybe(keys.target, known(body.target, 0));
    if body.has & RLIMIT_FOREIGN_TARGET != 0 {
        line.flag(keys.foreign_target, true);
    }
    if body.has & RLIMIT_HAS_OLD != 0 {
        limit(line, keys.soft, body.soft);
        limit(line, keys.hard, body.hard);
    }
    if let Some((soft, hard)) = new.filter(|_| body.has & RLIMIT_HAS_NEW != 0) {
        limit(line, *soft, body.new_soft);
        limit(line, *hard, body.new_hard);
    }
    line.result(None, keys.error, body.result);
}

/// `RLIM_INFINITY` is `u64::MAX` (include/uapi/asm-generic/resource.h).
fn limit(line: &mut Line<'_>, (value, unlimited): LimitKeys, limit: u64) {
    if limit == u64::MAX {
        line.flag(unlimited, true);
    } else {
        line.number(value, limit);
    }
}

fn close_sweep(line: &mut Line<'_>, body: &CloseSweep) {
    if let Some(phase) = words::sweep_phase(body.phase) {
        line.word(&fields::SWEEP_PHASE, phase);
    }
    line.number(&fields::SWEEP_COUNT, body.count);
    line.number(&fields::SWEEP_DURATION_NS, body.last_ns.saturating_sub(body.first_ns));
    line.maybe(&fields::SWEEP_LIMIT, known(body.limit, 0));
}

fn action(line: &mut Line<'_>, body: &Action) {
    if let Some(what) = words::action(body.what) {
        line.word(&fields::ACTION_WHAT, what);
    }
    line.number(&fields::ACTION_RULE, body.rule);
    line.number(&fields::ACTION_BYTES, body.bytes);
    line.number(&fields::ACTION_BOUND, body.bound);
    if body.signal != 0 {
        line.name_or_number(&fields::ACTION_SIGNAL, kernel_names::signal(body.signal), body.signal);
    }
    line.result(None, &fields::ACTION_ERROR, body.result);
}

fn oom_kill(line: &mut Line<'_>, body: &OomKill, trigger: &Header, domain: Option<&str>) {
    if let Some(domain) = words::oom_domain(body.domain) {
        line.word(&fields::OOM_DOMAIN, domain);
    }
    if body.domain_id != 0 {
        line.number(&fields::OOM_DOMAIN_CGROUP, body.domain_id);
        if let Some(path) = domain {
            line.text(&fields::OOM_DOMAIN_PATH, path.as_bytes());
        }
        line.number(&fields::OOM_DOMAIN_LIMIT, body.domain_limit);
        line.number(&fields::OOM_DOMAIN_USAGE, body.domain_usage);
    }
    line.maybe(&fields::OOM_MEMCG, known(body.memcg_id, 0));
    line.maybe(&fields::OOM_ANON, known(body.resident.anon, UNKNOWN));
    line.maybe(&fields::OOM_FILE, known(body.resident.file, UNKNOWN));
    line.maybe(&fields::OOM_SHMEM, known(body.resident.shmem, UNKNOWN));
    line.maybe(&fields::OOM_SWAP, known(body.resident.swap, UNKNOWN));
    // A process that has memory has page tables: 0 is a read that failed.
    line.maybe(&fields::OOM_PAGE_TABLES, known(body.page_tables, 0));
    line.maybe(&fields::OOM_TOTAL_VM, known(body.total_vm, 0));
    line.number(&fields::OOM_SCORE_ADJ, body.oom_score_adj);
    line.number(&fields::OOM_TRIGGER_PID, trigger.tgid);
    line.number(&fields::OOM_TRIGGER_TID, trigger.tid);
    line.text(&fields::OOM_TRIGGER_COMM, until_zero(&trigger.comm));
}

fn exec(line: &mut Line<'_>, body: &Exec) {
    let filename = until_zero(&body.filename);
    if !filename.is_empty() {
        line.text(&fields::EXEC_FILENAME, filename);
    }
    line.number(&fields::EXEC_ARGS_BYTES, body.args_total);
}

fn exit(line: &mut Line<'_>, body: &Exit) {
    match exit_status::of(body.status) {
        exit_status::End::Code(code) => line.number(&fields::EXIT_CODE, code),
        exit_status::End::Signal { number, core_dumped } => {
            line.name_or_number(&fields::EXIT_SIGNAL, kernel_names::signal(number), number);
            if core_dumped {
                line.flag(&fields::EXIT_CORE, true);
            }
        }
    }
    line.maybe(&fields::EXIT_MAX_RSS, known(body.max_rss, UNKNOWN));
    let sums = &body.counters;
    line.number(&fields::EXIT_MMAP, sums.mmap_bytes);
    line.number(&fields::EXIT_MUNMAP, sums.munmap_bytes);
    line.number(&fields::EXIT_MREMAP_GROWN, sums.mremap_grown_bytes);
    line.number(&fields::EXIT_MREMAP_SHRUNK, sums.mremap_shrunk_bytes);
    line.number(&fields::EXIT_BRK_GROWN, sums.brk_grown_bytes);
    line.number(&fields::EXIT_BRK_SHRUNK, sums.brk_shrunk_bytes);
    line.number(&fields::EXIT_MINOR, sums.minor_faults);
    line.number(&fields::EXIT_MAJOR, sums.major_faults);
    line.number(&fields::EXIT_TABLES, body.table_total);
    line.number(&fields::EXIT_TOUCHED, body.table_touched);
}
