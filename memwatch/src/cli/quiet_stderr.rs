//! Standard error for the log: what nobody reads or takes is dropped, so that no message holds the program up or ends it.

use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Bytes that a pipe takes at once when it says that it takes any (`PIPE_BUF`, pipe(7)).
const AT_ONCE: usize = 4096;

/// A writer that never fails and never waits.
#[derive(Debug, Default)]
pub(super) struct QuietStderr;

impl Write for QuietStderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        for part in text.chunks(AT_ONCE) {
            let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
            let takes = poll(&mut ready, Some(&now)).is_ok_and(|count| count > 0)
                && ready.iter().all(|fd| fd.revents().contains(PollFlags::OUT));
            if !takes || stderr.write_all(part).is_err() {
                break;
            }
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
