//! Missing rights, and the commands that explain them: `doctor` and `demo`.

use std::ffi::CStr;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::TRACING;
use super::table::{ANY, table_under};
use crate::case::Case;
use crate::child::{PATIENCE, Running};
use crate::need::Need;
use crate::syscall::process;
use crate::tracer::Tracer;
use crate::trigger::Trigger;
use crate::{limit, locate, need};

pub(super) const CASES: &[Case] = &[
    Case::new("rights::missing_capabilities_are_named", TRACING, missing),
    Case::new("rights::two_capabilities_are_enough", OWN, enough),
    Case::new("rights::what_two_capabilities_miss_is_told", OWN, missed),
    Case::new("rights::doctor_without_rights", &[Need::Root], doctor_without_rights),
    Case::new("rights::ids_of_a_namespace_are_refused", TRACING, namespaced),
    Case::new("rights::few_descriptors_are_told", TRACING, few_descriptors),
    Case::new("rights::no_types_of_the_kernel_are_told", TRACING, without_btf),
    Case::new("rights::doctor_tells_every_hook", TRACING, doctor),
    Case::new("rights::doctor_reads_securityfs_that_is_not_mounted", &[Need::Root], doctor_tells_lockdown),
    Case::new("rights::doctor_tells_what_programs_cost", OWN, doctor_tells_costs),
    Case::new("rights::doctor_for_people", TRACING, doctor_for_people),
    Case::new("rights::demo", TRACING, demo),
    Case::new("rights::closed_output_is_quiet", &[], closed_output),
];

const OWN: &[Need] = &[Need::Root, Need::Tracing, Need::OwnMachine];

const CAP_SYS_ADMIN: u32 = 21;
const CAP_PERFMON: u32 = 38;
const CAP_BPF: u32 = 39;
const TRACING_RIGHTS: &[u32] = &[CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF];

/// All but CAP_BPF and CAP_PERFMON.
const OTHER_RIGHTS: &[u32] = &[
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28,
    29, 30, 31, 32, 33, 34, 35, 36, 37, 40,
];
/// The same, but for CAP_SYS_RESOURCE.
const OTHER_RIGHTS_BUT_RESOURCE: &[u32] = &[
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 28, 29,
    30, 31, 32, 33, 34, 35, 36, 37, 40,
];

/// With CAP_BPF and CAP_PERFMON alone, and tracefs mounted, hooks attach and a finding is whole. Before 5.11 BPF
/// memory counts against RLIMIT_MEMLOCK: where that is too low the tracer says that it may not raise it.
fn enough() -> anyhow::Result<()> {
    let run = table_under(Tracer::new(ANY)?.without(OTHER_RIGHTS), &["--forks", "1"])?;
    let run = if run.errors.contains("CAP_SYS_RESOURCE") {
        ensure!(!run.status.success(), "it went on without memory for its maps: {}", run.errors);
        table_under(Tracer::new(ANY)?.without(OTHER_RIGHTS_BUT_RESOURCE), &["--forks", "1"])?
    } else {
        run
    };
    let run = run.succeeded()?;
    // Debian's 5.10 gives samples of a CPU to CAP_SYS_ADMIN only: what is lost must be told, and nothing else be missing.
    let mut missing = run.errors.lines().filter(|line| line.contains("is not attached"));
    let is_told = |line: &str| {
        let is_sampling = line.contains("hook sample ") || line.contains("hook fault_major ");
        is_sampling && line.contains("`perf_event_open` failed: Permission denied")
    };
    ensure!(missing.all(is_told), "a hook is missing: {}", run.errors);
    let pid = run.pid()?;
    run.first("fd_table", |line| line.pid() == pid)?.expect(&[
        ("limit", limit::table().into()),
        ("element_bytes", 8.into()),
        ("learned_forks", 1.into()),
        ("process.executable.path", locate::trigger()?.to_string_lossy().into()),
    ])?;
    run.one("exit", |line| line.pid() == pid).map(drop)
}

/// With the same rights, processes that have all of them: a finding about one that is older than the tracer is whole but for its
/// executable, which `/proc` keeps from whoever may not trace it, and the doctor names that right and no other. One that begins
/// while it is watched is named by what it was started by.
fn missed() -> anyhow::Result<()> {
    // Where BPF memory counts against RLIMIT_MEMLOCK, that right is needed as well.
    let is_old = Need::Kernel(5, 11).missing().is_some();
    let withheld = if is_old { OTHER_RIGHTS_BUT_RESOURCE } else { OTHER_RIGHTS };
    let (_, output, errors) = run(&["doctor", "--output", "json"], withheld)?;
    let answer: serde_json::Value = serde_json::from_str(&output).with_context(|| errors.clone())?;
    let told = answer.get("capabilities_missing").cloned().unwrap_or_default();
    ensure!(told == serde_json::json!(["CAP_SYS_PTRACE"]), "missing are {told}: {errors}");

    let ready = || Trigger::ready_with_descriptors(&["table"], limit::table());
    let mut older = ready()?;
    let mut tracer = Tracer::new(ANY)?.without(withheld).attach()?;
    let mut newer = ready()?;
    for trigger in [&mut older, &mut newer] {
        trigger.act_and_hold()?;
        let pid = u64::from(trigger.pid());
        tracer.wait_for("fd_table", |line| line.pid() == pid)?.expect(&[
            ("limit", limit::table().into()),
            ("element_bytes", 8.into()),
            ("learned_by_pid", pid.into()),
            ("state", "mapped".into()),
            ("memwatch.process.comm", "memwatch-trigge".into()),
            ("process.parent_pid", std::process::id().into()),
            ("process.real_user.id", 0.into()),
        ])?;
    }
    let pids = [&older, &newer].map(|trigger| u64::from(trigger.pid()));
    for trigger in [older, newer] {
        let (status, _) = trigger.finish()?;
        ensure!(status.success(), "a trigger ended with {status}");
    }
    for pid in pids {
        tracer.wait_for("exit", |line| line.pid() == pid)?;
    }
    let run = tracer.interrupt()?.succeeded()?;
    let [older, newer] = pids.map(|pid| run.first("fd_table", |line| line.pid() == pid));
    let (older, newer) = (older?, newer?);
    let path = older.get("process.executable.path");
    ensure!(path.is_none(), "it was told what the doctor says it cannot be: {older}");
    newer.expect(&[("process.executable.path", locate::trigger()?.to_string_lossy().into())])
}

fn missing() -> anyhow::Result<()> {
    let mut running = Tracer::new(&[])?.without(TRACING_RIGHTS).start()?;
    let status = running.wait(PATIENCE)?;
    let errors = running.errors();
    ensure!(status.code().is_some_and(|code| code != 0), "ended with {status}: {errors}");
    ensure!(errors.contains("CAP_BPF"), "the error does not name the capability: {errors}");
    ensure!(!errors.contains("panicked"), "{errors}");
    Ok(())
}

fn run(arguments: &[&str], withhold: &'static [u32]) -> anyhow::Result<(Option<i32>, String, String)> {
    let mut command = Command::new(locate::memwatch()?);
    command.args(arguments).stdin(Stdio::null());
    process::withhold_capabilities(&mut command, withhold);
    let mut running = Running::start(&mut command)?;
    let output = running.rest(PATIENCE)?.join("\n");
    let status = running.wait(PATIENCE)?;
    Ok((status.code(), output, running.errors()))
}

fn doctor_without_rights() -> anyhow::Result<()> {
    let (code, output, errors) = run(&["doctor", "--output", "json"], TRACING_RIGHTS)?;
    ensure!(code.is_some_and(|code| code != 0), "all is well without rights: {output}");
    serde_json::from_str::<serde_json::Value>(&output)?;
    ensure!(output.contains("CAP_BPF"), "the capability is not named: {output}{errors}");
    Ok(())
}

/// Ids that a pid namespace gives out would name other processes of the host.
fn namespaced() -> anyhow::Result<()> {
    let memwatch = locate::memwatch()?;
    for arguments in [&["trace", "--duration", "1s"][..], &["doctor", "--output", "json"]] {
        let mut command = Command::new(locate::trigger()?);
        command.args(["inside", "--seconds", "60", "--root", "/", "--"]).arg(&memwatch).args(arguments);
        let output = command.stdin(Stdio::null()).output()?;
        let all = [output.stdout, output.stderr].concat();
        let all = String::from_utf8_lossy(&all);
        ensure!(output.status.code() == Some(1), "{arguments:?} ended with {}: {all}", output.status);
        ensure!(all.contains("hostPID: true"), "no remedy: {all}");
    }
    Ok(())
}

fn few_descriptors() -> anyhow::Result<()> {
    let mut command = Command::new(locate::memwatch()?);
    process::limit_descriptors(command.args(["trace", "--duration", "1s"]), 64);
    let output = command.stdin(Stdio::null()).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() == Some(1) && errors.contains("ulimit -n 128"),
        "{}: {errors}",
        output.status
    );
    Ok(())
}

/// Where the kernel keeps its types. Who does not find them there has a kernel without BTF before him.
const TYPES: &[&CStr] = &[c"/sys/kernel/btf"];

fn without_btf() -> anyhow::Result<()> {
    const REMEDY: &str = "CONFIG_DEBUG_INFO_BTF=y";
    let mut running = Tracer::new(&["--duration", "1s"])?.hiding(TYPES).start()?;
    let status = running.wait(PATIENCE)?;
    let errors = running.errors();
    ensure!(status.code() == Some(1), "ended with {status}: {errors}");
    ensure!(errors.contains("/sys/kernel/btf/vmlinux") && errors.contains(REMEDY), "{errors}");
    ensure!(errors.contains("mount -t sysfs") && errors.matches("(os error 2)").count() == 1, "{errors}");
    ensure!(!errors.contains("panicked"), "{errors}");
    let mut command = Command::new(locate::memwatch()?);
    process::hide(command.args(["doctor", "--output", "json"]).stdin(Stdio::null()), TYPES);
    let output = command.output()?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let failure = answer.get("failure").and_then(|failure| failure.as_str()).unwrap_or_default();
    ensure!(output.status.code() == Some(1) && failure.contains(REMEDY), "{}: {answer}", output.status);
    Ok(())
}

/// Where securityfs is not mounted the doctor reads it all the same.
fn doctor_tells_lockdown() -> anyhow::Result<()> {
    const PLACE: &[&CStr] = &[c"/sys/kernel/security"];
    let script = "mount -t securityfs securityfs /sys/kernel/security; cat /sys/kernel/security/lockdown";
    let truth = Command::new("unshare").args(["--mount", "sh", "-c", script]).output()?;
    let truth = String::from_utf8_lossy(&truth.stdout).into_owned();
    let truth = truth.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(mode, _)| mode);
    let mut command = Command::new(locate::memwatch()?);
    process::hide(command.args(["doctor", "--output", "json"]).stdin(Stdio::null()), PLACE);
    let answer: serde_json::Value = serde_json::from_slice(&command.output()?.stdout)?;
    let told = answer.get("lockdown").and_then(|mode| mode.as_str());
    ensure!(told == truth, "{told:?} where the kernel says {truth:?}");
    Ok(())
}

/// While the kernel keeps statistics of programs, the doctor has those of a tracer that runs.
fn doctor_tells_costs() -> anyhow::Result<()> {
    const SWITCH: &str = "/proc/sys/kernel/bpf_stats_enabled";
    let before = std::fs::read_to_string(SWITCH)?;
    std::fs::write(SWITCH, "1")?;
    let tracer = Tracer::new(&["--event", "exit"])?.attach()?;
    let acted =
        Trigger::ready(&["map", "--bytes", "7000001", "--unmap", "--times", "100"]).and_then(Trigger::run);
    let answer = need::doctor(None);
    let pid = tracer.pid();
    let ended = tracer.interrupt();
    std::fs::write(SWITCH, before.trim())?;
    acted?;
    ended?;
    let programs = answer.get("running").and_then(|running| running.as_array()).cloned().unwrap_or_default();
    let mmap = programs.iter().find(|program| {
        let name = program.get("name").and_then(|name| name.as_str()).unwrap_or_default();
        name.starts_with("mmap_") && program.get("pid").and_then(|pid| pid.as_u64()) == Some(pid.into())
    });
    let mmap = mmap.with_context(|| format!("the tracer {pid} has no program for mmap: {answer}"))?;
    let number = |key: &str| mmap.get(key).and_then(|number| number.as_u64()).unwrap_or(0);
    ensure!(number("run_count") >= 100 && number("run_time_ns") > number("run_count"), "{mmap}");
    Ok(())
}

fn doctor() -> anyhow::Result<()> {
    let answer = need::doctor(None);
    let hooks = answer.get("hooks").and_then(|hooks| hooks.as_array()).cloned().unwrap_or_default();
    ensure!(hooks.len() >= 10, "only {} hooks: {answer}", hooks.len());
    for hook in hooks {
        let has = |key: &str| {
            hook.get(key).is_some_and(|value| value.as_str().is_some_and(|text| !text.is_empty()))
        };
        ensure!(has("name"), "a hook without a name: {hook}");
        let refused = hook.get("refused").is_some_and(|ways| ways.get(0).is_some());
        ensure!(
            has("attached") || (has("lost") && has("remedy") && refused),
            "neither a way nor what is lost, why and the remedy: {hook}"
        );
    }
    Ok(())
}

fn doctor_for_people() -> anyhow::Result<()> {
    let (_, output, errors) = run(&["doctor", "--output", "table"], &[])?;
    for word in ["kernel", "BTF", "cgroup", "mmap"] {
        ensure!(output.contains(word), "no {word} in:\n{output}{errors}");
    }
    Ok(())
}

fn demo() -> anyhow::Result<()> {
    let (code, output, errors) = run(&["demo"], &[])?;
    ensure!(code == Some(0), "ended with {code:?}: {output}{errors}");
    for word in ["nofile", "one slot per descriptor", "advice"] {
        ensure!(output.contains(word) || errors.contains(word), "no {word} in:\n{output}\n{errors}");
    }
    Ok(())
}

fn closed_output() -> anyhow::Result<()> {
    for arguments in [["completions", "bash"], ["doctor", "--output=json"], ["doctor", "--output=table"]] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let mut command = Command::new(locate::memwatch()?);
        let mut running = Running::start_with(command.args(arguments).stdin(Stdio::null()), writer.into())?;
        let status = running.wait(PATIENCE)?;
        let errors = running.errors();
        ensure!(status.code().is_some(), "{arguments:?} ended with {status}: {errors}");
        ensure!(
            !errors.contains("panic") && !errors.contains("pipe"),
            "{arguments:?} is not quiet: {errors}"
        );
    }
    Ok(())
}
