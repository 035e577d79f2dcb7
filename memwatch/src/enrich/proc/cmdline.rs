//! `/proc/PID/cmdline`: an argument vector.

/// Arguments kept of one process: with the bytes read, it bounds what a hostile neighbour can make the ledger hold.
const ARGS_MAX: usize = 64;

/// An argument vector, or its first part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    /// The arguments: any bytes each, the last one perhaps not whole.
    pub words: Vec<Vec<u8>>,
    /// Whether there is more of them.
    pub are_cut: bool,
}

/// Splits an argument vector at its zeros; beyond 64 arguments the rest is left out. `is_whole` says that the text is all there is.
///
/// Any bytes are an argument vector. A process that overwrote its own (`setproctitle`) may have left zeros at the end:
/// they are not arguments.
#[must_use]
pub fn parse_cmdline(text: &[u8], is_whole: bool) -> Arguments {
    let last = text.iter().rposition(|&byte| byte != 0);
    let Some(text) = last.and_then(|last| text.get(..=last)) else {
        return Arguments { words: Vec::new(), are_cut: !is_whole };
    };
    let mut words = text.split(|&byte| byte == 0);
    let kept = words.by_ref().take(ARGS_MAX).map(<[u8]>::to_vec).collect();
    Arguments { words: kept, are_cut: !is_whole || words.next().is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_separate_and_end_arguments() {
        let words = |text: &[u8]| {
            let arguments = parse_cmdline(text, true);
            assert!(!arguments.are_cut);
            arguments.words
        };
        assert_eq!(words(b"uwsgi\0--http\0:80\0"), [&b"uwsgi"[..], b"--http", b":80"]);
        assert_eq!(words(b"a\0\0b\0"), [&b"a"[..], b"", b"b"]);
        assert_eq!(words(b"nginx: worker\0\0\0\0"), [b"nginx: worker"]);
        assert!(words(b"").is_empty());
        assert!(words(b"\0\0").is_empty());
    }

    #[test]
    fn what_is_missing_is_told() {
        let cut = |words: &[&[u8]]| Arguments {
            words: words.iter().map(|word| word.to_vec()).collect(),
            are_cut: true,
        };
        assert_eq!(parse_cmdline(b"cut in the mid", false), cut(&[b"cut in the mid"]));
        assert_eq!(parse_cmdline(b"a\0b\0", false), cut(&[b"a", b"b"]));
        assert_eq!(parse_cmdline(b"", false), cut(&[]));
    }

    #[test]
    fn their_number_is_bounded() {
        for (words, are_cut) in [(ARGS_MAX, false), (ARGS_MAX + 1, true), (500, true)] {
            let arguments = parse_cmdline(&b"x\0".repeat(words), true);
            assert_eq!((arguments.words.len(), arguments.are_cut), (ARGS_MAX, are_cut), "{words}");
        }
    }
}
