//! Lines of a file of any length, in a buffer of one size.

use std::io::{self, ErrorKind, Read};
use std::ops::ControlFlow;

/// Bytes of the buffer: a path of the longest kind (4,096 bytes, each escaped to four) with the columns in front of it.
const BUFFER: usize = 32 * 1024;

/// A buffer that files are read through, one after the other.
#[derive(Debug)]
pub struct LineBuffer {
    bytes: Box<[u8]>,
}

impl Default for LineBuffer {
    fn default() -> Self {
        Self { bytes: vec![0; BUFFER].into_boxed_slice() }
    }
}

impl LineBuffer {
    /// Calls `visit` with each line, without its newline, until there is none or it breaks.
    ///
    /// # Errors
    /// When the file cannot be read, or a line is longer than the buffer.
    pub(super) fn each<B>(
        &mut self,
        mut file: impl Read,
        mut visit: impl FnMut(&[u8]) -> ControlFlow<B>,
    ) -> io::Result<Option<B>> {
        let mut filled = 0;
        loop {
            let room = self.bytes.get_mut(filled..).unwrap_or_default();
            if room.is_empty() {
                return Err(io::Error::new(ErrorKind::InvalidData, "a line is longer than any path"));
            }
            let read = match file.read(room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read?,
            };
            filled += read;
            let text = self.bytes.get(..filled).unwrap_or_default();
            let mut seen = 0;
            for end in memchr::memchr_iter(b'\n', text) {
                if let ControlFlow::Break(value) = visit(text.get(seen..end).unwrap_or_default()) {
                    return Ok(Some(value));
                }
                seen = end + 1;
            }
            if read == 0 {
                let last = text.get(seen..).filter(|last| !last.is_empty());
                return Ok(last.and_then(|last| visit(last).break_value()));
            }
            self.bytes.copy_within(seen..filled, 0);
            filled -= seen;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut seen = Vec::new();
        let ended: Option<()> = LineBuffer::default().each(text, |line| {
            seen.push(line.to_vec());
            ControlFlow::Continue(())
        })?;
        assert!(ended.is_none());
        Ok(seen)
    }

    #[test]
    fn lines_are_whole_wherever_the_buffer_ends() {
        let written: Vec<Vec<u8>> = (0..5_000).map(|n| vec![b'x'; n % 97]).collect();
        assert_eq!(
            lines(&written.join(&b'\n')).unwrap(),
            written.strip_suffix(&[vec![]]).unwrap_or(&written)
        );
        assert_eq!(lines(b"a\n\nb").unwrap(), [&b"a"[..], b"", b"b"]);
        assert!(lines(b"").unwrap().is_empty());
    }

    #[test]
    fn a_line_without_end_is_refused() {
        assert!(lines(&vec![b'x'; BUFFER - 1]).is_ok());
        assert_eq!(lines(&vec![b'x'; BUFFER + 1]).unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_visitor_ends_the_reading() {
        let mut count = 0;
        let found = LineBuffer::default().each(&b"1\n2\n3\n"[..], |line| {
            count += 1;
            if line == b"2" { ControlFlow::Break(line.to_vec()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((found.unwrap(), count), (Some(b"2".to_vec()), 2));
    }
}
