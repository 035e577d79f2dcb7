//! A systemd unit as the target of an act.

use std::io;
use std::process::{Child, Command, Stdio};

use super::Guard;
use super::cgroup::Target;
use crate::core::fact::ProcessKey;
use crate::core::policy::Outcome;

/// The unit of a process, whose processes the guard all lets go.
pub(super) fn find(guard: &mut Guard, key: ProcessKey) -> Result<String, Outcome> {
    guard.admit(key)?;
    let Some((unit, folder)) = guard.unit_of(key.tgid) else {
        tracing::warn!("process {} is in no unit of this host's systemd: none is stopped", key.tgid);
        return Err(Outcome::Guarded);
    };
    Target::around(guard, key, folder).map(|_| unit)
}

/// Asks systemd to stop a unit; that it has does not mean that it could.
pub(super) fn stop(unit: &str) -> Outcome {
    let started = Command::new("systemctl")
        .args(["--no-block", "--no-ask-password", "stop", "--", unit])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|child| wait_for(child, unit.to_owned()));
    match started {
        Ok(()) => Outcome::Sent,
        Err(error) => {
            tracing::warn!("cannot ask systemd to stop {unit}: systemctl: {error}");
            Outcome::Failed(error.raw_os_error().unwrap_or(libc::EIO))
        }
    }
}

/// Waits for its answer on a thread of its own, and tells if it is none.
fn wait_for(child: Child, unit: String) -> io::Result<()> {
    let wait = move || match child.wait_with_output() {
        Ok(done) if done.status.success() => tracing::debug!("systemd stops {unit}"),
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stderr);
            tracing::warn!("systemd does not stop {unit}: {}", said.trim());
        }
        Err(error) => tracing::warn!("it is not known whether systemd stops {unit}: {error}"),
    };
    std::thread::Builder::new().name("memwatch-unit".into()).spawn(wait).map(drop)
}
