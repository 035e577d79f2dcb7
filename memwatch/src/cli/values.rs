//! Values of the command line: sizes, patterns, colours, kinds of events.

use std::io::IsTerminal;

use clap::ValueEnum;
use memwatch_ebpf::abi::event::Kind;

pub use crate::core::pattern::Pattern;

/// Parses a size such as `64MiB`, `1.5GB` or `4096`.
///
/// # Errors
/// When the text is not a size.
pub fn parse_size(text: &str) -> Result<u64, String> {
    text.parse::<bytesize::ByteSize>()
        .map(|size| size.as_u64())
        .map_err(|_| format!("`{text}` is not a size; write for example 64MiB, 1.5GB or 4096"))
}

/// Parses a duration such as `30s`, `5min` or `1h 30m`.
///
/// # Errors
/// When the text is not a duration.
pub fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    humantime::parse_duration(text).map_err(|error| {
        format!("`{text}` is not a duration ({error}); write for example 500ms, 30s or 5min")
    })
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
