//! Columns, truncation, wrapping and colours.

use std::io::Write;

use crate::export::escape;
use crate::export::schema::Name;
use crate::export::wrap::wrap;

/// Columns in front of the details: time, pid, name, event, and the spaces after them.
const LEAD: usize = 12 + 1 + 7 + 1 + COMM + 1 + EVENT + 1;
const COMM: usize = 15;
const EVENT: usize = 14;
/// Details are never narrower than this; a terminal that has less wraps.
const DETAILS_MIN: usize = 20;
/// Width of the labels in a block under a line, with their indent.
const LABEL: usize = 13;

/// How the name of an event stands out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::export) enum Paint {
    /// Not at all.
    Plain,
    /// Yellow.
    Notice,
    /// Red and bold.
    Alarm,
}

impl Paint {
    const fn code(self) -> Option<&'static [u8]> {
        match self {
            Self::Plain => None,
            Self::Notice => Some(b"\x1b[33m"),
            Self::Alarm => Some(b"\x1b[1;31m"),
        }
    }
}

/// Where things stand on a line.
#[derive(Clone, Copy, Debug)]
pub(in crate::export) struct Layout {
    width: usize,
    coloured: bool,
}

impl Layout {
    pub(in crate::export) const fn new(width: usize, coloured: bool) -> Self {
        Self { width, coloured }
    }

    /// Columns of a line.
    pub(in crate::export) const fn width(self) -> usize {
        self.width
    }

    /// The line above all others.
    pub(in crate::export) fn titles(self, out: &mut Vec<u8>) {
        // Writing to a Vec cannot fail, here as below.
        let _ =
            writeln!(out, "{:<12} {:>7} {:<COMM$} {:<EVENT$} DETAILS", "TIME (UTC)", "PID", "COMM", "EVENT");
    }

    pub(in crate::export) fn process(self, process: Option<(u32, &[u8])>, out: &mut Vec<u8>) {
        let Some((tgid, comm)) = process else {
            let _ = write!(out, " {:>7} {:<COMM$} ", "", "");
            return;
        };
        let mut name = Vec::with_capacity(COMM);
        escape::terminal(comm, &mut name);
        let name = String::from_utf8_lossy(&name);
        let _ = write!(out, " {tgid:>7} {:<COMM$} ", cut(&name, COMM));
    }

    pub(in crate::export) fn event(self, name: Name, paint: Paint, out: &mut Vec<u8>) {
        let name = name.as_str().strip_prefix("memwatch.").unwrap_or(name.as_str());
        self.painted(paint, &format!("{name:<EVENT$}"), out);
        out.push(b' ');
    }

    /// Text in a colour.
    pub(in crate::export) fn painted(self, paint: Paint, text: &str, out: &mut Vec<u8>) {
        let code = paint.code().filter(|_| self.coloured);
        out.extend_from_slice(code.unwrap_or_default());
        out.extend_from_slice(text.as_bytes());
        if code.is_some() {
            out.extend_from_slice(b"\x1b[0m");
        }
    }

    /// The last column; text that does not fit ends in an ellipsis. For what anybody may make as long as they like.
    pub(in crate::export) fn cut_details(self, details: &[u8], out: &mut Vec<u8>) {
        let room = self.width.saturating_sub(LEAD).max(DETAILS_MIN);
        let _ = writeln!(out, "{}", cut(&String::from_utf8_lossy(details), room));
    }

    /// The last column, wrapped at words: no number may be cut.
    pub(in crate::export) fn details(self, details: &[u8], out: &mut Vec<u8>) {
        self.wrap(&String::from_utf8_lossy(details), LEAD, out);
    }

    /// A labelled paragraph under a line, wrapped at words.
    pub(in crate::export) fn paragraph(self, label: &str, text: &str, out: &mut Vec<u8>) {
        let _ = write!(out, "    {label:<8} ");
        self.wrap(text, LABEL, out);
    }

    /// The rest of a line that begins in column `indent`, and more lines from there.
    pub(in crate::export) fn wrap(self, text: &str, indent: usize, out: &mut Vec<u8>) {
        wrap(text, (indent, indent), self.width, out);
    }

    /// What is left for a column whose line takes so many without it, between these bounds.
    pub(in crate::export) fn room(self, others: usize, least: usize, most: usize) -> usize {
        self.width.saturating_sub(others).clamp(least, most)
    }
}

/// At most `room` characters of a text, the last one an ellipsis when something is missing.
pub(in crate::export) fn cut(text: &str, room: usize) -> std::borrow::Cow<'_, str> {
    if text.chars().nth(room).is_none() {
        return text.into();
    }
    text.chars().take(room.saturating_sub(1)).chain(['…']).collect::<String>().into()
}

/// At most `room` characters of a text, the first one an ellipsis when something is missing: of a path the end says most.
pub(in crate::export) fn cut_front(text: &str, room: usize) -> std::borrow::Cow<'_, str> {
    let length = text.chars().count();
    if length <= room {
        return text.into();
    }
    std::iter::once('…').chain(text.chars().skip(length + 1 - room)).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_at_characters() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!([cut_front("abc", 3), cut_front("äöüß", 3)], ["abc", "…üß"]);
    }

    #[test]
    fn wraps_at_words() {
        let mut out = Vec::new();
        Layout::new(35, false).paragraph("advice", "one two three four five six", &mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text, "    advice   one two three four\n             five six\n");
    }
}
