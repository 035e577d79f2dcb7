//! A finding as a block: a line like any other, then what it rests on, then the advice.

use std::io::Write;

use memwatch_ebpf::abi::state::{LEARNED_READ_HARD, LEARNED_SET};

use super::details::{push_args, push_place};
use super::layout::Layout;
use crate::core::detect::fd_table::{Finding, Reason, State};
use crate::core::fact::Identity;
use crate::core::quantity::{Bytes, Counted, Nanos};
use crate::enrich::cri::Containers;
use crate::export::{escape, kernel_names, words};

/// Appends the finding in one phrase.
pub(crate) fn push_headline(finding: &Finding, out: &mut Vec<u8>) {
    let confidence = finding.confidence.as_str();
    // Writing to a Vec cannot fail, here as below.
    let _ = match finding.state {
        State::Mapped | State::Touched => write!(
            out,
            "{} mapped, {} touched",
            Bytes(finding.total_bytes.max(finding.bytes)),
            Bytes(finding.touched_bytes)
        ),
        State::Failed => {
            let error = kernel_names::errno(finding.result).unwrap_or("an error");
            write!(out, "{} refused with {error}", Bytes(finding.bytes))
        }
    };
    let last = if finding.last { ", process ended" } else { "" };
    let _ = write!(out, " ({confidence} confidence{last})");
}

/// Appends what the finding rests on, and its advice.
pub(super) fn push_block(finding: &Finding, containers: &Containers, layout: &Layout, out: &mut Vec<u8>) {
    layout.paragraph("table", &arithmetic(finding), out);
    layout.paragraph("limit", &origin(finding), out);
    layout.paragraph("process", &describe(&finding.process, containers), out);
    because(finding.reasons.iter(), layout, out);
    layout.paragraph("advice", &shown(finding.advice.as_bytes()), out);
}

/// Appends the signs that were not told before.
pub(super) fn push_news(finding: &Finding, told: &[&str], layout: &Layout, out: &mut Vec<u8>) {
    because(finding.reasons.iter().filter(|reason| !told.contains(&reason.code)), layout, out);
}

/// Appends what speaks for and against a finding.
pub(crate) fn because<'a>(reasons: impl Iterator<Item = &'a Reason>, layout: &Layout, out: &mut Vec<u8>) {
    let texts: Vec<_> = reasons.map(|reason| shown(reason.text.as_bytes())).collect();
    if !texts.is_empty() {
        layout.paragraph("because", &texts.join("; "), out);
    }
}

fn arithmetic(finding: &Finding) -> String {
    let mut text = format!(
        "one slot per descriptor: {} x {} bytes + {} over = {} by {} ({} fit)",
        finding.learned.limit,
        finding.element_bytes,
        finding.overhead_bytes,
        Bytes(finding.bytes),
        finding.source.as_str(),
        words::fit(finding.fit).replace('_', " ")
    );
    if finding.total_bytes > finding.bytes {
        text += &format!("; all tables of the process: {}", Bytes(finding.total_bytes));
    }
    text
}

fn origin(finding: &Finding) -> String {
    let learned = finding.learned;
    let how = match learned.how {
        LEARNED_SET => "set",
        LEARNED_READ_HARD => "read as hard limit",
        _ => "read",
    };
    let mut text = format!("{} {how} by process {}", learned.limit, learned.tgid);
    if let Some(by) = &finding.learned_by {
        text += &format!(" ({})", shown(&by.comm));
    }
    if learned.forks > 0 {
        text += &format!(", {} before", Counted(learned.forks, "fork"));
    }
    if let Some(lag_ns) = finding.lag_ns {
        text += &format!(", {} before the memory was asked for", Nanos(lag_ns));
    }
    if let Some(origin) = &finding.origin {
        text += &format!("; {}", shown(origin.in_words().as_bytes()));
    }
    text
}

/// The program that a process runs, with its arguments and the place it runs in.
pub(crate) fn describe(identity: &Identity, containers: &Containers) -> String {
    let mut text = Vec::new();
    match &identity.exe {
        Some(exe) => escape::terminal(exe, &mut text),
        None => escape::terminal(&identity.comm, &mut text),
    }
    if identity.args.len() > 1 {
        text.push(b' ');
        push_args(identity, 1, &mut text);
    }
    push_place(identity, containers, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A text that cannot steer a terminal.
pub(crate) fn shown(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    escape::terminal(bytes, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}
