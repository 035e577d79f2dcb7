//! Limits read and set, by every call, of every resource.

use anyhow::ensure;

use super::{TRACING, traced};
use crate::case::Case;
use crate::line::Line;
use crate::syscall::limit::{CORE, NOFILE};
use crate::tracer::{Run, Tracer};

pub(super) const CASES: &[Case] = &[
    Case::new("limits::getrlimit", TRACING, || read("getrlimit")),
    Case::new("limits::prlimit", TRACING, || read("prlimit")),
    Case::new("limits::sysconf", TRACING, || read("sysconf")),
    Case::new("limits::all_resources_by_name", TRACING, all_resources),
    Case::new("limits::setrlimit", TRACING, || set("setrlimit")),
    Case::new("limits::prlimit_sets", TRACING, || set("prlimit")),
    Case::new("limits::set_refused", TRACING, set_refused),
    Case::new("limits::set_of_another_process", TRACING, set_of_child),
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
    line.expect(&[("new_soft", 1111.into()), ("new_hard", 2222.into())])?;
    if by == "prlimit" {
        line.expect(&[("soft", 4567.into()), ("hard", 4567.into())])?;
    }
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
    ])
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
