//! Text wrapped at words. A word that is longer than a line stays whole: the terminal breaks it, and no number is cut.

/// Lines are never made narrower than this; a terminal that has less wraps by itself.
const ROOM_MIN: usize = 20;

/// Appends a text and a line feed: what is left of a line that has reached the first of these columns, and more lines that
/// begin in the second.
pub(crate) fn wrap(text: &str, (first, others): (usize, usize), width: usize, out: &mut Vec<u8>) {
    let room = |indent: usize| width.saturating_sub(indent).max(ROOM_MIN);
    let (mut indent, mut column) = (first, 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > room(indent) {
            out.push(b'\n');
            out.resize(out.len() + others, b' ');
            (indent, column) = (others, 0);
        } else if column > 0 {
            out.push(b' ');
            column += 1;
        }
        out.extend_from_slice(word.as_bytes());
        column += length;
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
    fn long_words_stay_whole() {
        assert_eq!(wrapped("a 123456789012345678901234 b", (0, 1), 20), "a\n 123456789012345678901234\n b\n");
    }
}
