//! docs/audit.md, made from the table of keys.

use super::keys::ALL;
use crate::export::flat;

/// Text in front of the tables.
const INTRODUCTION: &str = include_str!("page.md");

/// The page.
#[must_use]
pub fn audit_md() -> String {
    flat::page(INTRODUCTION, ALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_audit_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/audit.md");
        let page = audit_md();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).expect("a writable docs/");
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(committed == page, "docs/audit.md differs from the keys: run `cargo xtask docs`");
    }
}
