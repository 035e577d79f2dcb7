//! What values look like, and what they mean: units written out, nothing guessed.

mod choice;
mod quantity;
mod text;

pub(super) use choice::{Confidence, LineForm, MinSeverity, Mode, Protocol, Then, To, UseOf, WhatToDo};
pub(super) use quantity::{Bound, Count, Exponent, Nanoseconds, Share, Size};
pub(super) use text::{Address, Cgroup, Command, Kind, Kinds, Name, Patterns, Place, Places, Uids, Url};

use toml::de::DeValue;

use crate::core::policy::{Measure, Signal};

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// What is wrong with it.
    pub(super) problem: String,
    /// What to write instead.
    pub(super) remedy: String,
}

impl Misfit {
    fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }

    /// For a value of another type than the key takes.
    fn of_type(value: &DeValue<'_>, form: &str, example: &str) -> Self {
        Self::new(format!("{} is no {form}", describe(value)), format!("write for example {example}"))
    }
}

/// What a key's values look like.
pub(super) trait Form {
    /// In the documentation.
    const FORM: &'static str;
    /// One, as written in the file.
    const EXAMPLE: &'static str;
}

/// Something that a key can be set to.
pub(super) trait Value: Form + Sized {
    /// Reads it.
    ///
    /// # Errors
    /// When it is not one.
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit>;
}

/// The type of a value in words.
fn describe(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "this text",
        DeValue::Integer(_) | DeValue::Float(_) => "a bare number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// A text, or why it is none.
fn text<'a, T: Form>(value: &'a DeValue<'_>) -> Result<&'a str, Misfit> {
    value.as_str().ok_or_else(|| Misfit::of_type(value, T::FORM, T::EXAMPLE))
}

impl Form for bool {
    const FORM: &'static str = "boolean";
    const EXAMPLE: &'static str = "true";
}

impl Value for bool {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        value.as_bool().ok_or_else(|| Misfit::of_type(value, Self::FORM, Self::EXAMPLE))
    }
}

impl Form for Signal {
    const FORM: &'static str = "signal";
    const EXAMPLE: &'static str = "\"SIGTERM\"";
}

impl Value for Signal {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let name = text::<Self>(value)?;
        let signal = Self::parse(name).ok_or_else(|| {
            Misfit::new("there is no such signal", "write its name, for example \"SIGTERM\"")
        })?;
        // Such a process is never seen to leave, or nothing happens to it at all.
        let is_deaf = ["SIGSTOP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGCONT", "SIGCHLD", "SIGURG"]
            .contains(&signal.to_string().as_str());
        if is_deaf {
            return Err(Misfit::new(
                "this signal stops a process or does nothing: none leaves by it",
                "write one that makes it leave, for example \"SIGTERM\"",
            ));
        }
        Ok(signal)
    }
}

impl Form for Measure {
    const FORM: &'static str = "\"rss\", \"uss\" or \"pss\"";
    const EXAMPLE: &'static str = "\"uss\"";
}

impl Value for Measure {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        match text::<Self>(value)? {
            "rss" => Ok(Self::Resident),
            "uss" => Ok(Self::Private),
            "pss" => Ok(Self::Proportional),
            _ => Err(Misfit::new("there is no such measure", "write \"rss\", \"uss\" or \"pss\"")),
        }
    }
}
