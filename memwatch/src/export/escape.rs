//! Names are any bytes: what they may do to a JSON reader or a terminal is settled here.
//!
//! JSON: a string is valid UTF-8 and, after the reader has undone JSON's own escapes, maps back to the bytes. A byte
//! that is not part of valid UTF-8 is written as the four characters `\xNN`, and a backslash in front of an `x` as
//! `\x5c`, so replacing every `\xNN` by its byte restores the name. Control characters and those that reorder or hide
//! text leave as JSON's `\u` escapes.
//!
//! Terminal: the same characters and bytes are shown as visible escapes and take effect nowhere.

use std::io::Write;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `bytes` as the inside of a JSON string.
pub fn json(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.iter().all(|&byte| is_plain(byte)) {
        out.extend_from_slice(bytes);
        return;
    }
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid().chars();
        while let Some(c) = rest.next() {
            match c {
                '"' => out.extend_from_slice(b"\\\""),
                // A `\x` that is in the name must not read as an escaped byte.
                '\\' if rest.as_str().starts_with('x') => out.extend_from_slice(b"\\\\x5c"),
                '\\' => out.extend_from_slice(b"\\\\"),
                c if is_unsafe(c) => json_unit(c, out),
                c => push_char(c, out),
            }
        }
        for &byte in chunk.invalid() {
            out.extend_from_slice(b"\\\\x");
            push_hex(byte, out);
        }
    }
}

/// Appends `bytes` for a terminal.
pub fn terminal(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.extend_from_slice(b"\\n"),
                '\t' => out.extend_from_slice(b"\\t"),
                '\r' => out.extend_from_slice(b"\\r"),
                c if is_unsafe(c) && c.is_ascii() => {
                    out.extend_from_slice(b"\\x");
                    push_hex(c as u8, out);
                }
                c if is_unsafe(c) => push_escape(c, out),
                c => push_char(c, out),
            }
        }
        for &byte in chunk.invalid() {
            out.extend_from_slice(b"\\x");
            push_hex(byte, out);
        }
    }
}

/// Whether a byte stands for itself in JSON and on a terminal.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Whether a character could steer a terminal, reorder text or hide in it.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn json_unit(c: char, out: &mut Vec<u8>) {
    let mut units = [0; 2];
    for unit in c.encode_utf16(&mut units) {
        out.extend_from_slice(b"\\u");
        for byte in unit.to_be_bytes() {
            push_hex(byte, out);
        }
    }
}

fn push_escape(c: char, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{}", c.escape_unicode());
}

fn push_char(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn push_hex(byte: u8, out: &mut Vec<u8>) {
    for digit in [byte >> 4, byte & 15] {
        out.extend(HEX.get(usize::from(digit)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn as_json(bytes: &[u8]) -> String {
        let mut out = vec![b'"'];
        json(bytes, &mut out);
        out.push(b'"');
        serde_json::from_slice(&out).expect("a JSON string")
    }

    fn restored(text: &str) -> Vec<u8> {
        let mut rest = text.as_bytes();
        let mut bytes = Vec::new();
        while let Some((&first, after)) = rest.split_first() {
            let code = rest.strip_prefix(b"\\x").and_then(|hex| std::str::from_utf8(hex.get(..2)?).ok());
            if let Some(byte) = code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                bytes.push(byte);
                rest = &rest[4..];
            } else {
                bytes.push(first);
                rest = after;
            }
        }
        bytes
    }

    fn on_terminal(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        terminal(bytes, &mut out);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn names_that_lie() {
        for (bytes, json, terminal) in [
            (&b"nginx"[..], "nginx", "nginx"),
            (b"a\"b", "a\"b", "a\"b"),
            (b"\x1b[31mred", "\x1b[31mred", "\\x1b[31mred"),
            (b"bad\xff\xfe", "bad\\xff\\xfe", "bad\\xff\\xfe"),
            (b"\\xff", "\\x5cxff", "\\xff"),
            (b"C:\\dir", "C:\\dir", "C:\\dir"),
            ("exe\u{202e}gpj".as_bytes(), "exe\u{202e}gpj", "exe\\u{202e}gpj"),
            ("línea\n".as_bytes(), "línea\n", "línea\\n"),
            ("\u{9b}31m".as_bytes(), "\u{9b}31m", "\\u{9b}31m"),
        ] {
            assert_eq!(as_json(bytes), json);
            assert_eq!(on_terminal(bytes), terminal);
        }
    }

    proptest! {
        #[test]
        fn json_loses_nothing(bytes: Vec<u8>) {
            prop_assert_eq!(restored(&as_json(&bytes)), bytes);
        }

        #[test]
        fn json_loses_nothing_near_its_escapes(text in "[\\\\x0-9a-f\u{80}\"\u{202e}\u{e0001}]{0,12}", tail: Option<u8>) {
            let mut bytes = text.into_bytes();
            bytes.extend(tail);
            prop_assert_eq!(restored(&as_json(&bytes)), bytes);
        }

        #[test]
        fn a_terminal_is_never_steered(bytes: Vec<u8>) {
            prop_assert!(!on_terminal(&bytes).chars().any(is_unsafe));
        }

        #[test]
        fn raw_json_is_safe_to_show(bytes: Vec<u8>) {
            let mut out = Vec::new();
            json(&bytes, &mut out);
            prop_assert!(!String::from_utf8(out).expect("UTF-8").chars().any(is_unsafe));
        }
    }
}
