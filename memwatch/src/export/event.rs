//! What an exporter is handed: one event, told for programs and for people.

use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Kinds of events, without the `memwatch.` that their names begin with.
pub const KINDS: [&str; 4] = ["decision", "closing", "warning", "true_use"];

/// How much an event matters to who runs the host, the least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Figures, and ends as they should be.
    #[default]
    Info,
    /// Somebody is asked, or a pool changes.
    Notice,
    /// Somebody is killed, or something should be looked at.
    Warning,
    /// Something did not work, or nothing can be done any more.
    Error,
}

impl Severity {
    /// All of them with their names, the least first.
    pub const ALL: [(&'static str, Self); 4] =
        [("info", Self::Info), ("notice", Self::Notice), ("warning", Self::Warning), ("error", Self::Error)];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    /// `memwatch.` and its kind.
    pub name: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// One flat JSON object and the end of the line.
    pub object: Vec<u8>,
    /// The same in words, one line without its end; `None`: figures, of which nothing is said.
    pub sentence: Option<String>,
}

impl Event {
    /// Its kind: one of [`KINDS`], or that of a loss.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.name.strip_prefix("memwatch.").unwrap_or(self.name)
    }
}

/// Keys and values of a flat object in their order; empty when it is none.
#[must_use]
pub fn fields(object: &[u8]) -> Vec<(&str, &RawValue)> {
    struct Flat;
    impl<'de> Visitor<'de> for Flat {
        type Value = Vec<(&'de str, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut fields = Vec::new();
            while let Some(field) = map.next_entry()? {
                fields.push(field);
            }
            Ok(fields)
        }
    }
    // Our own keys have nothing to escape, so that they can be borrowed.
    serde_json::Deserializer::from_slice(object).deserialize_map(Flat).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order() {
        let object = b"{\"b\":1,\"a\":[\"x\",\"y\"],\"c\":\"d\\n\"}\n";
        let fields: Vec<_> = fields(object).into_iter().map(|(key, value)| (key, value.get())).collect();
        assert_eq!(fields, [("b", "1"), ("a", "[\"x\",\"y\"]"), ("c", "\"d\\n\"")]);
        assert!(super::fields(b"no object").is_empty());
    }

    #[test]
    fn severities_have_an_order_and_names() {
        assert!(Severity::ALL.is_sorted_by_key(|(_, severity)| severity));
        assert!(Severity::ALL.iter().all(|(name, severity)| severity.name() == *name));
    }
}
