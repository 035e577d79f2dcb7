//! A row for each process at risk, and below it what the row rests on.

use std::io::{self, Write};

use super::Report;
use crate::core::exposure::{Exposure, Risk};
use crate::core::quantity::{Bytes, Limit};
use crate::enrich::cri::Containers;
use crate::export::escape;
use crate::export::table::layout::{Layout, Paint, cut};
use crate::export::table::{because, describe, shown};
use crate::export::words;
use crate::export::wrap::wrap;

/// Writes the whole report.
pub(super) fn write(report: &Report, width: usize, coloured: bool, out: &mut impl Write) -> io::Result<()> {
    let layout = Layout::new(width, coloured);
    let mut lines = Vec::new();
    let room = comm_room(layout);
    if !report.exposures.is_empty() {
        writeln!(
            out,
            "{:>7} {:<room$} {:<8} {:>10} {:>10} {:>10} {:>10} SURE",
            "PID", "COMM", "RISK", "AT RISK", "TOUCHED", "KERNEL", "NOFILE"
        )?;
    }
    for exposure in &report.exposures {
        row(exposure, layout, &mut lines);
        block(exposure, layout, &mut lines);
        out.write_all(&lines)?;
        lines.clear();
    }
    wrap(&report.summary(), (0, 2), width, &mut lines);
    out.write_all(&lines)
}

/// What is left for the name of a process.
fn comm_room(layout: Layout) -> usize {
    layout.room(7 + 1 + 1 + 8 + 4 * 11 + 7, 8, 15)
}

fn row(exposure: &Exposure, layout: Layout, out: &mut Vec<u8>) {
    let room = comm_room(layout);
    let mut comm = Vec::new();
    escape::terminal(&exposure.process.comm, &mut comm);
    let bytes = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), |bytes| Bytes(bytes).to_string());
    let touched = match &exposure.risk {
        Risk::Table { touched, .. } => *touched,
        Risk::Expected { .. } | Risk::Kernel => None,
    };
    // Writing to a Vec cannot fail, here as below.
    let _ = write!(
        out,
        "{:>7} {:<room$} {:<8} ",
        exposure.process.key.tgid,
        cut(&String::from_utf8_lossy(&comm), room),
        exposure.risk.as_str()
    );
    layout.painted(Paint::Alarm, &format!("{:>10}", bytes(Some(exposure.at_risk()))), out);
    let _ = writeln!(
        out,
        " {:>10} {:>10} {:>10} {}",
        bytes(touched),
        bytes(exposure.kernel_bytes()),
        Limit(exposure.limits.soft).to_string(),
        exposure.confidence().as_str()
    );
}

fn block(exposure: &Exposure, layout: Layout, out: &mut Vec<u8>) {
    if let Some(text) = arithmetic(exposure) {
        layout.paragraph("table", &text, out);
    }
    layout.paragraph("limit", &limit(exposure), out);
    layout.paragraph("process", &describe(&exposure.process, &Containers::none()), out);
    because(exposure.reasons().iter(), &layout, out);
    layout.paragraph("advice", &shown(exposure.advice().as_bytes()), out);
}

fn arithmetic(exposure: &Exposure) -> Option<String> {
    match &exposure.risk {
        Risk::Table { finding, .. } => {
            let mut text = format!(
                "one slot per descriptor: {} x {} bytes + {} over = {} ({} fit)",
                finding.learned.limit,
                finding.element_bytes,
                finding.overhead_bytes,
                Bytes(finding.bytes),
                words::fit(finding.fit).replace('_', " ")
            );
            if finding.total_bytes > finding.bytes {
                text += &format!("; all tables of the process: {}", Bytes(finding.total_bytes));
            }
            Some(text)
        }
        Risk::Expected { expectation, limit, .. } => Some(format!(
            "after the next start at least {}: {limit} x {} bytes, one slot per descriptor",
            Bytes(expectation.bytes(*limit)),
            expectation.element()
        )),
        Risk::Kernel => None,
    }
}

fn limit(exposure: &Exposure) -> String {
    let (soft, hard) = (Limit(exposure.limits.soft), Limit(exposure.limits.hard));
    let from = exposure
        .origin
        .as_ref()
        .map_or_else(|| "origin not known".to_owned(), |origin| shown(origin.in_words().as_bytes()));
    format!("soft {soft}, hard {hard}: {from}")
}
