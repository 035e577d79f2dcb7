//! Frees the memory of killed processes, so that it is back before they get to run and end (`process_mrelease(2)`).
//!
//! The kernel does that work in the calling thread, a good part of a second for many GiB, so it has a thread of its own. A victim
//! that finds the queue full frees its memory by itself, as it would without this.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::sys;

/// Victims that wait at most.
const QUEUE: usize = 64;
/// Pause before a victim that is not to be freed yet is tried again; its end is noticed at once.
const PAUSE: Duration = Duration::from_millis(5);
/// Time after which a victim is left to itself.
const DEADLINE: Duration = Duration::from_secs(2);

/// The thread that frees memory. It ends with this.
#[derive(Debug)]
pub(super) struct Reaper {
    queue: SyncSender<OwnedFd>,
}

impl Reaper {
    pub(super) fn start() -> io::Result<Self> {
        let (queue, victims) = sync_channel(QUEUE);
        std::thread::Builder::new().name("memwatch-reaper".into()).spawn(move || free_each(&victims))?;
        Ok(Self { queue })
    }

    /// Takes a process that SIGKILL was sent to.
    pub(super) fn take(&self, victim: OwnedFd) {
        if self.queue.try_send(victim).is_err() {
            tracing::debug!("{QUEUE} victims wait to be freed; one more frees its memory by itself");
        }
    }
}

fn free_each(victims: &Receiver<OwnedFd>) {
    while let Ok(victim) = victims.recv() {
        match free(&victim) {
            Ok(()) => tracing::debug!("freed the memory of a victim"),
            Err(error) => tracing::debug!("a victim frees its memory by itself: {error}"),
        }
    }
}

/// Frees a victim's memory; returns also when it has ended by itself.
fn free(victim: &OwnedFd) -> io::Result<()> {
    let started = Instant::now();
    loop {
        match sys::process::release_memory(victim.as_fd()) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(()),
            // Its map is in use, or the signal has not been taken notice of.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EINVAL | libc::EINTR))
                    && started.elapsed() < DEADLINE => {}
            result => return result,
        }
        let pause = Timespec { tv_sec: 0, tv_nsec: i64::from(PAUSE.subsec_nanos()) };
        let mut end = [PollFd::new(victim, PollFlags::IN)];
        if poll(&mut end, Some(&pause)).is_ok_and(|ended| ended > 0) {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    use std::process::{Command, Stdio};

    fn child() -> (std::process::Child, OwnedFd) {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let pid = Pid::from_raw(child.id() as i32).unwrap();
        let process = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        (child, process)
    }

    #[test]
    fn who_is_being_killed_is_freed() {
        let (mut child, process) = child();
        sys::process::send_signal(process.as_fd(), libc::SIGKILL).unwrap();
        match free(&process) {
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {}
            result => result.unwrap(),
        }
        child.wait().unwrap();
    }

    #[test]
    fn who_runs_is_not_freed() {
        let (mut child, process) = child();
        let refused = sys::process::release_memory(process.as_fd()).unwrap_err();
        assert!(matches!(refused.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)), "{refused}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
