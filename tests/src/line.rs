//! Lines of the JSON stream, and the look-ups and comparisons that tests make in them.

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};

/// One line: a flat object.
#[derive(Clone, Debug)]
pub struct Line {
    values: Map<String, Value>,
}

impl Line {
    /// Parses a line of the stream.
    ///
    /// # Errors
    /// It is no JSON object, is not flat, or lacks a name of ours or the schema version.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_str(text).with_context(|| format!("not JSON: {text}"))?;
        let Value::Object(values) = value else { bail!("not an object: {text}") };
        for (key, value) in &values {
            ensure!(!value.is_object(), "{key} is nested: {text}");
        }
        let line = Self { values };
        ensure!(!line.name().is_empty(), "no event.name of memwatch: {text}");
        ensure!(line.values.contains_key("memwatch.schema_version"), "no schema version: {text}");
        Ok(line)
    }

    /// The event's name without `memwatch.`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.values
            .get("event.name")
            .and_then(Value::as_str)
            .and_then(|name| name.strip_prefix("memwatch."))
            .unwrap_or_default()
    }

    /// All of its keys and values.
    pub fn values(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.values.iter()
    }

    /// A value by its whole key (with a dot that is not ours: `process.pid`) or, for a bare field, of this event.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).or_else(|| self.values.get(&format!("memwatch.{}.{key}", self.name())))
    }

    /// A whole number.
    ///
    /// # Errors
    /// The key is missing or no whole number.
    pub fn number(&self, key: &str) -> anyhow::Result<u64> {
        self.get(key).and_then(Value::as_u64).with_context(|| format!("no whole number {key} in {self}"))
    }

    /// A text.
    ///
    /// # Errors
    /// The key is missing or no text.
    pub fn text(&self, key: &str) -> anyhow::Result<&str> {
        self.get(key).and_then(Value::as_str).with_context(|| format!("no text {key} in {self}"))
    }

    /// An address, which is written as hexadecimal text.
    ///
    /// # Errors
    /// The key is missing or no address.
    pub fn address(&self, key: &str) -> anyhow::Result<u64> {
        let digits =
            self.text(key)?.strip_prefix("0x").with_context(|| format!("no address {key} in {self}"))?;
        u64::from_str_radix(digits, 16).with_context(|| format!("no address {key} in {self}"))
    }

    /// The process that did it.
    #[must_use]
    pub fn pid(&self) -> u64 {
        self.get("process.pid").and_then(Value::as_u64).unwrap_or(0)
    }

    /// Whether a key has exactly this value.
    #[must_use]
    pub fn is(&self, key: &str, value: impl Into<Value>) -> bool {
        self.get(key) == Some(&value.into())
    }

    /// Compares several keys at once.
    ///
    /// # Errors
    /// Names every key whose value differs.
    pub fn expect(&self, expected: &[(&str, Value)]) -> anyhow::Result<()> {
        let wrong: Vec<String> = expected
            .iter()
            .filter(|(key, value)| self.get(key) != Some(value))
            .map(|(key, value)| match self.get(key) {
                Some(found) => format!("{key} is {found}, not {value}"),
                None => format!("{key} is missing, not {value}"),
            })
            .collect();
        ensure!(wrong.is_empty(), "{} in {self}", wrong.join("; "));
        Ok(())
    }
}

/// An address as the stream writes it.
#[must_use]
pub fn hex(address: u64) -> Value {
    format!("{address:#x}").into()
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Value::Object(self.values.clone()).fmt(f)
    }
}

/// The one line of a name that fits.
///
/// # Errors
/// None fits, or several; the message shows the lines of that name.
pub fn one<'a>(lines: &'a [Line], name: &str, fits: impl Fn(&Line) -> bool) -> anyhow::Result<&'a Line> {
    let count = lines.iter().filter(|line| line.name() == name && fits(line)).count();
    ensure!(count == 1, "{count} lines {name} fit, not 1; of this name are:\n{}", shown(lines, name));
    first(lines, name, fits)
}

/// The first line of a name that fits.
///
/// # Errors
/// None does; the message shows the lines of that name.
pub fn first<'a>(lines: &'a [Line], name: &str, fits: impl Fn(&Line) -> bool) -> anyhow::Result<&'a Line> {
    let found = lines.iter().find(|line| line.name() == name && fits(line));
    found.with_context(|| format!("no line {name} fits; of this name are:\n{}", shown(lines, name)))
}

/// Lines of a name, as many as a person reads.
fn shown(lines: &[Line], name: &str) -> String {
    let of_name: Vec<String> =
        lines.iter().filter(|line| line.name() == name).take(20).map(ToString::to_string).collect();
    of_name.join("\n")
}

/// No line of a name fits.
///
/// # Errors
/// One does; the message shows it.
pub fn none(lines: &[Line], name: &str, fits: impl Fn(&Line) -> bool) -> anyhow::Result<()> {
    match lines.iter().find(|line| line.name() == name && fits(line)) {
        Some(line) => bail!("unexpected: {line}"),
        None => Ok(()),
    }
}
