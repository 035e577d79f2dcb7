//! Whatever is written gives settings or faults with words; the corpus is replayed.

use proptest::prelude::*;

use super::super::section;
use super::{Faults, read};
use crate::core::policy::{Amount, Settings};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fuzz/corpus/config");

fn verdict(text: &str) -> String {
    match read(text) {
        Ok(_) => "valid\n".to_owned(),
        Err(faults) => format!("{faults}\n"),
    }
}

/// Each sample gives what stands in the `.expect` file beside it. `UPDATE=1` writes those files anew.
#[test]
fn corpus_replayed() {
    let mut replayed = 0;
    for entry in std::fs::read_dir(CORPUS).expect("the corpus") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|extension| extension == "expect") {
            continue;
        }
        let got = verdict(&String::from_utf8_lossy(&std::fs::read(&path).expect("its text")));
        let expect = path.with_extension("expect");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&expect, &got).expect("a writable corpus");
        }
        assert_eq!(got, std::fs::read_to_string(&expect).unwrap_or_default(), "{}", path.display());
        replayed += 1;
    }
    assert!(replayed >= 12, "only {replayed} files in {CORPUS}");
}

/// Every fault can be found and mended; what is accepted keeps what the engine relies on.
fn holds(text: &str, outcome: Result<Settings, Faults>) -> Result<(), TestCaseError> {
    match outcome {
        Err(faults) => {
            prop_assert!(!faults.list().is_empty());
            for fault in faults.list() {
                let line = fault.line.unwrap_or_default();
                prop_assert!((1..=text.matches('\n').count() + 1).contains(&line), "{fault:?}");
                prop_assert!(!fault.problem.is_empty() && !fault.remedy.is_empty(), "{fault:?}");
                prop_assert!(!fault.to_string().contains(['\u{1b}', '\r']), "{fault:?}");
            }
        }
        Ok(settings) => sound(&settings)?,
    }
    Ok(())
}

fn sound(settings: &Settings) -> Result<(), TestCaseError> {
    for scope in &settings.scopes {
        let bounds = scope.bounds.as_ref().expect("bounds");
        if let (Amount::Share(lower), Amount::Share(upper)) = (bounds.lower, bounds.upper) {
            prop_assert!(lower < upper && upper <= 10_000);
        }
    }
    for pool in settings.pools.iter().chain(&settings.found_pools) {
        prop_assert!(pool.at_once > 0 && pool.rounds > 0 && pool.deadline_ns > 0);
        prop_assert!(pool.soft.zip(pool.hard).is_none_or(|(soft, hard)| soft < hard));
    }
    for pool in &settings.pools {
        prop_assert!(!pool.matching.is_all());
    }
    prop_assert!(settings.budget.kills > 0 && settings.returned_within_ns > 0);
    Ok(())
}

/// A line of TOML: a heading, or a key that exists with a value that may be one of its own.
fn line() -> impl Strategy<Value = String> {
    let headings: Vec<_> = section::ALL
        .iter()
        .map(|section| section.heading)
        .filter(|heading| heading.starts_with('['))
        .map(str::to_owned)
        .collect();
    let names: Vec<_> = section::ALL.iter().flat_map(|section| section.rows).map(|row| row.name).collect();
    let values = [
        "true",
        "0",
        "1",
        "2",
        "3.5",
        "'80%'",
        "'92%'",
        "'101%'",
        "'512MiB'",
        "'2GiB'",
        "'1B'",
        "2048",
        "'30s'",
        "'0s'",
        "'1h'",
        "'all'",
        "'uwsgi'",
        "'gunicorn'",
        "'celery'",
        "'rss'",
        "'enforce'",
        "'master'",
        "'SIGTERM'",
        "'SIGKILL'",
        "'high'",
        "'signal-touched'",
        "'signal-mapped'",
        "'refuse'",
        "'/a/b'",
        "['/bin/x', 'y']",
        "[]",
        "{}",
        "{ exe = 'app' }",
        "{ exe = 'sshd' }",
        "{ comm = 'app' }",
        "{ unit = ['a*', 'b'], uid = 33 }",
        "[{ at = '85%', count = 2 }]",
        "1979-05-27",
        "\"\\u001b[1m\"",
        "nan",
        "oops",
        "'",
    ];
    prop_oneof![
        1 => prop::sample::select(headings),
        5 => (prop::sample::select(names), prop::sample::select(values.to_vec()))
            .prop_map(|(name, value)| format!("{name} = {value}")),
    ]
}

proptest! {
    #[test]
    fn any_text(text in "\\PC{0,200}") {
        holds(&text, read(&text))?;
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        holds(&text, read(&text))?;
    }

    #[test]
    fn any_lines(lines in prop::collection::vec(line(), 0..14)) {
        let text = lines.join("\n");
        holds(&text, read(&text))?;
    }

    /// The sample with one part of it gone.
    #[test]
    fn any_cut(from in 0usize..4000, length in 0usize..40) {
        let sample = include_str!("../../../../config/memwatch.toml");
        let text: String = sample.chars().take(from).chain(sample.chars().skip(from + length)).collect();
        holds(&text, read(&text))?;
    }
}
