//! Events as lines of a stream, which may be cut anywhere and go on there.

use std::collections::VecDeque;
use std::sync::Arc;

use super::syslog;
use crate::export::event::Event;
use crate::export::route::{Destination, Form, Route};
use crate::runtime::outlet;

/// Lines on their way into a stream.
#[derive(Debug)]
pub(super) struct Lines {
    route: Arc<Route>,
    text: Vec<u8>,
    /// Bytes of the first line that the stream has already.
    cut: usize,
}

impl Lines {
    pub(super) fn new(route: &Arc<Route>) -> Self {
        Self { route: Arc::clone(route), text: Vec::new(), cut: 0 }
    }

    /// Begins anew in another stream.
    pub(super) const fn restart(&mut self) {
        self.cut = 0;
    }

    /// What of a batch the stream does not have.
    pub(super) fn rest(&mut self, batch: &VecDeque<Arc<Event>>) -> &[u8] {
        self.text.clear();
        for event in batch {
            push(&self.route, event, &mut self.text);
        }
        self.text.get(self.cut..).unwrap_or_default()
    }

    /// Takes out of the batch what is written whole.
    pub(super) fn written(&mut self, bytes: usize, batch: &mut VecDeque<Arc<Event>>) {
        let written = self.text.get(..self.cut + bytes).unwrap_or(&self.text);
        let whole = memchr::memrchr(b'\n', written).map_or(0, |end| end + 1);
        let lines = outlet::lines(written) as usize;
        self.cut = written.len() - whole;
        batch.drain(..lines.min(batch.len()));
    }
}

/// Appends the line of an event.
pub(super) fn push(route: &Route, event: &Event, text: &mut Vec<u8>) {
    if let Destination::Syslog { .. } = route.to {
        syslog::header(event, text);
    }
    match (route.to.form(), &event.sentence) {
        (Form::Text, Some(sentence)) => {
            // One event is one line.
            text.extend(sentence.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }));
            text.push(b'\n');
        }
        (Form::Json, _) | (Form::Text, None) => text.extend_from_slice(&route.redacted(event)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::event::Severity;

    #[test]
    fn a_cut_line_goes_on_where_it_was_cut() {
        let route = Route::new("test".to_owned(), Destination::StandardOutput(Some(Form::Text)));
        let event = |words: &str| {
            let (name, severity) = ("memwatch.test", Severity::Info);
            Arc::new(Event { name, severity, object: Vec::new(), sentence: Some(words.to_owned()) })
        };
        let mut batch = VecDeque::from([event("one"), event("two\nof it"), event("three")]);
        let mut lines = Lines::new(&Arc::new(route));
        assert_eq!(lines.rest(&batch), b"one\ntwo of it\nthree\n");
        lines.written(6, &mut batch);
        assert_eq!(batch.len(), 2);
        assert_eq!(lines.rest(&batch), b"o of it\nthree\n");
        lines.written(8, &mut batch);
        assert_eq!((batch.len(), lines.rest(&batch)), (1, b"three\n".as_slice()));
        lines.written(6, &mut batch);
        assert!(batch.is_empty() && lines.rest(&batch).is_empty());
    }
}
