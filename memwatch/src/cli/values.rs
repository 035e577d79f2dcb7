//! Values of the command line: sizes, numbers, patterns, colours, kinds of events.

#[cfg(test)]
mod corpus;
pub mod signal;
mod socket;

use std::io::IsTerminal;
use std::ops::RangeInclusive;
use std::time::Duration;

use clap::ValueEnum;
use memwatch_ebpf::abi::COMM_LEN;
use memwatch_ebpf::abi::event::Kind;

use crate::core::detect::fd_table::Confidence;
pub use crate::core::pattern::Pattern;
pub use socket::{CriSocket, parse_cri_socket};

/// A confidence as the command line names it.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Level {
    /// The length fits, as lengths do by accident
    Low,
    /// More speaks for it than against it
    Medium,
    /// An accident is far-fetched
    High,
}

impl From<Level> for Confidence {
    fn from(level: Level) -> Self {
        match level {
            Level::Low => Self::Low,
            Level::Medium => Self::Medium,
            Level::High => Self::High,
        }
    }
}

/// Parses a size such as `64MiB`, `1.5GB` or `4096`.
///
/// # Errors
/// When the text is not a size.
pub fn parse_size(text: &str) -> Result<u64, String> {
    text.parse::<bytesize::ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| format!("`{text}` is not a size; write for example 64MiB, 1.5GB or 4096"))
}

/// Parses a size above 0.
///
/// # Errors
/// When the text is not a size, or 0, which would never be passed or always.
pub fn parse_bound(text: &str) -> Result<u64, String> {
    match parse_size(text)? {
        0 => Err("0 is no bound; write a size such as 64MiB".into()),
        size => Ok(size),
    }
}

/// Parses the size of a ring buffer.
///
/// # Errors
/// When the kernel would not take it: it must be a power of two of at least a page.
pub fn parse_ring_size(text: &str) -> Result<u32, String> {
    let size = parse_size(text)?;
    let page = crate::sys::page_size();
    u32::try_from(size).ok().filter(|_| size.is_power_of_two() && size >= page).ok_or_else(|| {
        format!("`{text}` is not a power of two from {page} bytes to 2GiB; write for example 8MiB")
    })
}

/// Parses a process id.
///
/// # Errors
/// When the text is not a number above 0.
pub fn parse_pid(text: &str) -> Result<u32, String> {
    text.parse()
        .ok()
        .filter(|pid| *pid > 0)
        .ok_or_else(|| format!("`{text}` is not a process id; `pgrep -x NAME` tells those of a program"))
}

/// Parses a user id.
///
/// # Errors
/// When the text is not a number.
pub fn parse_uid(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("`{text}` is not a user id; `id -u NAME` tells that of a user"))
}

/// Parses a whole number of a range.
///
/// # Errors
/// When the text is none, or beyond the range.
pub fn parse_whole(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| match *range.end() {
        u64::MAX => format!("`{text}` is not a whole number from {} on", range.start()),
        end => format!("`{text}` is not a whole number from {} to {end}", range.start()),
    })
}

/// Parses a pattern for names of threads.
///
/// # Errors
/// When no name can match it.
pub fn parse_comm(text: &str) -> Result<Pattern, String> {
    let pattern = Pattern::parse(text)?;
    if pattern.least_bytes() < COMM_LEN {
        return Ok(pattern);
    }
    Err(format!(
        "`{text}` can match nothing: the kernel keeps {} bytes of a name; cut it there and end it with `*`",
        COMM_LEN - 1
    ))
}

/// The longest duration: longer ones are slips of the pen.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Parses a duration such as `30s`, `5min` or `1h 30m`.
///
/// # Errors
/// When the text is not a duration, beyond ten years, or has the unit `M`, which is a month where `m` is a minute.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| {
        format!("`{text}` is not a duration ({error}); write for example 500ms, 30s or 5min")
    })?;
    if text.split(|character: char| !character.is_alphabetic()).any(|unit| unit == "M") {
        return Err(format!("`{text}` may mean minutes or months; write for example 1min, 12h or 30d"));
    }
    if duration > LONGEST {
        return Err(format!("`{text}` is longer than ten years; write for example 30s, 12h or 30d"));
    }
    Ok(duration)
}

/// Parses a duration after which something ends.
///
/// # Errors
/// When the text is not a duration, or 0, which would end it before it begins.
pub fn parse_time_to_end(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err(format!(
            "`{text}` would end before it begins; write for example 500ms, or leave it out for no end"
        )),
        duration => Ok(duration),
    }
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Whether to colour what goes to standard output.
    #[must_use]
    pub fn on_stdout(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        }
    }
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Aligned lines for people
    Table,
    /// One flat JSON object a line
    Json,
    /// Nothing but the summary
    None,
}

impl Output {
    /// The form asked for, or the one that suits standard output.
    #[must_use]
    pub fn or_suitable(asked: Option<Self>) -> Self {
        asked.unwrap_or_else(|| if std::io::stdout().is_terminal() { Self::Table } else { Self::Json })
    }
}

/// An event kind as `--event` names it: the part of `event.name` after `memwatch.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventKind(pub Kind);

impl ValueEnum for EventKind {
    fn value_variants<'a>() -> &'a [Self] {
        const {
            &[
                Self(Kind::Mmap),
                Self(Kind::Munmap),
                Self(Kind::Mremap),
                Self(Kind::Brk),
                Self(Kind::Fault),
                Self(Kind::Rss),
                Self(Kind::RlimitRead),
                Self(Kind::RlimitSet),
                Self(Kind::FdTableGrowth),
                Self(Kind::CloseSweep),
                Self(Kind::FdTable),
                Self(Kind::Action),
                Self(Kind::OomKill),
                Self(Kind::Exec),
                Self(Kind::Fork),
                Self(Kind::Exit),
            ]
        }
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let (name, help) = match self.0 {
            Kind::Mmap => ("mmap", "mappings at or above --min-bytes"),
            Kind::Munmap => ("munmap", "mappings given back"),
            Kind::Mremap => ("mremap", "mappings moved or resized"),
            Kind::Brk => ("brk", "heap growth and shrinkage"),
            Kind::Fault => ("fault", "major page faults"),
            Kind::Rss => ("rss", "processes that pass --rss-limit"),
            Kind::RlimitRead => ("rlimit_read", "limits read"),
            Kind::RlimitSet => ("rlimit_set", "limits set"),
            Kind::FdTableGrowth => ("fdtable_growth", "growth of the kernel's descriptor table"),
            Kind::CloseSweep => ("close_sweep", "long runs of closes of descriptors that are not open"),
            Kind::FdTable => ("fd_table", "findings: one slot per possible descriptor"),
            Kind::Action => ("action", "what a rule did in the kernel"),
            Kind::OomKill => ("oom_kill", "victims of the kernel's OOM killer"),
            Kind::Exec => ("exec", "programs started"),
            Kind::Fork => ("fork", "processes made"),
            Kind::Exit => ("exit", "processes ended"),
        };
        Some(clap::builder::PossibleValue::new(name).help(help))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_size("1.5GB"), Ok(1_500_000_000));
        for text in ["", "-1", "x", "12 parsecs"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_duration("0"), Ok(Duration::ZERO));
        assert!(parse_time_to_end("0s").is_err() && parse_time_to_end("1ms").is_ok());
        for text in ["1M", "2h 1M", "11y", "-1s", "x", "1"] {
            assert!(parse_duration(text).is_err_and(|error| error.contains(text)), "{text}");
        }
    }

    #[test]
    fn numbers_say_what_they_should_have_been() {
        assert_eq!((parse_pid("7"), parse_uid("0"), parse_whole("5", 1..=9)), (Ok(7), Ok(0), Ok(5)));
        assert!(parse_pid("0").is_err_and(|error| error.contains("process id")));
        assert!(parse_uid("root").is_err_and(|error| error.contains("id -u")));
        assert!(parse_whole("ten", 1..=9).is_err_and(|error| error.contains("from 1 to 9")));
        assert!(parse_whole("0", 1..=u64::MAX).is_err_and(|error| error.ends_with("from 1 on")));
    }

    #[test]
    fn rings_are_powers_of_two() {
        assert_eq!(parse_ring_size("8MiB"), Ok(8 << 20));
        for text in ["3MiB", "1", "0", "4GiB", "x"] {
            assert!(parse_ring_size(text).is_err_and(|error| error.contains(text)), "{text}");
        }
        assert!(parse_bound("0").is_err() && parse_bound("1KiB") == Ok(1024));
    }

    #[test]
    fn names_that_the_kernel_cuts_match_nothing() {
        assert!(parse_comm("kworker/u8:1-events").is_err());
        assert!(parse_comm("kworker/u8:*-events").is_err() && parse_comm("????????????????").is_err());
        assert!(parse_comm("kworker/u8:1-ev*").is_ok() && parse_comm("nginx").is_ok());
    }

    #[test]
    fn every_kind_has_a_name() {
        let named: Vec<_> = EventKind::value_variants().iter().map(|kind| kind.0).collect();
        assert_eq!(named, Kind::ALL);
    }

    #[test]
    fn patterns() {
        let pattern = Pattern::parse("uwsgi*").expect("a pattern");
        assert!(pattern.matches(b"uwsgi-http") && !pattern.matches(b"nginx") && pattern.exact().is_none());
        assert_eq!(Pattern::parse("nginx").expect("a pattern").exact(), Some(&b"nginx"[..]));
        assert!(Pattern::parse("").is_err());
    }

    proptest::proptest! {
        /// Whatever is typed gives a value or a message that repeats it.
        #[test]
        fn any_text_is_a_value_or_an_error(text in "\\PC{0,40}") {
            for error in [parse_size(&text).err(), parse_duration(&text).err()].into_iter().flatten() {
                proptest::prop_assert!(error.contains(&text));
            }
            if let Ok(pattern) = Pattern::parse(&text) {
                proptest::prop_assert!(pattern.matches(text.as_bytes()), "a name without wildcards matches itself");
            }
        }

        /// A pattern meets any bytes without a panic, and a star meets all of them.
        #[test]
        fn patterns_meet_any_bytes(name: Vec<u8>, pattern in "[a-z*?]{1,12}") {
            let matched = Pattern::parse(&pattern).map(|pattern| pattern.matches(&name));
            proptest::prop_assert!(matched.is_ok());
            proptest::prop_assert_eq!(Pattern::parse("*").map(|all| all.matches(&name)), Ok(true));
        }
    }
}
