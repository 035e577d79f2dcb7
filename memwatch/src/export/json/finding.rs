//! The fields of a finding.

use memwatch_ebpf::abi::state::Learned;

use super::line::Line;
use super::origin;
use crate::core::detect::fd_table::Finding;
use crate::export::schema::fields;
use crate::export::subject::known;
use crate::export::words;

const ORIGIN: origin::Keys = origin::Keys {
    origin: &fields::TABLE_ORIGIN,
    unit: &fields::TABLE_ORIGIN_UNIT,
    file: &fields::TABLE_ORIGIN_FILE,
    pid: &fields::TABLE_ORIGIN_PID,
    comm: &fields::TABLE_ORIGIN_COMM,
};

pub(super) fn write(line: &mut Line<'_>, finding: &Finding) {
    line.number(&fields::TABLE_ID, finding.id);
    line.flag(&fields::TABLE_LAST, finding.last);
    line.number(&fields::TABLE_LIMIT, finding.learned.limit);
    line.number(&fields::TABLE_ELEMENT, finding.element_bytes);
    line.number(&fields::TABLE_BYTES, finding.bytes);
    line.number(&fields::TABLE_TOTAL, finding.total_bytes);
    line.number(&fields::TABLE_OVERHEAD, finding.overhead_bytes);
    line.word(&fields::TABLE_FIT, words::fit(finding.fit));
    line.maybe(&fields::TABLE_LAG, finding.lag_ns);
    line.maybe(&fields::TABLE_ASKED_TID, finding.asked_by.map(u64::from));
    line.word(&fields::TABLE_SOURCE, finding.source.as_str());
    line.word(&fields::TABLE_STATE, finding.state.as_str());
    line.result(Some(&fields::TABLE_ADDRESS), &fields::TABLE_ERROR, finding.result);
    line.number(&fields::TABLE_TOUCHED, finding.touched_bytes);
    line.number(&fields::TABLE_ORDINAL, finding.ordinal);
    line.word(&fields::TABLE_CONFIDENCE, finding.confidence.as_str());
    line.texts(&fields::TABLE_REASONS, finding.reasons.iter().map(|reason| reason.code));
    line.texts(&fields::TABLE_REASON_TEXTS, finding.reasons.iter().map(|reason| &reason.text));
    if let Some(from) = &finding.origin {
        origin::write(line, &ORIGIN, from);
    }
    line.text(&fields::TABLE_ADVICE, finding.advice.as_bytes());
    let Learned { time_ns, tgid, tid, how, forks, limit: _ } = finding.learned;
    if let Some(how) = words::learned(how) {
        line.word(&fields::TABLE_LEARNED_HOW, how);
    }
    line.maybe(&fields::TABLE_LEARNED_NS, known(time_ns, 0));
    line.maybe(&fields::TABLE_LEARNED_PID, known(tgid, 0));
    line.maybe(&fields::TABLE_LEARNED_TID, known(tid, 0));
    if let Some(by) = &finding.learned_by {
        line.text(&fields::TABLE_LEARNED_COMM, &by.comm);
    }
    line.number(&fields::TABLE_LEARNED_FORKS, forks);
}
