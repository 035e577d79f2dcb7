//! Replays `fuzz/corpus`: each sample is read by the parser its folder is named after, and what comes out is compared with
//! the `.expect` file beside it. `UPDATE=1` writes those files anew; a sample without one is a failure.

use std::fmt::Debug;
use std::fs;
use std::path::Path;

use memwatch::enrich::{cgroup, container, proc};

#[test]
fn proc_stat() {
    replay("proc_stat", |text| outcome(proc::parse_stat(text)));
}

#[test]
fn proc_status() {
    replay("proc_status", |text| outcome(proc::parse_status(text)));
}

#[test]
fn proc_cgroup() {
    replay("proc_cgroup", |text| outcome(proc::parse_cgroups(text)));
}

#[test]
fn proc_limits() {
    replay("proc_limits", |text| {
        let listed = |limits: proc::Limits| {
            (0..16).filter_map(|resource| Some((resource, limits.get(resource)?))).collect::<Vec<_>>()
        };
        outcome(proc::parse_limits(text).map(listed))
    });
}

#[test]
fn cgroup_path() {
    replay("cgroup_path", |text| {
        let path = String::from_utf8_lossy(text);
        format!("{:#?}\nunit: {:?}\n", container::container_of(&path), container::unit_of(&path))
    });
}

#[test]
fn mountinfo() {
    replay("mountinfo", |text| {
        let mounts = cgroup::parse_mounts(text);
        format!("{mounts:#?}\nwidest: {:?}\n", cgroup::widest_unified(&mounts))
    });
}

fn outcome<T: Debug>(parsed: Result<T, proc::ParseError>) -> String {
    match parsed {
        Ok(value) => format!("{value:#?}\n"),
        Err(error) => format!("error: {error}\n"),
    }
}

fn replay(folder: &str, read: impl Fn(&[u8]) -> String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(folder);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let sample = entry.unwrap().path();
        if sample.extension().is_some_and(|ending| ending == "expect") {
            continue;
        }
        let got = read(&fs::read(&sample).unwrap());
        let expect = sample.with_extension("expect");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expect, &got).unwrap();
        }
        let expected = fs::read_to_string(&expect).unwrap_or_default();
        assert_eq!(got, expected, "{}; run again with UPDATE=1 and read the difference", sample.display());
        count += 1;
    }
    assert!(count >= 9, "{}: {count} samples, the corpus is not whole", folder.display());
}
