//! Reads what a guest sends while it runs: when its job starts, the job's output, how the job ended.

/// What a guest says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The job starts now.
    Ready,
    /// A line of the job's output.
    Line(String),
    /// The job has ended.
    End {
        /// Its exit status.
        status: u8,
        /// How long the archive of its results is, which is sent apart.
        results_bytes: u64,
    },
    /// The job has ended with this status, and its files could not be packed.
    Lost(u8),
}

/// A reader of one guest's output, in pieces of any length.
#[derive(Debug)]
pub(super) struct Reader {
    token: String,
    pending: Vec<u8>,
    is_ready: bool,
    /// An empty line that may be the one the guest puts before its last words.
    withheld: bool,
}

impl Reader {
    /// A reader for the guest whose own words begin with `token`.
    pub(super) fn new(token: &str) -> Self {
        Self { token: token.to_owned(), pending: Vec::new(), is_ready: false, withheld: false }
    }

    /// Takes the next piece and gives what it completes.
    pub(super) fn take(&mut self, piece: &[u8]) -> Vec<Said> {
        self.pending.extend(piece);
        let mut said = Vec::new();
        while let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.pending.drain(..=end).collect();
            let line = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
            self.read(line, &mut said);
        }
        said
    }

    /// The last line, when the guest went without ending it.
    pub(super) fn rest(&self) -> Option<String> {
        (!self.pending.is_empty()).then(|| String::from_utf8_lossy(&self.pending).into_owned())
    }

    fn read(&mut self, line: String, said: &mut Vec<Said>) {
        let own = line.strip_prefix(&self.token).map(str::trim_start);
        match own.map(|words| (words, end(words))) {
            Some(("ready", _)) if !self.is_ready => {
                self.is_ready = true;
                said.push(Said::Ready);
            }
            Some((_, Some(end))) => said.push(end),
            Some(_) | None => {
                if std::mem::take(&mut self.withheld) {
                    said.push(Said::Line(String::new()));
                }
                if line.is_empty() {
                    self.withheld = true;
                } else {
                    said.push(Said::Line(line));
                }
            }
        }
    }
}

/// `end STATUS BYTES`, or `lost STATUS`
fn end(words: &str) -> Option<Said> {
    if let Some(status) = words.strip_prefix("lost ") {
        return status.parse().ok().map(Said::Lost);
    }
    let (status, bytes) = words.strip_prefix("end ")?.split_once(' ')?;
    Some(Said::End { status: status.parse().ok()?, results_bytes: bytes.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_length_give_the_same() {
        let text = b"t ready\none\n\ntw\xffo\nt other\n\nt end 3 10240\n";
        let line = |text: &str| Said::Line(text.to_owned());
        let expected = [
            Said::Ready,
            line("one"),
            line(""),
            line("tw\u{fffd}o"),
            line("t other"),
            Said::End { status: 3, results_bytes: 10_240 },
        ];
        for length in 1..=text.len() {
            let mut reader = Reader::new("t");
            let said: Vec<_> = text.chunks(length).flat_map(|piece| reader.take(piece)).collect();
            assert_eq!(said, expected, "in pieces of {length}");
            assert_eq!(reader.rest(), None);
        }
    }

    #[test]
    fn lost_files_are_no_line_of_the_jobs() {
        assert_eq!(Reader::new("t").take(b"t ready\n\nt lost 0\n"), [Said::Ready, Said::Lost(0)]);
    }

    #[test]
    fn a_line_cut_short_is_kept() {
        let mut reader = Reader::new("t");
        assert_eq!(reader.take(b"t ready\nalmo"), [Said::Ready]);
        assert_eq!(reader.rest().as_deref(), Some("almo"));
    }
}
