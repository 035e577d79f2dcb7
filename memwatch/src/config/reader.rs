//! Reads tables key by key, and keeps every fault.

use std::cell::RefCell;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::key::{Each, Inner, Key, Section, Unwritten};
use super::value::{Misfit, Value};

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    text: &'t str,
    faults: RefCell<Vec<Fault>>,
}

impl<'t> Reader<'t> {
    /// A reader of a text.
    pub(super) const fn new(text: &'t str) -> Self {
        Self { text, faults: RefCell::new(Vec::new()) }
    }

    /// Takes the text apart. What is no TOML is a fault, and the rest is read as well as can be.
    pub(super) fn document(&self) -> Spanned<DeTable<'t>> {
        let (document, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let span = error.span().unwrap_or_default();
            let message = error.message();
            let remedy = if message.contains("quoted") {
                "put text, sizes and durations in quotes"
            } else if message.contains("duplicate") {
                "keep one of the two"
            } else {
                "close what is open, and put text in quotes"
            };
            let problem = format!("this is no TOML: {message}");
            self.push(Fault::at(self.text, span, String::new(), problem, remedy.into()));
        }
        document
    }

    /// Keeps a fault.
    fn push(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    /// All faults. Where a line is no TOML, what else is wrong with that line only follows from it.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.faults.into_inner();
        let broken: Vec<_> =
            faults.iter().filter(|fault| fault.key.is_empty()).filter_map(|fault| fault.line).collect();
        faults.retain(|fault| fault.key.is_empty() || fault.line.is_none_or(|line| !broken.contains(&line)));
        faults
    }
}

/// A table of the file.
#[derive(Clone, Debug)]
pub(super) struct Table<'a, 't> {
    reader: &'a Reader<'t>,
    section: &'static Section,
    entries: Option<&'a DeTable<'t>>,
    start: usize,
    path: String,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Read<T> {
    /// The value.
    pub(super) value: T,
    /// Where it stands; empty at the table's start where it was not written.
    span: Range<usize>,
    /// The whole key.
    key: String,
    /// Whether it is what was meant: written without fault, or the default.
    pub(super) is_sound: bool,
}

impl<'a, 't> Table<'a, 't> {
    /// A table that was written. Keys that the section does not have are faults, each of them.
    pub(super) fn written(
        reader: &'a Reader<'t>,
        section: &'static Section,
        path: String,
        entries: &'a DeTable<'t>,
        start: usize,
    ) -> Self {
        let table = Self { reader, section, entries: Some(entries), start, path };
        for (key, _) in entries {
            let name: &str = key.get_ref();
            if !section.has(name) {
                let (place, path) = (key.span().start, table.path_of(name));
                let problem = "there is no such key".to_owned();
                reader.push(Fault::near(reader.text, place, path, problem, known(name, section)));
            }
        }
        table
    }

    /// A table that was not written: all defaults.
    pub(super) const fn absent(reader: &'a Reader<'t>, section: &'static Section) -> Self {
        Self { reader, section, entries: None, start: 0, path: String::new() }
    }

    /// The tables written for a key.
    pub(super) fn each(&self, key: &Key<Each>, section: &'static Section) -> Vec<Self> {
        let Some(value) = self.entry(key) else { return Vec::new() };
        let tables = value.get_ref().as_array().and_then(|array| {
            let table = |(number, entry): (usize, &'a Spanned<DeValue<'t>>)| {
                let path = format!("{}[{number}]", self.path_of(key.row.name));
                let table = entry.get_ref().as_table()?;
                Some(Self::written(self.reader, section, path, table, entry.span().start))
            };
            (1..).zip(array.iter()).map(table).collect::<Option<Vec<_>>>()
        });
        tables.unwrap_or_else(|| {
            self.refuse_key(key, "this is no array of tables", format!("write {}", section.heading));
            Vec::new()
        })
    }

    /// The table written for a key; one of defaults where there is none, or something else.
    pub(super) fn inner(&self, key: &Key<Inner>, section: &'static Section) -> Self {
        match self.entry(key).map(|value| (value.span().start, value.get_ref().as_table())) {
            Some((start, Some(table))) => {
                Self::written(self.reader, section, self.path_of(key.row.name), table, start)
            }
            Some((_, None)) => {
                self.refuse_key(key, "this is no table", format!("write {}", section.heading));
                Self::absent(self.reader, section)
            }
            None => Self::absent(self.reader, section),
        }
    }

    fn path_of(&self, name: &str) -> String {
        let name: String = name.escape_debug().collect();
        if self.path.is_empty() { name } else { format!("{}.{name}", self.path) }
    }

    fn entry<T>(&self, key: &Key<T>) -> Option<&'a Spanned<DeValue<'t>>> {
        debug_assert!(self.section.has(key.row.name), "{} is documented nowhere", key.row.name);
        self.entries?.get(key.row.name)
    }

    /// Whether it was written, and has no keys.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_some_and(DeTable::is_empty)
    }

    /// Whether a key was written.
    pub(super) fn has<T>(&self, key: &Key<T>) -> bool {
        self.entry(key).is_some()
    }

    /// The text written for a key that can be a table as well.
    pub(super) fn word<T>(&self, key: &Key<T>) -> Option<&'a str> {
        self.entry(key)?.get_ref().as_str()
    }

    /// The value of a key, or its default. `None`: it has none, or its value is a fault.
    pub(super) fn find<T: Value>(&self, key: &Key<T>) -> Option<Read<T>> {
        let path = self.path_of(key.row.name);
        match (self.entry(key), key.row.unwritten) {
            (Some(value), _) => match T::read(value.get_ref()) {
                Ok(read) => Some(Read { value: read, span: value.span(), key: path, is_sound: true }),
                Err(Misfit { problem, remedy }) => {
                    self.reader.push(Fault::at(self.reader.text, value.span(), path, problem, remedy));
                    None
                }
            },
            (None, Unwritten::Required) => {
                let problem = "this key is needed".to_owned();
                let remedy = format!("write {} = {}", key.row.name, T::EXAMPLE);
                self.reader.push(Fault::near(self.reader.text, self.start, path, problem, remedy));
                None
            }
            (None, Unwritten::Absent(_)) => None,
            (None, Unwritten::Toml(_)) => {
                let span = self.start..self.start;
                default(key).map(|value| Read { value, span, key: path, is_sound: true })
            }
        }
    }

    /// The value of a key that has a default. Where what was written is a fault, the default stands in for it.
    pub(super) fn get<T: Value + Default>(&self, key: &Key<T>) -> Read<T> {
        self.find(key).unwrap_or_else(|| Read {
            value: default(key).unwrap_or_default(),
            span: self.start..self.start,
            key: self.path_of(key.row.name),
            is_sound: false,
        })
    }

    /// Keeps a fault of a value.
    pub(super) fn refuse<T>(&self, read: &Read<T>, problem: impl Into<String>, remedy: impl Into<String>) {
        let (problem, remedy) = (problem.into(), remedy.into());
        self.reader.push(Fault::at(self.reader.text, read.span.clone(), read.key.clone(), problem, remedy));
    }

    /// Keeps a fault of a key, whether it was written or not.
    pub(super) fn refuse_key<T>(&self, key: &Key<T>, problem: impl Into<String>, remedy: impl Into<String>) {
        let span = self.entry(key).map_or(self.start..self.start, Spanned::span);
        let path = self.path_of(key.row.name);
        self.reader.push(Fault::at(self.reader.text, span, path, problem.into(), remedy.into()));
    }

    /// Keeps a fault of the table as a whole.
    pub(super) fn refuse_all(&self, problem: impl Into<String>, remedy: impl Into<String>) {
        let path = self.path.to_owned();
        self.reader.push(Fault::near(self.reader.text, self.start, path, problem.into(), remedy.into()));
    }
}

/// A key's default.
fn default<T: Value>(key: &Key<T>) -> Option<T> {
    let Unwritten::Toml(text) = key.row.unwritten else { return None };
    let value = DeValue::parse(text).ok().and_then(|value| T::read(value.get_ref()).ok());
    debug_assert!(value.is_some(), "the default of {} is none of its values: {text}", key.row.name);
    value
}

/// What to write instead of an unknown key.
fn known(name: &str, section: &Section) -> String {
    let near = section
        .rows
        .iter()
        .map(|row| (strsim::jaro_winkler(name, row.name), row.name))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match near {
        Some((_, near)) => format!("did you mean `{near}`?"),
        None => {
            let names: Vec<_> = section.rows.iter().map(|row| row.name).collect();
            format!("take it out, or write one of {}", names.join(", "))
        }
    }
}
