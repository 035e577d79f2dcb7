//! Names with wildcards.

/// A name pattern: `*` stands for any text, `?` for one character.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    glob: wildmatch::WildMatch,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// When it is empty: it would match nothing.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty pattern matches nothing; leave the option out instead".into());
        }
        Ok(Self { text: text.to_owned(), glob: wildmatch::WildMatch::new(text) })
    }

    /// Whether a name matches. Invalid UTF-8 is compared as U+FFFD.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.glob.matches(&String::from_utf8_lossy(name))
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Bytes that a name has at least if it matches.
    #[must_use]
    pub fn least_bytes(&self) -> usize {
        let least = |character: char| match character {
            '*' => 0,
            '?' | char::REPLACEMENT_CHARACTER => 1,
            other => other.len_utf8(),
        };
        self.text.chars().map(least).sum()
    }

    /// The exact name, when the pattern has no wildcard.
    #[must_use]
    pub fn exact(&self) -> Option<&[u8]> {
        (!self.text.contains(['*', '?'])).then_some(self.text.as_bytes())
    }
}
