//! A report as JSON and as a table: nothing unknown is written, losses are counted, names do no harm.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::*;
use crate::core::exposure::Risk;
use crate::core::fact::Identity;
use crate::export::samples;

fn report(exposures: Vec<Exposure>) -> Report {
    let unread = Unread { processes: 1, memory: 2, residence: 0 };
    Report { exposures, unread, scanned: 7, took: Duration::from_millis(5) }
}

fn lines(report: &Report) -> Vec<Map<String, Value>> {
    let mut out = Vec::new();
    report.json(&mut out).expect("a Vec takes all");
    let text = String::from_utf8(out).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

#[test]
fn what_is_found_and_then_what_was_lost() {
    let lines = lines(&report(samples::exposures()));
    let (found, lost) = lines.split_at(4);
    assert_eq!(found[0]["memwatch.exposure.limit_origin"], "unit");
    assert_eq!(found[1]["memwatch.exposure.expected_bytes"], 8_000_024);
    assert_eq!(found[2]["memwatch.exposure.at_risk_bytes"], 64 * 8 + 16);
    assert_eq!(found[3]["memwatch.exposure.limit_origin_pid"], 8);
    let counted: Vec<_> = lost
        .iter()
        .map(|line| (line["memwatch.lost.kind"].as_str(), line["memwatch.lost.count"].as_u64()))
        .collect();
    assert_eq!(counted, [(Some("scan_processes"), Some(1)), (Some("scan_memory"), Some(2))]);
}

#[test]
fn what_is_not_known_is_left_out() {
    let risk = Risk::Table { finding: Box::new(samples::finding()), touched: None };
    let unknown = Exposure { kernel_slots: None, ..samples::exposure(risk, None) };
    let line = &lines(&report(vec![unknown]))[0];
    for key in ["touched_bytes", "limit_origin", "limit_origin_file", "kernel_slots", "kernel_bytes"] {
        assert!(!line.contains_key(&format!("memwatch.exposure.{key}")), "{key}");
    }
}

#[test]
fn a_table_for_people() {
    let mut exposures = samples::exposures();
    let hostile = Identity { comm: b"\x1b[31mred\n".to_vec(), ..samples::identity() };
    exposures[1].process = Arc::new(hostile);
    let mut out = Vec::new();
    report(exposures).table(120, false, &mut out).expect("a Vec takes all");
    let text = String::from_utf8(out).expect("UTF-8");
    assert!(text.contains("LimitNOFILE of a.service in /etc/systemd/a"), "{text}");
    assert!(text.contains("\\x1b[31mred") && !text.contains('\x1b'), "{text}");
    assert!(text.contains("at risk: 4,") && text.contains("not seen: 1 process of which"), "{text}");
}

#[test]
fn the_dearest_come_first() {
    let mut all = samples::exposures();
    all.reverse();
    all.sort_by_cached_key(|exposure| exposure.rank());
    assert!(all.is_sorted_by_key(|exposure| std::cmp::Reverse(exposure.at_risk())));
}
