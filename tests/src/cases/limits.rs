//! Limits read and set, by every call, of every resource.

use std::ffi::OsStr;

use anyhow::{Context as _, ensure};

use super::{TRACING, traced};
use crate::case::Case;
use crate::line::Line;
use crate::syscall::limit::{self, CORE, NOFILE};
use crate::tracer::{Run, Tracer};

pub(super) const CASES: &[Case] = &[
    Case::new("limits::getrlimit", TRACING, || read("getrlimit")),
    Case::new("limits::prlimit", TRACING, || read("prlimit")),
    Case::new("limits::sysconf", TRACING, || read("sysconf")),
    Case::new("limits::all_resources_by_name", TRACING, all_resources),
    Case::new("limits::setrlimit", TRACING, || set("setrlimit")),
    Case::new("limits::prlimit_sets", TRACING, || set("prlimit")),
    Case::new("limits::prlimit_sets_by_one_buffer", TRACING, || set("prlimit-one-buffer")),
    Case::new("limits::set_refused", TRACING, set_refused),
    Case::new("limits::what_cannot_be_read_is_counted", TRACING, unreadable),
    Case::new("limits::set_of_another_process", TRACING, set_of_child),
    Case::new("limits::set_blindly_of_another_process", TRACING, blindly_of_child),
    Case::new("limits::set_of_another_process_in_a_pid_namespace", TRACING, set_in_a_pid_namespace),
    Case::new("limits::old_value_of_any_resource", TRACING, old_value_of_any),
    Case::new("limits::old_value_after_a_child_s", TRACING, after_a_child),
    Case::new("limits::old_value_in_doubt", TRACING, in_doubt),
];

/// The resources in the order of their numbers (include/uapi/asm-generic/resource.h).
const NAMES: [&str; 16] = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];

/// The line about descriptors; the C library reads other limits on its own.
fn about_descriptors<'a>(run: &'a Run, name: &str) -> anyhow::Result<&'a Line> {
    let pid = run.pid()?;
    run.one(name, |line| line.pid() == pid && line.is("resource", "nofile"))
}

pub(super) fn read(by: &str) -> anyhow::Result<()> {
    let run = Tracer::new(&[])?.descriptors(4567).trigger(&["read-limit", "--by", by])?.succeeded()?;
    ensure!(run.reported("soft")? == 4567, "the trigger started with another limit");
    about_descriptors(&run, "rlimit_read")?.expect(&[("soft", 4567.into()), ("hard", 4567.into())])
}

fn all_resources() -> anyhow::Result<()> {
    let run = traced(&[], &["read-limits"])?;
    let pid = run.pid()?;
    let seen: Vec<&str> = run
        .of("rlimit_read")
        .into_iter()
        .filter(|line| line.pid() == pid)
        .filter_map(|line| line.text("resource").ok())
        .collect();
    ensure!(seen.windows(NAMES.len()).any(|window| window == NAMES), "not all in order: {seen:?}");
    Ok(())
}

pub(super) fn set(by: &str) -> anyhow::Result<()> {
    let options = ["set-limit", "--by", by, "--soft", "1111", "--hard", "2222"];
    let run = Tracer::new(&[])?.descriptors(4567).trigger(&options)?.succeeded()?;
    let line = about_descriptors(&run, "rlimit_set")?;
    line.expect(&[
        ("soft", 4567.into()),
        ("hard", 4567.into()),
        ("new_soft", 1111.into()),
        ("new_hard", 2222.into()),
    ])
}

fn unreadable() -> anyhow::Result<()> {
    const TIMES: usize = 200;
    let resource = CORE.to_string();
    let times = TIMES.to_string();
    let trigger =
        ["set-limit", "--resource", &resource, "--soft", "0", "--hard", "0", "--from-nowhere", &times];
    let run = traced(&[], &trigger)?.succeeded()?;
    let pid = run.pid()?;
    let refused =
        run.of("rlimit_set").into_iter().filter(|line| line.pid() == pid && line.is("error", "EFAULT"));
    let refused: Vec<&Line> = refused.collect();
    ensure!(refused.len() == TIMES, "{} calls were told of {TIMES}", refused.len());
    let made_up = refused.iter().find(|line| line.get("memwatch.rlimit_set.new_soft").is_some());
    ensure!(made_up.is_none(), "a limit that nobody could read: {made_up:?}");
    let lost = run.lost("user_read");
    // Arguments of a program that is executed may not be there to read either.
    ensure!((TIMES as u64..TIMES as u64 + 20).contains(&lost), "{lost} were counted of {TIMES}");
    Ok(())
}

fn set_refused() -> anyhow::Result<()> {
    // A soft limit above the hard one is refused to everybody.
    let resource = CORE.to_string();
    let options = ["set-limit", "--resource", &resource, "--soft", "7", "--hard", "5", "--refused"];
    let run = traced(&[], &options)?;
    let pid = run.pid()?;
    run.one("rlimit_set", |line| line.pid() == pid && line.is("resource", "core"))?.expect(&[
        ("new_soft", 7.into()),
        ("new_hard", 5.into()),
        ("error", "EINVAL".into()),
    ])?;
    let pair = limit::get(CORE).context("read RLIMIT_CORE")?;
    let line = run.one("rlimit_set", |line| line.pid() == pid && line.is("resource", "core"))?;
    ensure!(
        is_limit(line, "soft", pair.soft) && is_limit(line, "hard", pair.hard),
        "what stayed is not told: {line}"
    );
    Ok(())
}

/// `setrlimit` asks for no old value, of whatever resource: it is told all the same.
fn old_value_of_any() -> anyhow::Result<()> {
    let old = limit::get(CORE).context("read RLIMIT_CORE")?;
    let resource = CORE.to_string();
    let options = ["set-limit", "--resource", &resource, "--soft", "0", "--hard", "0"];
    let run = traced(&[], &options)?;
    let pid = run.pid()?;
    let line = run.one("rlimit_set", |line| line.pid() == pid && line.is("resource", "core"))?;
    line.expect(&[("new_soft", 0.into()), ("new_hard", 0.into())])?;
    ensure!(is_limit(line, "soft", old.soft) && is_limit(line, "hard", old.hard), "not {old:?}: {line}");
    Ok(())
}

/// Whether a line tells a limit, which may be none.
fn is_limit(line: &Line, key: &str, value: u64) -> bool {
    if value == u64::MAX { line.is(&format!("{key}_unlimited"), true) } else { line.is(key, value) }
}

/// The line about the caller's own descriptors, after somebody else's were limited.
fn own_after(other: &str) -> anyhow::Result<Line> {
    let options = ["set-limit", "--after", other, "--soft", "1111", "--hard", "2222"];
    let run = Tracer::new(&[])?.descriptors(4567).trigger(&options)?.succeeded()?;
    let pid = run.pid()?;
    let line = run.one("rlimit_set", |line| {
        line.pid() == pid && line.is("resource", "nofile") && line.get("target_pid").is_none()
    })?;
    line.expect(&[("new_soft", 1111.into()), ("new_hard", 2222.into())])?;
    Ok(line.clone())
}

fn after_a_child() -> anyhow::Result<()> {
    own_after("child")?.expect(&[("soft", 4567.into()), ("hard", 4567.into())])
}

/// A limit that somebody else may have set is not told as if it were known.
fn in_doubt() -> anyhow::Result<()> {
    let line = own_after("thread")?;
    ensure!(line.get("soft").is_none() && line.get("hard").is_none(), "told though in doubt: {line}");
    Ok(())
}

fn blindly_of_child() -> anyhow::Result<()> {
    let options = ["limit-child", "--blind", "--soft", "333", "--hard", "444"];
    let run = Tracer::new(&[])?.descriptors(4567).trigger(&options)?.succeeded()?;
    about_descriptors(&run, "rlimit_set")?.expect(&[
        ("target_pid", run.reported("child")?.into()),
        ("soft", 4567.into()),
        ("hard", 4567.into()),
        ("new_soft", 333.into()),
    ])
}

/// Process 2 of a pid namespace is another one than the host's.
fn set_in_a_pid_namespace() -> anyhow::Result<()> {
    let script = "sleep 60 >/dev/null 2>&1 & exec prlimit --pid 2 --nofile=333:444";
    let words = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", script];
    let run = Tracer::new(&["--event", "rlimit_set"])?.command(words.map(OsStr::new))?.succeeded()?;
    let line = run.one("rlimit_set", |line| line.is("resource", "nofile") && line.is("new_soft", 333))?;
    line.expect(&[("target_unknown", true.into()), ("new_hard", 444.into())])?;
    ensure!(line.get("target_pid").is_none(), "an id of another namespace is told: {line}");
    Ok(())
}

fn set_of_child() -> anyhow::Result<()> {
    let resource = NOFILE.to_string();
    let options = ["limit-child", "--resource", &resource, "--soft", "333", "--hard", "444"];
    let run = Tracer::new(&[])?.descriptors(4567).trigger(&options)?.succeeded()?;
    about_descriptors(&run, "rlimit_set")?.expect(&[
        ("target_pid", run.reported("child")?.into()),
        ("soft", 4567.into()),
        ("new_soft", 333.into()),
        ("new_hard", 444.into()),
    ])
}
