//! What a test needs of the machine, and why a machine cannot give it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{limit, locate, program};

/// Something that not every machine has.
#[derive(Clone, Copy, Debug)]
pub enum Need {
    /// The user is root.
    Root,
    /// The kernel and the rights allow tracing. Not by the tracer's own word: what it cannot do though it should is a
    /// failure.
    Tracing,
    /// The root user has this capability.
    Capability(u32, &'static str),
    /// System calls can be traced by this way to attach.
    Way(&'static str),
    /// The kernel is one of the matrix, whose row does not take this feature away.
    Feature(&'static str),
    /// Groups can be made in the unified hierarchy.
    Unified,
    /// The kernel tells pressure of groups, and lets a trigger be set for it.
    Pressure,
    /// Groups can be made that bound memory, on a hierarchy of either version.
    Memory,
    /// The memory controller is on the unified hierarchy.
    UnifiedMemory,
    /// So many bytes of memory are available.
    FreeMemory(u64),
    /// The hard limit of descriptors is at least this.
    Descriptors(u64),
    /// The same in a guest, which can have any; elsewhere what the machine has will do.
    DescriptorsInGuest(u64),
    /// The program is in the root file system that `MEMWATCH_ROOTFS` names.
    Program(&'static str),
    /// A free host to kill on, which belongs to the tests: its settings and processes of others may suffer.
    OwnMachine,
    /// The kernel is at least this version: for what it shows by nothing else.
    Kernel(u32, u32),
    /// systemd runs the machine, which belongs to the tests.
    Systemd,
    /// The Debian package under test, which `MEMWATCH_DEB` names.
    Package,
    /// A database that receives metrics by OpenTelemetry's protocol, which `MEMWATCH_VICTORIA_METRICS` names.
    VictoriaMetrics,
    /// Process ids are those of the initial name space.
    InitialPids,
}

impl Need {
    /// Why the machine cannot give it; `None` when it can.
    #[must_use]
    pub fn missing(self) -> Option<String> {
        let lacks = |has: bool, reason: String| (!has).then_some(reason);
        match self {
            Self::Root => lacks(is_root(), "needs root".to_owned()),
            Self::Tracing => Self::InitialPids.missing().or_else(|| {
                let rights = has_capability(CAP_SYS_ADMIN) || has_capability(CAP_BPF);
                lacks(rights, "needs CAP_BPF or CAP_SYS_ADMIN".to_owned()).or_else(|| {
                    lacks(Path::new("/sys/kernel/btf/vmlinux").exists(), "the kernel has no BTF".to_owned())
                })
            }),
            Self::Capability(number, name) => lacks(has_capability(number), format!("needs {name}")),
            // What a kernel of the matrix is known to have is a failure when it does not work.
            Self::Way(way) => match std::env::var("MEMWATCH_WAYS") {
                Ok(ways) => lacks(ways.split(',').any(|it| it == way), format!("this kernel has no {way}")),
                Err(_) => match doctor(Some(way)) {
                    answer if attaches(&answer, way) => None,
                    answer => Some(format!("nothing attaches by {way} here: {}", refusal(&answer))),
                },
            },
            Self::Feature(feature) => match std::env::var("MEMWATCH_FEATURES") {
                Ok(features) => lacks(
                    features.split(',').any(|it| it == feature),
                    format!("this kernel has no {feature}"),
                ),
                Err(_) => Some(format!("not known whether this kernel has {feature} (MEMWATCH_FEATURES)")),
            },
            Self::Unified => {
                lacks(unified().is_some(), "no unified cgroup hierarchy to make groups in".to_owned())
            }
            Self::Pressure => {
                pressure_trigger().err().map(|reason| format!("no trigger for pressure: {reason}"))
            }
            Self::Memory => lacks(
                memory_hierarchy().is_some(),
                "no cgroup hierarchy with the memory controller to make groups in".to_owned(),
            ),
            Self::UnifiedMemory => lacks(
                unified_memory().is_some(),
                "the memory controller is not on the unified hierarchy".to_owned(),
            ),
            Self::FreeMemory(bytes) => {
                let available = memory("MemAvailable:");
                lacks(available >= bytes, format!("{available} bytes of memory are available, below {bytes}"))
            }
            Self::Descriptors(number) => {
                let hard = limit::hard();
                lacks(hard >= number, format!("the hard limit of descriptors is {hard}, below {number}"))
            }
            Self::DescriptorsInGuest(number) => {
                if limit::in_guest() {
                    Self::Descriptors(number).missing()
                } else {
                    None
                }
            }
            Self::Program(path) => program::missing(path),
            Self::OwnMachine => lacks(
                limit::in_guest(),
                "needs a free host to kill on: a guest (MEMWATCH_IN_GUEST=1)".to_owned(),
            ),
            Self::Kernel(major, minor) => {
                let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
                let mut parts = release.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
                let has = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
                lacks(has >= (major, minor), format!("needs kernel {major}.{minor}"))
            }
            Self::Systemd => Self::OwnMachine.missing().or_else(|| {
                lacks(Path::new("/run/systemd/system").is_dir(), "systemd does not run".to_owned())
            }),
            Self::Package => {
                let named = std::env::var_os("MEMWATCH_DEB").map(PathBuf::from);
                lacks(named.is_some_and(|path| path.is_file()), "MEMWATCH_DEB names no package".to_owned())
            }
            Self::VictoriaMetrics => lacks(
                program::victoria_metrics().is_some(),
                "MEMWATCH_VICTORIA_METRICS names no program".to_owned(),
            ),
            Self::InitialPids => {
                // The initial name space has this fixed number (PROC_PID_INIT_INO, include/linux/proc_ns.h).
                let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
                lacks(link == Path::new("pid:[4026531836]"), "not in the initial pid name space".to_owned())
            }
        }
    }
}

impl Need {
    /// Whether a guest of the matrix may lack it: what the table of kernels takes away, a version, more memory than all of the
    /// guest's, a package where the host was not to build one, and a database of which no test needs the kernel. All else it was
    /// made to have, and a skip would hide a fault.
    #[must_use]
    pub fn may_lack_in_guest(self) -> bool {
        match self {
            Self::Way(_) | Self::Feature(_) | Self::Kernel(..) | Self::VictoriaMetrics => true,
            // Named and not there, it could not be built.
            Self::Package => std::env::var_os("MEMWATCH_DEB").is_none(),
            Self::FreeMemory(bytes) => memory("MemTotal:") < bytes,
            Self::Root
            | Self::Tracing
            | Self::Capability(..)
            | Self::Unified
            | Self::Pressure
            | Self::Memory
            | Self::UnifiedMemory
            | Self::Descriptors(_)
            | Self::DescriptorsInGuest(_)
            | Self::Program(_)
            | Self::OwnMachine
            | Self::Systemd
            | Self::InitialPids => false,
        }
    }
}

const CAP_SYS_ADMIN: u32 = 21;
const CAP_BPF: u32 = 39;

/// What `memwatch doctor` says of this machine, with one way to attach system calls by or all; null when it says
/// nothing.
#[must_use]
pub fn doctor(way: Option<&str>) -> Value {
    let Ok(memwatch) = locate::memwatch() else { return Value::Null };
    let mut command = Command::new(memwatch);
    command.args(["doctor", "--output", "json"]);
    if let Some(way) = way {
        command.args(["--attach", way]);
    }
    command.output().ok().and_then(|output| serde_json::from_slice(&output.stdout).ok()).unwrap_or_default()
}

fn hooks(answer: &Value) -> impl Iterator<Item = &Value> {
    answer.get("hooks").and_then(Value::as_array).into_iter().flatten()
}

/// The way by which a hook is attached, in an answer of the doctor's.
#[must_use]
pub fn way_of<'a>(answer: &'a Value, hook: &str) -> Option<&'a str> {
    hooks(answer).find(|it| it.get("name").and_then(Value::as_str) == Some(hook))?.get("attached")?.as_str()
}

/// Whether any hook is attached by a way, in an answer of the doctor's: not every hook has every way.
#[must_use]
pub fn attaches(answer: &Value, way: &str) -> bool {
    hooks(answer).any(|hook| hook.get("attached").and_then(Value::as_str) == Some(way))
}

fn refusal(answer: &Value) -> String {
    let reason = hooks(answer).find_map(|hook| hook.get("refused")?.get(0)?.get("reason")?.as_str());
    let reason = reason.or_else(|| answer.get("failure")?.as_str());
    reason.and_then(|reason| reason.lines().next()).unwrap_or("the doctor gives no reason").to_owned()
}

/// The unified hierarchy's folder, when groups can be made in it.
#[must_use]
pub fn unified() -> Option<PathBuf> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .iter()
        .map(PathBuf::from)
        .find(|folder| folder.join("cgroup.subtree_control").exists() && is_root())
}

/// The folder of the hierarchy with the memory controller, of either version, when groups can be made in it.
#[must_use]
pub fn memory_hierarchy() -> Option<PathBuf> {
    let first = PathBuf::from("/sys/fs/cgroup/memory");
    let is_first = first.join("memory.limit_in_bytes").exists() && is_root();
    if is_first { Some(first) } else { unified_memory() }
}

/// The unified hierarchy's folder, when it hands the memory controller down.
fn unified_memory() -> Option<PathBuf> {
    let folder = unified()?;
    let handed_down = std::fs::read_to_string(folder.join("cgroup.subtree_control")).ok()?;
    handed_down.split_whitespace().any(|name| name == "memory").then_some(folder)
}

/// Sets a trigger for pressure of the whole unified hierarchy, and lets it go at once.
fn pressure_trigger() -> Result<(), String> {
    let folder = unified().ok_or("no unified cgroup hierarchy to make groups in")?;
    let file = std::fs::File::options().read(true).write(true).open(folder.join("memory.pressure"));
    let set = file.and_then(|mut file| std::io::Write::write_all(&mut file, b"full 1000000 2000000\0"));
    set.map_err(|error| error.to_string())
}

/// A line of `/proc/meminfo`, in bytes.
fn memory(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.trim().parse().ok());
    kib.unwrap_or(0_u64) << 10
}

fn is_root() -> bool {
    status_field("Uid:").is_some_and(|field| field.split_whitespace().nth(1) == Some("0"))
}

fn has_capability(number: u32) -> bool {
    status_field("CapEff:")
        .and_then(|field| u64::from_str_radix(field.trim(), 16).ok())
        .is_some_and(|bits| bits >> number & 1 == 1)
}

fn status_field(name: &str) -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_may_lack_what_nothing_could_give_it() {
        for need in [Need::Way("lsm"), Need::Kernel(6, 16), Need::FreeMemory(u64::MAX)] {
            assert!(need.may_lack_in_guest(), "{need:?}");
        }
        for need in [
            Need::Program("usr/bin/erl"),
            Need::Memory,
            Need::FreeMemory(1),
            Need::Descriptors(1 << 30),
            Need::DescriptorsInGuest(1 << 30),
        ] {
            assert!(!need.may_lack_in_guest(), "{need:?}");
        }
    }
}
