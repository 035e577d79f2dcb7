//! A line `LimitNOFILE=` in the text of a unit file.

/// A soft and a hard limit; `u64::MAX` is `infinity`, of which systemd gives what the kernel allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NofileSetting {
    /// The soft limit.
    pub soft: u64,
    /// The hard limit.
    pub hard: u64,
}

impl NofileSetting {
    /// Whether a process that was started with this setting has these limits, where the kernel allows `nr_open`.
    #[must_use]
    pub fn gives(self, soft: u64, hard: u64, nr_open: u64) -> bool {
        (self.soft.min(nr_open), self.hard.min(nr_open)) == (soft, hard)
    }
}

/// The last assignment of `key` in `section`: `None` when there is none, `Some(None)` when it takes earlier ones back.
///
/// Any bytes are a text; lines that are not understood count for nothing, as with systemd (`rlimit_parse` of
/// src/basic/rlimit-util.c).
#[must_use]
pub fn parse_setting(text: &[u8], section: &str, key: &str) -> Option<Option<NofileSetting>> {
    let mut is_here = false;
    let mut found = None;
    for line in String::from_utf8_lossy(text).lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_here = name == section;
        } else if is_here
            && let Some((name, value)) = line.split_once('=')
            && name.trim_end() == key
        {
            match value.trim() {
                "" => found = Some(None),
                value => found = parse_value(value).map(Some).or(found),
            }
        }
    }
    found
}

fn parse_value(text: &str) -> Option<NofileSetting> {
    let limit = |text: &str| if text == "infinity" { Some(u64::MAX) } else { text.parse().ok() };
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let setting = NofileSetting { soft: limit(soft)?, hard: limit(hard)? };
    (setting.soft <= setting.hard).then_some(setting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Option<(u64, u64)>> {
        let setting = parse_setting(text.as_bytes(), "Service", "LimitNOFILE");
        setting.map(|setting| setting.map(|setting| (setting.soft, setting.hard)))
    }

    #[test]
    fn the_last_assignment_counts() {
        assert_eq!(parsed("[Service]\nLimitNOFILE=1024:524288\n"), Some(Some((1024, 524_288))));
        assert_eq!(
            parsed("[Service]\nLimitNOFILE = 1\nLimitNOFILE=infinity\n"),
            Some(Some((u64::MAX, u64::MAX)))
        );
        assert_eq!(parsed("[Service]\nLimitNOFILE=1\nLimitNOFILE=\n"), Some(None));
        assert_eq!(parsed("[Service]\nLimitNOFILE=1\nLimitNOFILE=many\n"), Some(Some((1, 1))));
    }

    #[test]
    fn other_lines_say_nothing() {
        for text in [
            "",
            "LimitNOFILE=1",
            "[Unit]\nLimitNOFILE=1",
            "[Service]\n#LimitNOFILE=1\n;LimitNOFILE=1\nLimitNOFILESoft=1\n[Install]\nLimitNOFILE=1",
            "[Service]\nLimitNOFILE=2:1",
            "[Service]\nLimitNOFILE=18446744073709551616",
        ] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

    #[test]
    fn infinity_gives_what_the_kernel_allows() {
        let infinity = NofileSetting { soft: u64::MAX, hard: u64::MAX };
        assert!(infinity.gives(1 << 20, 1 << 20, 1 << 20) && !infinity.gives(4096, 1 << 20, 1 << 20));
        let default = NofileSetting { soft: 1024, hard: u64::MAX };
        assert!(default.gives(1024, 1 << 20, 1 << 20) && !default.gives(4096, 1 << 20, 1 << 20));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_text(bytes: Vec<u8>, value in "[0-9a-z:]{0,24}") {
            let _ = parse_setting(&bytes, "Service", "LimitNOFILE");
            let setting = parse_setting(format!("[S]\nk={value}").as_bytes(), "S", "k").flatten();
            proptest::prop_assert!(setting.is_none_or(|setting| setting.soft <= setting.hard));
        }
    }
}
