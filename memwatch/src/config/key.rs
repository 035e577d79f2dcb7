//! Keys: the only way to read a value, and the rows that docs/configuration.md is made of.
//!
//! Invariant: a key is read through its [`Key`], and is known to its [`Section`] by the same constant.

use std::marker::PhantomData;

use super::value::Form;

/// What holds when a key is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwritten {
    /// It has to be written.
    Required,
    /// Nothing; the words say what that means.
    Absent(&'static str),
    /// A value, as it would be written.
    Toml(&'static str),
}

/// A key whose values have a type.
#[derive(Debug)]
pub(super) struct Key<T> {
    /// Its row in the documentation.
    pub(super) row: Row,
    value: PhantomData<fn() -> T>,
}

/// A key as documented.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// Its name.
    pub(super) name: &'static str,
    /// What a value looks like.
    pub(super) form: &'static str,
    /// What holds without it.
    pub(super) unwritten: Unwritten,
    /// What it says, in one sentence.
    pub(super) doc: &'static str,
}

impl<T: Form> Key<T> {
    /// A key.
    pub(super) const fn new(name: &'static str, unwritten: Unwritten, doc: &'static str) -> Self {
        Self { row: Row { name, form: T::FORM, unwritten, doc }, value: PhantomData }
    }
}

/// A table of the file.
#[derive(Debug)]
pub(super) struct Section {
    /// How it is written in the file; empty: the top level.
    pub(super) heading: &'static str,
    /// What it is for.
    pub(super) doc: &'static str,
    /// Its keys.
    pub(super) rows: &'static [Row],
}

impl Section {
    /// Whether there is a key of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.rows.iter().any(|row| row.name == name)
    }
}

/// A table inside another: `[name]`, or `name = { … }`.
#[derive(Debug)]
pub(super) struct Inner;

impl Form for Inner {
    const FORM: &'static str = "table";
    const EXAMPLE: &'static str = "{ … }";
}

/// Any number of tables: `[[name]]`, or `name = [{ … }, …]`.
#[derive(Debug)]
pub(super) struct Each;

impl Form for Each {
    const FORM: &'static str = "array of tables";
    const EXAMPLE: &'static str = "[{ … }]";
}
