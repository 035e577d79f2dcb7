//! Numbers with their units.

use toml::de::DeValue;

use super::{Form, Misfit, Value, text};
use crate::core::policy::Amount;

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) struct Size(pub(in crate::config) u64);

/// Whether a text is a number and nothing else.
pub(super) fn is_bare(text: &str) -> bool {
    let text = text.trim();
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'_'))
}

/// The number that a value is, without a unit.
fn bare(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::String(text) if is_bare(text) => Some(text.trim().to_owned()),
        DeValue::String(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    }
}

impl Form for Size {
    const FORM: &'static str = "size";
    const EXAMPLE: &'static str = "\"512MiB\"";
}

impl Value for Size {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        if let Some(number) = bare(value) {
            return Err(Misfit::new(
                "a size without a unit",
                format!(
                    "write the unit out: \"{number}B\", \"{number}KiB\", \"{number}MiB\" or \"{number}GiB\""
                ),
            ));
        }
        let size = text::<Self>(value)?
            .parse::<bytesize::ByteSize>()
            .map_err(|_| Misfit::new("this text is no size", "write for example \"512MiB\" or \"1.5GiB\""))?;
        // Sums of sizes stay far from the end of 64 bits.
        if size.as_u64() > 1 << 56 {
            return Err(Misfit::new("no machine has so much", "write at most \"65536TiB\""));
        }
        Ok(Self(size.as_u64()))
    }
}

/// Hundredths of a percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) struct Share(pub(in crate::config) u32);

impl Form for Share {
    const FORM: &'static str = "share";
    const EXAMPLE: &'static str = "\"85%\"";
}

impl Value for Share {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        if let DeValue::Integer(_) | DeValue::Float(_) = value {
            return Err(Misfit::new("a share without a unit", "write for example \"85%\""));
        }
        let misfit = || Misfit::new("this text is no share", "write for example \"85%\" or \"92.5%\"");
        let number = text::<Self>(value)?.trim().strip_suffix('%').ok_or_else(misfit)?.trim_end();
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > 2 {
            return Err(misfit());
        }
        let hundredths = format!("{whole}{part:0<2}").parse().ok().filter(|share| *share <= 10_000);
        hundredths.map(Self).ok_or_else(|| Misfit::new("more than all", "write at most \"100%\""))
    }
}

/// A quantity of memory: absolute, or a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Bound(pub(in crate::config) Amount);

impl Default for Bound {
    fn default() -> Self {
        Self(Amount::Bytes(0))
    }
}

impl Form for Bound {
    const FORM: &'static str = "size or share";
    const EXAMPLE: &'static str = "\"85%\" or \"12GiB\"";
}

impl Value for Bound {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let written = value.as_str().unwrap_or_default();
        if written.trim_end().ends_with('%') {
            return Share::read(value).map(|share| Self(Amount::Share(share.0)));
        }
        match Size::read(value) {
            Ok(size) => Ok(Self(Amount::Bytes(size.0))),
            Err(_) if value.as_str().is_some_and(|text| !is_bare(text)) => Err(Misfit::new(
                "this text is neither a size nor a share",
                format!("write for example {}", Self::EXAMPLE),
            )),
            Err(Misfit { problem, .. }) => {
                Err(Misfit::new(problem, format!("write the unit out, for example {}", Self::EXAMPLE)))
            }
        }
    }
}

/// A time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) struct Nanoseconds(pub(in crate::config) u64);

impl Form for Nanoseconds {
    const FORM: &'static str = "duration";
    const EXAMPLE: &'static str = "\"30s\"";
}

impl Value for Nanoseconds {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let bare = bare(value).filter(|number| number != "0" || !value.is_str());
        if let Some(number) = bare {
            return Err(Misfit::new(
                "a duration without a unit",
                format!("write the unit out: \"{number}ms\", \"{number}s\" or \"{number}min\""),
            ));
        }
        let time = humantime::parse_duration(text::<Self>(value)?).map_err(|error| {
            Misfit::new(
                format!("this text is no duration ({error})"),
                "write for example \"500ms\", \"30s\" or \"5min\"",
            )
        })?;
        // Times are added to clocks: what is longer than a year says the same as a year.
        const YEAR: std::time::Duration = std::time::Duration::from_secs(366 * 24 * 3600);
        u64::try_from(time.as_nanos())
            .ok()
            .filter(|_| time <= YEAR)
            .map(Self)
            .ok_or_else(|| Misfit::new("longer than a year", "write a shorter time"))
    }
}

/// A number of things.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::config) struct Count(pub(in crate::config) u32);

impl Form for Count {
    const FORM: &'static str = "number";
    const EXAMPLE: &'static str = "2";
}

impl Value for Count {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let misfit =
            || Misfit::new("this is no number of things", "write a whole number such as 2, without quotes");
        let number = value.as_integer().ok_or_else(misfit)?;
        u32::from_str_radix(number.as_str(), number.radix()).map(Self).map_err(|_| misfit())
    }
}

/// The power of the curve between two bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::config) struct Exponent(pub(in crate::config) f64);

impl Form for Exponent {
    const FORM: &'static str = "number";
    const EXAMPLE: &'static str = "2.0";
}

impl Value for Exponent {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let number = match value {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) => number.as_str().parse().ok().filter(|_| number.radix() == 10),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        number.filter(|number| (0.1..=10.0).contains(number)).map(Self).ok_or_else(|| {
            Misfit::new(
                "this is no exponent",
                "write a number from 0.1 to 10, without quotes; 2.0 is quadratic",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: Value>(text: &str) -> Result<T, Misfit> {
        T::read(DeValue::parse(text).expect("TOML").get_ref())
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(read("'2GiB'"), Ok(Size(2 << 30)));
        assert_eq!(read("'1.5 GB'"), Ok(Size(1_500_000_000)));
        let misfit = read::<Size>("2048").expect_err("no unit");
        assert!(misfit.remedy.contains("\"2048MiB\""), "{misfit:?}");
        for text in
            ["'2048'", "2.5", "'2 parsecs'", "'-1GiB'", "'99999999999999999999GiB'", "true", "[]", "''"]
        {
            assert!(read::<Size>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_hundredths_of_a_percent() {
        assert_eq!(read("'85%'"), Ok(Share(8500)));
        assert_eq!(read("'92.5 %'"), Ok(Share(9250)));
        assert_eq!(read("'0.05%'"), Ok(Share(5)));
        for text in ["85", "0.85", "'85'", "'101%'", "'-5%'", "'1.234%'", "'%'", "'.5%'", "'99999999999%'"] {
            assert!(read::<Share>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(read("'30s'"), Ok(Nanoseconds(30_000_000_000)));
        assert_eq!(read("'1h 30m'"), Ok(Nanoseconds(5_400_000_000_000)));
        let misfit = read::<Nanoseconds>("30").expect_err("no unit");
        assert!(misfit.remedy.contains("\"30s\""), "{misfit:?}");
        for text in ["'30'", "'soon'", "'800000000h'", "'2y'"] {
            assert!(read::<Nanoseconds>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_and_exponents() {
        assert_eq!(read("2"), Ok(Count(2)));
        assert_eq!(read("2.5"), Ok(Exponent(2.5)));
        assert_eq!(read("3"), Ok(Exponent(3.0)));
        for text in ["-1", "2.5", "'2'", "99999999999"] {
            assert!(read::<Count>(text).is_err(), "{text}");
        }
        for text in ["nan", "inf", "0", "-2.0", "'2'"] {
            assert!(read::<Exponent>(text).is_err(), "{text}");
        }
    }
}
