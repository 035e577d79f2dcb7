//! What the trigger did, for the test that started it.

use anyhow::Context as _;
use serde_json::{Map, Value};

/// Collected while acting, written once afterwards: writing maps memory of its own.
pub(crate) struct Report {
    values: Map<String, Value>,
}

impl Report {
    /// An empty report that holds the process id.
    pub(crate) fn new() -> Self {
        let mut report = Self { values: Map::new() };
        report.add("pid", std::process::id());
        report
    }

    /// Adds one value.
    pub(crate) fn add(&mut self, key: &str, value: impl Into<Value>) {
        self.values.insert(key.to_owned(), value.into());
    }

    /// Writes the report where the test asked for it; nothing when it did not.
    pub(crate) fn write(&self) -> anyhow::Result<()> {
        let Some(path) = std::env::var_os("MEMWATCH_TRIGGER_REPORT") else { return Ok(()) };
        // Renamed into place, so that a test that waits for the file never reads half of it.
        let unfinished = std::path::Path::new(&path).with_extension("unfinished");
        std::fs::write(&unfinished, Value::Object(self.values.clone()).to_string())
            .and_then(|()| std::fs::rename(&unfinished, &path))
            .with_context(|| format!("write the report {}", std::path::Path::new(&path).display()))
    }
}
