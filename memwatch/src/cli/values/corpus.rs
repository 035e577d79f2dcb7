//! Whatever a filter is given is a value or an error with words; the corpus is replayed.

use std::fmt::Write as _;
use std::time::Duration;

use proptest::prelude::*;

use super::{Pattern, parse_comm, parse_duration, parse_pid, parse_size, parse_uid, parse_whole};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/corpus/filters");

/// Names that processes give themselves.
const NAMES: [&[u8]; 9] = [
    b"nginx",
    b"uwsgi-http",
    b"averyveryverylong",
    b"kworker/u8:1-ev",
    b"/usr/bin/true",
    b"/usr/bin/python3.11",
    b"\x1b[31mred",
    b"bad\xff\xfe",
    b"",
];

/// What a filter makes of a text: one line.
fn verdict(filter: &str, text: &str) -> String {
    let number = |value: Result<u64, String>| value.map(|value| value.to_string());
    let told = match filter {
        "comm" => parse_comm(text).map(|pattern| matched(&pattern)),
        "exe" => Pattern::parse(text).map(|pattern| matched(&pattern)),
        "pid" => number(parse_pid(text).map(u64::from)),
        "uid" => number(parse_uid(text).map(u64::from)),
        "size" => number(parse_size(text)),
        "duration" => parse_duration(text).map(|value: Duration| format!("{value:?}")),
        "whole" => number(parse_whole(text, 1..=u64::MAX)),
        other => panic!("no filter is called {other}"),
    };
    told.unwrap_or_else(|error| format!("error: {error}"))
}

fn matched(pattern: &Pattern) -> String {
    let names = NAMES.iter().filter(|name| pattern.matches(name));
    let names: Vec<_> = names.map(|name| name.escape_ascii().to_string()).collect();
    format!("matches {names:?}")
}

/// Each file is called like its filter and has a text a line; `.expect` has what comes of each. `UPDATE=1` writes those anew.
#[test]
fn corpus_replayed() {
    let mut replayed = 0;
    for entry in std::fs::read_dir(CORPUS).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "expect") {
            continue;
        }
        let filter = path.file_name().and_then(|name| name.to_str()).expect("a filter's name");
        let mut got = String::new();
        for text in std::fs::read_to_string(&path).expect("its texts").lines() {
            writeln!(got, "{}", verdict(filter, text)).expect("a String");
            replayed += 1;
        }
        let expect = path.with_extension("expect");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expect, &got).expect("a writable corpus");
        }
        assert_eq!(got, std::fs::read_to_string(&expect).unwrap_or_default(), "{}", path.display());
    }
    assert!(replayed >= 70, "only {replayed} texts in {CORPUS}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Nothing panics or hangs, and an error repeats what was written.
    #[test]
    fn any_text_for_any_filter(text in "\\PC{0,40}", bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
        for filter in ["comm", "exe", "pid", "uid", "size", "duration", "whole"] {
            let told = verdict(filter, &text);
            prop_assert!(!told.is_empty());
            if filter != "exe" && filter != "comm" && told.starts_with("error") {
                prop_assert!(told.contains(&text), "{filter}: {told}");
            }
        }
        if let Ok(pattern) = Pattern::parse(&text) {
            // Any bytes may be a name.
            let _ = pattern.matches(&bytes);
        }
    }
}
