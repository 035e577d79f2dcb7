//! Which events go to which exporter, and what is taken out of them on the way.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::event::{Event, Severity, fields};
use super::otlp::Endpoint;
use crate::core::pattern::Pattern;

/// Keys that hold a process's arguments, which carry secrets, and what is said of them.
const ARGUMENTS: [&str; 3] =
    ["process.command_args", "memwatch.process.command_args_cut", "process.command_line"];

/// An exporter as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Its name in reports.
    pub name: String,
    /// Where events go.
    pub to: Destination,
    /// Kinds of events that go there; empty: every kind.
    pub kinds: Vec<Pattern>,
    /// Those that matter less do not go there.
    pub min_severity: Severity,
    /// Events on their way; beyond that the oldest is shed.
    pub queue: usize,
    /// Whether a process's arguments go there.
    pub has_arguments: bool,
    /// Keys that do not go there.
    pub redact: Vec<Pattern>,
    /// Events of one kind that go there in a time.
    pub at_most: Option<Rate>,
}

/// So many in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub events: u64,
    /// In this time, in nanoseconds.
    pub per_ns: u64,
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output; `None`: in the form that the command line says.
    StandardOutput(Option<Form>),
    /// A file.
    File {
        /// Where it is.
        path: PathBuf,
        /// When it is moved away.
        rotation: Rotation,
        /// Its lines.
        form: Form,
    },
    /// The journal.
    Journald {
        /// Where journald takes entries.
        path: PathBuf,
    },
    /// A receiver of OpenTelemetry's protocol.
    Otlp(Endpoint),
    /// A syslog server that takes messages of RFC 5424 over TCP.
    Syslog {
        /// Where it listens.
        address: SocketAddr,
        /// The text of a message.
        form: Form,
    },
    /// Who listens at a Unix stream socket.
    Unix {
        /// Where that is.
        path: PathBuf,
        /// What they are sent.
        form: Form,
    },
}

/// When a file is moved away, and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes that it has at most; a longer line stands alone.
    pub max_bytes: u64,
    /// How old it gets, in nanoseconds; `None`: as old as it will.
    pub max_age_ns: Option<u64>,
    /// Files that are kept beside it.
    pub keep: u32,
}

impl Destination {
    /// Form of what goes there.
    #[must_use]
    pub fn form(&self) -> Form {
        match self {
            Self::StandardOutput(form) => form.unwrap_or(Form::Json),
            Self::File { form, .. } | Self::Unix { form, .. } | Self::Syslog { form, .. } => *form,
            Self::Journald { .. } | Self::Otlp(_) => Form::Json,
        }
    }
}

/// Form of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One object a line.
    Json,
    /// A sentence a line.
    Text,
}

impl Route {
    /// What holds for an exporter of which nothing else is said.
    #[must_use]
    pub const fn new(name: String, to: Destination) -> Self {
        Self {
            name,
            to,
            kinds: Vec::new(),
            min_severity: Severity::Info,
            queue: 1024,
            has_arguments: false,
            redact: Vec::new(),
            at_most: None,
        }
    }

    /// The route with this form where it is to have that of the command line.
    #[must_use]
    pub fn or_form(mut self, form: Form) -> Self {
        if let Destination::StandardOutput(own) = &mut self.to {
            own.get_or_insert(form);
        }
        self
    }

    /// Whether an event goes there.
    #[must_use]
    pub fn takes(&self, event: &Event) -> bool {
        let is_meant =
            self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.matches(event.kind().as_bytes()));
        let can_be_said = self.to.form() == Form::Json || event.sentence.is_some();
        is_meant && can_be_said && event.severity >= self.min_severity
    }

    /// The event's object, without what is not to go there.
    #[must_use]
    pub fn redacted<'e>(&self, event: &'e Event) -> Cow<'e, [u8]> {
        let has = |key: &str| memchr::memmem::find(&event.object, key.as_bytes()).is_some();
        if self.redact.is_empty() && (self.has_arguments || !ARGUMENTS.into_iter().any(has)) {
            return Cow::Borrowed(&event.object);
        }
        let mut object = vec![b'{'];
        for (key, value) in fields(&event.object).into_iter().filter(|(key, _)| self.keeps(key)) {
            if object.len() > 1 {
                object.push(b',');
            }
            object.extend_from_slice(format!("\"{key}\":{value}").as_bytes());
        }
        object.extend_from_slice(b"}\n");
        Cow::Owned(object)
    }

    fn keeps(&self, key: &str) -> bool {
        let is_secret = !self.has_arguments && ARGUMENTS.contains(&key);
        !is_secret && !self.redact.iter().any(|pattern| pattern.matches(key.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let object = b"{\"event.name\":\"memwatch.decision\",\"process.pid\":7,\"process.command_args\":[\"x\",\"--key=s3cret\"],\"memwatch.process.command_args_cut\":true}\n";
        Event {
            name: "memwatch.decision",
            severity: Severity::Notice,
            object: object.to_vec(),
            sentence: None,
        }
    }

    fn route() -> Route {
        Route::new("test".to_owned(), Destination::StandardOutput(None))
    }

    fn patterns(text: &str) -> Vec<Pattern> {
        vec![Pattern::parse(text).expect("a pattern")]
    }

    #[test]
    fn kind_and_severity_choose() {
        let event = event();
        assert!(route().takes(&event));
        assert!(Route { kinds: patterns("dec*"), ..route() }.takes(&event));
        assert!(!Route { kinds: patterns("warning"), ..route() }.takes(&event));
        assert!(Route { min_severity: Severity::Notice, ..route() }.takes(&event));
        assert!(!Route { min_severity: Severity::Warning, ..route() }.takes(&event));
        let words = Route::new("words".to_owned(), Destination::StandardOutput(Some(Form::Text)));
        assert!(!words.takes(&event), "nothing to say");
    }

    #[test]
    fn arguments_have_to_be_asked_for() {
        let event = event();
        let text = |route: Route| String::from_utf8(route.redacted(&event).into_owned()).expect("UTF-8");
        assert_eq!(text(route()), "{\"event.name\":\"memwatch.decision\",\"process.pid\":7}\n");
        assert!(text(Route { has_arguments: true, ..route() }).contains("s3cret"));
        let all = text(Route { has_arguments: true, redact: patterns("process.*"), ..route() });
        assert_eq!(
            all,
            "{\"event.name\":\"memwatch.decision\",\"memwatch.process.command_args_cut\":true}\n"
        );
    }
}
