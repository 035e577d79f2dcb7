//! The fields of what a scan found.

use super::Json;
use super::line::Line;
use super::origin;
use super::process;
use crate::core::exposure::{Exposure, Risk};
use crate::export::schema::{Name, fields};
use crate::export::subject::known;
use crate::export::words;

const ORIGIN: origin::Keys = origin::Keys {
    origin: &fields::EXPOSURE_ORIGIN,
    unit: &fields::EXPOSURE_ORIGIN_UNIT,
    file: &fields::EXPOSURE_ORIGIN_FILE,
    pid: &fields::EXPOSURE_ORIGIN_PID,
    comm: &fields::EXPOSURE_ORIGIN_COMM,
};

impl Json {
    /// Appends what a scan found of a process.
    pub fn exposure(&self, exposure: &Exposure, out: &mut Vec<u8>) {
        let mut line = Line::begin(Name::Exposure, exposure.time_ns, self.clock, out);
        process::write_identity(&mut line, &exposure.process, &self.containers);
        line.word(&fields::EXPOSURE_KIND, exposure.risk.as_str());
        line.number(&fields::EXPOSURE_AT_RISK, exposure.at_risk());
        risk(&mut line, exposure);
        // A limit that is unlimited has no number; of descriptors the kernel knows none.
        line.maybe(&fields::EXPOSURE_SOFT, known(exposure.limits.soft, u64::MAX));
        line.maybe(&fields::EXPOSURE_HARD, known(exposure.limits.hard, u64::MAX));
        if let Some(from) = &exposure.origin {
            origin::write(&mut line, &ORIGIN, from);
        }
        line.maybe(&fields::EXPOSURE_KERNEL_SLOTS, exposure.kernel_slots);
        line.maybe(&fields::EXPOSURE_KERNEL, exposure.kernel_bytes());
        line.word(&fields::EXPOSURE_CONFIDENCE, exposure.confidence().as_str());
        let reasons = exposure.reasons();
        line.texts(&fields::EXPOSURE_REASONS, reasons.iter().map(|reason| reason.code));
        line.texts(&fields::EXPOSURE_REASON_TEXTS, reasons.iter().map(|reason| &reason.text));
        line.text(&fields::EXPOSURE_ADVICE, exposure.advice().as_bytes());
        line.end();
    }
}

fn risk(line: &mut Line<'_>, exposure: &Exposure) {
    match &exposure.risk {
        Risk::Table { finding, touched } => {
            line.number(&fields::EXPOSURE_MAPPED, finding.total_bytes);
            line.maybe(&fields::EXPOSURE_TOUCHED, *touched);
            line.number(&fields::EXPOSURE_LIMIT, finding.learned.limit);
            line.number(&fields::EXPOSURE_ELEMENT, finding.element_bytes);
            line.number(&fields::EXPOSURE_BYTES, finding.bytes);
            line.number(&fields::EXPOSURE_OVERHEAD, finding.overhead_bytes);
            line.word(&fields::EXPOSURE_FIT, words::fit(finding.fit));
            line.hex(&fields::EXPOSURE_ADDRESS, finding.result.cast_unsigned());
        }
        Risk::Expected { expectation, limit, changed } => {
            line.number(&fields::EXPOSURE_EXPECTED, expectation.bytes(*limit));
            line.number(&fields::EXPOSURE_LIMIT, *limit);
            if let Some(file) = changed {
                line.text(&fields::EXPOSURE_CHANGED, file.as_bytes());
            }
            line.number(&fields::EXPOSURE_ELEMENT, expectation.element());
            line.word(&fields::EXPOSURE_PROGRAM, expectation.program());
        }
        Risk::Kernel => {}
    }
}
