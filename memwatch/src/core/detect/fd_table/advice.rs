//! What a person can do: the program's own setting where one is known, else the limit, where it came from.

use memwatch_ebpf::abi::event::FdTable;
use memwatch_ebpf::abi::state::LEARNED_SET;

use super::programs::Program;
use crate::core::fact::Identity;
use crate::core::origin::Origin;
use crate::core::quantity::Bytes;

/// Limits worth proposing: the kernel's own default ceiling, what a busy server may need, what anything else needs.
const PROPOSALS: [u64; 3] = [1 << 20, 1 << 16, 1024];

/// Advice in one or two sentences for a process with this table, the latest of its tables.
pub(super) fn advise(
    process: &Identity,
    program: Option<&Program>,
    origin: Option<&Origin>,
    table: &FdTable,
) -> String {
    let limit = table.learned.limit;
    let Some(proposal) = PROPOSALS.into_iter().find(|proposal| *proposal < limit) else {
        return format!("nothing to lower: a limit of {limit} is low already");
    };
    let gain = format!("{} instead of {}", Bytes(at(proposal, table)), Bytes(table.total.max(table.length)));
    let from = origin.map(|origin| format!(", {}", origin.in_words())).unwrap_or_default();
    let lower = format!("lower the limit{from}: {}", place(process, proposal));
    let hard = if table.learned.how == LEARNED_SET {
        " The program sets its limit by itself: lower the hard limit as well as the soft one."
    } else {
        ""
    };
    let setting = program.and_then(|program| program.setting.as_ref().map(|setting| (program, setting)));
    if let Some((program, setting)) = setting {
        return format!(
            "bound the table with {}'s {}: `{}` in {}; or {lower} ({gain}).{hard}",
            program.name, setting.name, setting.example, setting.place
        );
    }
    let note = program
        .and_then(|program| program.note.as_ref().map(|note| format!(" {}: {note}.", program.name)))
        .unwrap_or_default();
    format!("{lower} ({gain}).{note}{hard}")
}

/// Bytes of all tables at another limit. What a table has over its slots (header, rounding) does not grow with the limit,
/// and Erlang's table stops growing before the limit does.
fn at(limit: u64, table: &FdTable) -> u64 {
    let slots = table.length / u64::from(table.element.max(1));
    let total = table.total.max(table.length);
    let (useful, counted) = if slots < table.learned.limit {
        (total, slots)
    } else {
        (total.saturating_sub(table.overhead), table.learned.limit)
    };
    let after = u128::from(useful) * u128::from(limit) / u128::from(counted.max(1));
    u64::try_from(after).unwrap_or(total).min(total)
}

/// Where the limit of a process comes from, and how to lower it there.
fn place(process: &Identity, limit: u64) -> String {
    if let Some(container) = &process.container {
        let flag = format!("`--ulimit nofile={limit}:{limit}`");
        return match container.runtime {
            Some("docker") => {
                format!("start the container with {flag}, or set default-ulimits in Docker's daemon.json")
            }
            Some("podman") => {
                format!("start the container with {flag}, or set default_ulimits in containers.conf")
            }
            Some("cri-o") => format!(
                "`default_ulimits = [\"nofile={limit}:{limit}\"]` in crio.conf, for all pods of the node"
            ),
            Some("containerd") => format!(
                "`systemctl edit containerd.service` with LimitNOFILE={limit} under [Service], for all containers started after its restart"
            ),
            _ => format!("the container runtime's nofile ulimit, to {limit}"),
        };
    }
    match process.unit.as_deref() {
        // Scopes and slices hold processes that something else started: they have no limits of their own.
        Some(unit) if unit.ends_with(".service") && !unit.starts_with("user@") => {
            let edit = if is_users(process) { "systemctl --user edit" } else { "systemctl edit" };
            format!("`{edit} {unit}` with LimitNOFILE={limit} under [Service], then restart it")
        }
        _ => format!("`ulimit -n {limit}` in the shell or script that starts it"),
    }
}

/// Whether a user's own manager runs the service: `systemctl edit` without `--user` knows the system's units only.
fn is_users(process: &Identity) -> bool {
    process.cgroup_path.as_deref().is_some_and(|path| {
        path.split('/').any(|part| part.starts_with("user@") && part.ends_with(".service"))
    })
}
