//! Flat JSON lines of a command that has a table of keys of its own: a row of the table, the line that is written, and the page
//! that describes them. Lines of events go by [`schema`](super::schema).

use std::fmt::{Debug, Write};

use super::clock::Clock;
use super::escape;
use super::schema::{Type, VERSION};
use crate::core::audit::Estimate;

/// A kind of line.
pub trait Kind: Copy + Debug + PartialEq + 'static {
    /// Every kind, in the order they are written.
    const ALL: &'static [Self];
    /// Rows that every line begins with: its name, the version of the schema, and the time where it has one.
    const HEAD: [&'static Key<Self>; 3];

    /// Value of `event.name`.
    fn name(self) -> &'static str;

    /// What such a line says.
    fn doc(self) -> &'static str;
}

/// A row of the table.
#[derive(Debug)]
pub struct Key<Line: 'static> {
    /// The key.
    pub name: &'static str,
    /// Type of its value.
    pub ty: Type,
    /// Unit of its value.
    pub unit: &'static str,
    /// The lines that may carry it.
    pub lines: &'static [Line],
    /// What it says.
    pub doc: &'static str,
}

/// Makes a table of the rows, for lines of the type `Line`.
macro_rules! keys {
    ($($name:ident: $key:literal $ty:ident $unit:literal $lines:expr => $doc:literal;)*) => {
        $(
            #[doc = $doc]
            pub static $name: $crate::export::flat::Key<Line> = $crate::export::flat::Key {
                name: $key,
                ty: $crate::export::schema::Type::$ty,
                unit: $unit,
                lines: $lines,
                doc: $doc,
            };
        )*

        /// Every row, in the order of the documentation.
        pub static ALL: &[&$crate::export::flat::Key<Line>] = &[$(&$name,)*];
    };
}
pub(super) use keys;

/// A line that is being written. [`Object::end`] closes it.
pub(super) struct Object<'a, Line> {
    out: &'a mut Vec<u8>,
    kind: Line,
    start: usize,
    has_intervals: bool,
}

impl<'a, Line: Kind> Object<'a, Line> {
    /// Opens a line, which tells its time where there is a clock.
    pub(super) fn begin(kind: Line, time: Option<(Clock, u64)>, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        let mut line = Self { out, kind, start, has_intervals: false };
        let [name, version, timestamp] = Line::HEAD;
        line.text(name, kind.name().as_bytes());
        line.number(version, VERSION);
        if let Some((clock, time_ns)) = time {
            let mut time = Vec::new();
            clock.push_rfc3339(time_ns, &mut time);
            line.text(timestamp, &time);
        }
        line
    }

    /// Whether estimates are told with their intervals.
    pub(super) fn with_intervals(self, has_intervals: bool) -> Self {
        Self { has_intervals, ..self }
    }

    pub(super) fn end(self) {
        // Every key brings a comma in front; the first one stands where the object opens.
        if let Some(first) = self.out.get_mut(self.start) {
            *first = b'{';
        }
        self.out.extend_from_slice(b"}\n");
    }

    pub(super) fn number(&mut self, key: &Key<Line>, value: u64) {
        self.integer(key, "", Type::Integer, value);
    }

    pub(super) fn signed(&mut self, key: &Key<Line>, value: i64) {
        self.integer(key, "", Type::Integer, value);
    }

    /// A number, or nothing.
    pub(super) fn maybe(&mut self, key: &Key<Line>, value: Option<u64>) {
        if let Some(value) = value {
            self.number(key, value);
        }
    }

    pub(super) fn estimate(&mut self, key: &Key<Line>, value: Estimate) {
        self.integer(key, "", Type::Estimate, value.bytes);
        if self.has_intervals {
            self.integer(key, "_low", Type::Estimate, value.low);
            self.integer(key, "_high", Type::Estimate, value.high);
        }
    }

    pub(super) fn flag(&mut self, key: &Key<Line>, value: bool) {
        self.key(key, "", Type::Flag);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    pub(super) fn text(&mut self, key: &Key<Line>, value: &[u8]) {
        self.key(key, "", Type::Text);
        self.out.push(b'"');
        escape::json(value, self.out);
        self.out.push(b'"');
    }

    fn integer(&mut self, key: &Key<Line>, suffix: &str, ty: Type, value: impl itoa::Integer) {
        self.key(key, suffix, ty);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    fn key(&mut self, key: &Key<Line>, suffix: &str, ty: Type) {
        debug_assert!(key.ty == ty && key.lines.contains(&self.kind), "{} in {:?}", key.name, self.kind);
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.name.as_bytes());
        self.out.extend_from_slice(suffix.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

/// The page of a table, after an introduction.
pub(super) fn page<Line: Kind>(introduction: &str, all: &[&Key<Line>]) -> String {
    let mut page = String::from(introduction);
    // Writing to a String cannot fail.
    let _ = writeln!(page, "\nThis is version {VERSION} of the schema.");
    section(&mut page, all, "Every line", "", |key| key.lines.len() == Line::ALL.len());
    for line in Line::ALL {
        let is_of_line = |key: &Key<Line>| key.lines.contains(line) && key.lines.len() < Line::ALL.len();
        section(&mut page, all, &format!("`{}`", line.name()), line.doc(), is_of_line);
    }
    page
}

fn section<Line>(
    page: &mut String,
    all: &[&Key<Line>],
    title: &str,
    text: &str,
    holds: impl Fn(&Key<Line>) -> bool,
) {
    let _ = write!(page, "\n### {title}\n\n");
    if !text.is_empty() {
        let _ = write!(page, "{text}\n\n");
    }
    page.push_str("| key | type | unit | meaning |\n|---|---|---|---|\n");
    for Key { name, ty, unit, lines: _, doc } in all.iter().filter(|key| holds(key)) {
        let _ = writeln!(page, "| `{name}` | {} | {unit} | {doc} |", ty.name());
    }
}
