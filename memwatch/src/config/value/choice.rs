//! Values of a few words.

use toml::de::DeValue;

use super::{Form, Misfit, Value, text};
use crate::core::policy;
use crate::export::event::Severity;
use crate::export::otlp;
use crate::export::route::Form as Lines;

/// One of a few words.
fn choose<T: Form, C: Copy>(value: &DeValue<'_>, words: &[(&str, C)]) -> Result<C, Misfit> {
    let written = text::<T>(value)?;
    words.iter().find(|(word, _)| *word == written).map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        Misfit::new("there is no such choice", format!("write {}", words.join(" or ")))
    })
}

/// Whether commands are carried out.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Mode(pub(in crate::config) policy::Mode);

impl Default for Mode {
    fn default() -> Self {
        Self(policy::Mode::Observe)
    }
}

impl Form for Mode {
    const FORM: &'static str = "\"observe\" or \"enforce\"";
    const EXAMPLE: &'static str = "\"observe\"";
}

impl Value for Mode {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        choose::<Self, _>(value, &[("observe", policy::Mode::Observe), ("enforce", policy::Mode::Enforce)])
            .map(Self)
    }
}

/// What is done about a master that starts its victims again.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Then(pub(in crate::config) policy::Then);

impl Default for Then {
    fn default() -> Self {
        Self(policy::Then::Stop)
    }
}

impl Form for Then {
    const FORM: &'static str = "\"stop\", \"master\", \"unit\" or \"cgroup\"";
    const EXAMPLE: &'static str = "\"stop\"";
}

impl Value for Then {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let words = [
            ("stop", policy::Then::Stop),
            ("master", policy::Then::Master),
            ("unit", policy::Then::Unit),
            ("cgroup", policy::Then::Cgroup),
        ];
        choose::<Self, _>(value, &words).map(Self)
    }
}

/// What the use of a scope is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::config) enum UseOf {
    /// The sum of its processes' shares.
    #[default]
    Shares,
    /// What its cgroup truly holds.
    TrueUse,
}

impl Form for UseOf {
    const FORM: &'static str = "\"shares\" or \"true-use\"";
    const EXAMPLE: &'static str = "\"shares\"";
}

impl Value for UseOf {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        choose::<Self, _>(value, &[("shares", Self::Shares), ("true-use", Self::TrueUse)])
    }
}

/// How sure the detector is: 0 low, 1 medium, 2 high.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::config) struct Confidence(pub(in crate::config) u8);

impl Form for Confidence {
    const FORM: &'static str = "\"low\", \"medium\" or \"high\"";
    const EXAMPLE: &'static str = "\"high\"";
}

impl Value for Confidence {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        choose::<Self, _>(value, &[("low", 0), ("medium", 1), ("high", 2)]).map(Self)
    }
}

/// What is done about an fd table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::config) enum WhatToDo {
    /// It is reported.
    #[default]
    Report,
    /// The process is signalled once so much of it is touched.
    SignalTouched,
    /// The process is signalled before the first touch.
    SignalMapped,
    /// The mapping is refused.
    Refuse,
}

impl Form for WhatToDo {
    const FORM: &'static str = "\"report\", \"signal-touched\", \"signal-mapped\" or \"refuse\"";
    const EXAMPLE: &'static str = "\"report\"";
}

impl Value for WhatToDo {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let words = [
            ("report", Self::Report),
            ("signal-touched", Self::SignalTouched),
            ("signal-mapped", Self::SignalMapped),
            ("refuse", Self::Refuse),
        ];
        choose::<Self, _>(value, &words)
    }
}

/// What takes events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::config) enum To {
    /// Standard output.
    #[default]
    StandardOutput,
    /// A file.
    File,
    /// A Unix socket.
    Unix,
    /// The journal.
    Journald,
    /// A syslog server.
    Syslog,
    /// A receiver of OpenTelemetry's protocol.
    Otlp,
}

impl Form for To {
    const FORM: &'static str = "\"stdout\", \"file\", \"unix\", \"journald\", \"syslog\" or \"otlp\"";
    const EXAMPLE: &'static str = "\"stdout\"";
}

impl Value for To {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let words = [
            ("stdout", Self::StandardOutput),
            ("file", Self::File),
            ("unix", Self::Unix),
            ("journald", Self::Journald),
            ("syslog", Self::Syslog),
            ("otlp", Self::Otlp),
        ];
        choose::<Self, _>(value, &words)
    }
}

/// How a receiver of OTLP is spoken to.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::config) struct Protocol(pub(in crate::config) otlp::Protocol);

impl Form for Protocol {
    const FORM: &'static str = "\"grpc\" or \"http\"";
    const EXAMPLE: &'static str = "\"grpc\"";
}

impl Value for Protocol {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let words = [("grpc", otlp::Protocol::Grpc), ("http", otlp::Protocol::Http)];
        choose::<Self, _>(value, &words).map(Self)
    }
}

/// Form of lines.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct LineForm(pub(in crate::config) Lines);

impl Form for LineForm {
    const FORM: &'static str = "\"json\" or \"text\"";
    const EXAMPLE: &'static str = "\"json\"";
}

impl Value for LineForm {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        choose::<Self, _>(value, &[("json", Lines::Json), ("text", Lines::Text)]).map(Self)
    }
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::config) struct MinSeverity(pub(in crate::config) Severity);

impl Form for MinSeverity {
    const FORM: &'static str = "\"info\", \"notice\", \"warning\" or \"error\"";
    const EXAMPLE: &'static str = "\"warning\"";
}

impl Value for MinSeverity {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        choose::<Self, _>(value, &Severity::ALL).map(Self)
    }
}
