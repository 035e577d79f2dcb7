//! Text wrapped at words. A word that is longer than a line, as paths and flags are, also ends behind a separator; no number
//! is cut.

/// Lines are never made narrower than this; a terminal that has less wraps by itself.
const ROOM_MIN: usize = 20;
/// Behind them a long word may end a line.
const SEPARATORS: [char; 4] = ['|', '/', ':', ','];

/// Appends a text and a line feed: what is left of a line that has reached the first of these columns, and more lines that
/// begin in the second.
pub(crate) fn wrap(text: &str, (first, others): (usize, usize), width: usize, out: &mut Vec<u8>) {
    let room = |indent: usize| width.saturating_sub(indent).max(ROOM_MIN);
    let (mut indent, mut column) = (first, 0);
    for word in text.split(' ') {
        let is_long = word.chars().count() > room(others);
        let parts = word.split_inclusive(|mark| is_long && SEPARATORS.contains(&mark));
        for (index, part) in parts.enumerate() {
            let (length, space) = (part.chars().count(), usize::from(index == 0 && column > 0));
            if column > 0 && column + space + length > room(indent) {
                out.push(b'\n');
                out.resize(out.len() + others, b' ');
                (indent, column) = (others, 0);
            } else if space > 0 {
                out.push(b' ');
                column += space;
            }
            out.extend_from_slice(part.as_bytes());
            column += length;
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(text: &str, columns: (usize, usize), width: usize) -> String {
        let mut out = Vec::new();
        wrap(text, columns, width, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn lines_end_at_words() {
        let text = "one two three four five six seven";
        assert_eq!(wrapped(text, (0, 2), 24), "one two three four five\n  six seven\n");
        assert_eq!(wrapped(text, (4, 0), 24), "one two three four\nfive six seven\n");
        assert_eq!(wrapped("", (4, 0), 24), "\n");
    }

    #[test]
    fn long_words_end_at_separators() {
        assert_eq!(wrapped("a 123456789012345678901234 b", (0, 1), 20), "a\n 123456789012345678901234\n b\n");
        let flags = "PROT_READ MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE";
        assert_eq!(wrapped(flags, (0, 0), 28), "PROT_READ MAP_PRIVATE|\nMAP_ANONYMOUS|MAP_NORESERVE\n");
        assert_eq!(wrapped("short a/b", (0, 0), 28), "short a/b\n");
    }
}
