//! Replays `fuzz/corpus`: each sample is read by the parser its folder is named after, and what comes out is compared with
//! the `.expect` file beside it. `UPDATE=1` writes those files anew; a sample without one is a failure.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use memwatch::core::fact::Hierarchy;
use memwatch::enrich::{cgroup, container, proc, unit_limit};

#[test]
fn proc_stat() -> Result<()> {
    replay("proc_stat", |text| outcome(proc::parse_stat(text)))
}

#[test]
fn proc_status() -> Result<()> {
    replay("proc_status", |text| outcome(proc::parse_status(text)))
}

#[test]
fn proc_cgroup() -> Result<()> {
    replay("proc_cgroup", |text| outcome(proc::parse_cgroups(text)))
}

#[test]
fn proc_limits() -> Result<()> {
    replay("proc_limits", |text| {
        let listed = |limits: proc::Limits| {
            (0..16).filter_map(|resource| Some((resource, limits.get(resource)?))).collect::<Vec<_>>()
        };
        outcome(proc::parse_limits(text).map(listed))
    })
}

#[test]
fn proc_maps() -> Result<()> {
    replay("proc_maps", |text| each_line(text, |line| outcome(proc::parse_mapping(line))))
}

#[test]
fn proc_smaps() -> Result<()> {
    replay("proc_smaps", |text| each_line(text, |line| outcome(proc::parse_smaps_line(line))))
}

#[test]
fn unit_file() -> Result<()> {
    replay("unit_file", |text| format!("{:#?}\n", unit_limit::parse_setting(text, "Service", "LimitNOFILE")))
}

#[test]
fn cgroup_path() -> Result<()> {
    replay("cgroup_path", |text| format!("{:#?}\n", container::names_of(&String::from_utf8_lossy(text))))
}

#[test]
fn mountinfo() -> Result<()> {
    replay("mountinfo", |text| {
        let mounts = cgroup::parse_mounts(text);
        format!("{mounts:#?}\nwidest: {:?}\n", cgroup::widest(&mounts, Hierarchy::Unified))
    })
}

fn each_line(text: &[u8], read: impl Fn(&[u8]) -> String) -> String {
    text.split(|&byte| byte == b'\n').map(read).collect()
}

fn outcome<T: Debug>(parsed: Result<T, proc::ParseError>) -> String {
    match parsed {
        Ok(value) => format!("{value:#?}\n"),
        Err(error) => format!("error: {error}\n"),
    }
}

fn replay(folder: &str, read: impl Fn(&[u8]) -> String) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(folder);
    let mut count = 0;
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let sample = entry?.path();
        if sample.extension().is_some_and(|ending| ending == "expect") {
            continue;
        }
        let name = || sample.display();
        let got = read(&fs::read(&sample).with_context(|| format!("cannot read {}", name()))?);
        let expect = sample.with_extension("expect");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expect, &got).with_context(|| format!("cannot write {}", expect.display()))?;
        }
        let expected = fs::read_to_string(&expect).unwrap_or_default();
        ensure!(
            got == expected,
            "{}: read\n{got}instead of\n{expected}run again with UPDATE=1 and look at the difference",
            name()
        );
        count += 1;
    }
    ensure!(count >= 9, "{}: {count} samples, the corpus is not whole", folder.display());
    Ok(())
}
