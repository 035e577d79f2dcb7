//! A signal, by name or number.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::export::kernel_names;

/// Largest number of a signal, real-time ones included.
const SIGNAL_MAX: u32 = 64;

/// Takes `SIGTERM`, `term` or `15`, and gives the number.
#[derive(Clone, Copy, Debug)]
pub struct SignalParser;

fn named() -> impl Iterator<Item = (u32, &'static str)> {
    (1..=SIGNAL_MAX).filter_map(|number| Some((number, kernel_names::signal(number)?)))
}

fn find(text: &str) -> Option<u32> {
    if let Ok(number) = text.parse() {
        return (1..=SIGNAL_MAX).contains(&number).then_some(number);
    }
    let is_it = |name: &str| {
        name.eq_ignore_ascii_case(text)
            || name.strip_prefix("SIG").is_some_and(|short| short.eq_ignore_ascii_case(text))
    };
    named().find(|(_, name)| is_it(name)).map(|(number, _)| number)
}

impl TypedValueParser for SignalParser {
    type Value = u32;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<u32, clap::Error> {
        if let Some(number) = value.to_str().and_then(find) {
            return Ok(number);
        }
        let names = PossibleValuesParser::new(named().map(|(_, name)| name));
        // It is none of the names, so this fails, with the list and the nearest of them.
        names.parse_ref(command, argument, value).map(|_| 0)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(named().map(|(_, name)| PossibleValue::new(name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in
            [("SIGTERM", Some(15)), ("term", Some(15)), ("SigKill", Some(9)), ("34", Some(34))]
        {
            assert_eq!(find(text), number);
        }
        for text in ["0", "65", "-9", "SIG", "", "TREM"] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_that_is_none_meets_suggestions() {
        let command = clap::Command::new("x").arg(clap::Arg::new("signal").value_parser(SignalParser));
        let error = command.try_get_matches_from(["x", "SIGTREM"]).expect_err("no such signal").to_string();
        assert!(error.contains("'SIGTERM'") && error.contains("SIGKILL, "), "{error}");
    }
}
