//! `/proc/PID/cmdline`: an argument vector.

/// Arguments kept of one process: with the bytes read, it bounds what a hostile neighbour can make the ledger hold.
const ARGS_MAX: usize = 64;

/// Splits an argument vector at its zeros; beyond 64 arguments the rest is left out.
///
/// Any bytes are an argument vector. A process that overwrote its own (`setproctitle`) may have left zeros at the end:
/// they are not arguments.
#[must_use]
pub fn parse_cmdline(text: &[u8]) -> Vec<Vec<u8>> {
    let Some(last) = text.iter().rposition(|&byte| byte != 0) else { return Vec::new() };
    let text = text.get(..=last).unwrap_or_default();
    text.split(|&byte| byte == 0).take(ARGS_MAX).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_separate_and_end_arguments() {
        assert_eq!(parse_cmdline(b"uwsgi\0--http\0:80\0"), [&b"uwsgi"[..], b"--http", b":80"]);
        assert_eq!(parse_cmdline(b"a\0\0b\0"), [&b"a"[..], b"", b"b"]);
        assert_eq!(parse_cmdline(b"nginx: worker\0\0\0\0"), [b"nginx: worker"]);
        assert_eq!(parse_cmdline(b"cut in the mid"), [b"cut in the mid"]);
        assert!(parse_cmdline(b"").is_empty());
        assert!(parse_cmdline(b"\0\0").is_empty());
    }

    #[test]
    fn their_number_is_bounded() {
        assert_eq!(parse_cmdline(&b"x\0".repeat(500)).len(), ARGS_MAX);
    }
}
