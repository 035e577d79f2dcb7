//! Tells systemd how the daemon is (`sd_notify(3)`): ready, reloading, in words, and that it lives.
//!
//! A message that cannot be delivered at once is dropped: a service manager that hangs holds nobody. That is why the library
//! `sd-notify` is not used, whose sends wait.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::sys;

/// The way to the service manager; without one, all of it does nothing.
#[derive(Debug, Default)]
pub struct Notifier {
    way: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// As the environment says.
    ///
    /// # Errors
    /// When it names a socket that cannot be one.
    pub fn from_environment() -> io::Result<Self> {
        let is_own = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let watchdog = env::var("WATCHDOG_USEC").ok().filter(|_| is_own);
        Self::new(env::var_os("NOTIFY_SOCKET").as_deref(), watchdog.as_deref())
    }

    fn new(socket: Option<&OsStr>, watchdog: Option<&str>) -> io::Result<Self> {
        let Some(socket) = socket else { return Ok(Self::default()) };
        let address = match socket.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(socket)?,
            _ => {
                let reason = format!("NOTIFY_SOCKET={socket:?} is neither a path nor an abstract name");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
            }
        };
        let from = UnixDatagram::unbound()?;
        from.set_nonblocking(true)?;
        let watchdog =
            watchdog.and_then(|us| us.parse().ok()).filter(|us| *us > 0).map(Duration::from_micros);
        Ok(Self { way: Some((from, address)), watchdog })
    }

    /// How often to call [`Self::alive`]: twice as often as asked for; `None`: not at all.
    #[must_use]
    pub fn watchdog_period(&self) -> Option<Duration> {
        self.watchdog.map(|within| within / 2)
    }

    /// It runs and obeys its configuration, also after a reload.
    pub fn ready(&self) {
        self.tell("READY=1\n");
    }

    /// It reads its configuration anew; [`Self::ready`] ends that.
    pub fn reloading(&self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}\n", sys::monotonic_ns() / 1000));
    }

    /// It ends.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\n");
    }

    /// How it is, in one line for `systemctl status`.
    pub fn status(&self, line: &str) {
        if self.way.is_some() {
            self.tell(&format!("STATUS={}\n", line.replace('\n', " ")));
        }
    }

    /// It lives.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1\n");
    }

    fn tell(&self, text: &str) {
        if let Some((from, to)) = &self.way
            && let Err(error) = from.send_to_addr(text.as_bytes(), to)
        {
            tracing::debug!("the service manager does not take {text:?}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::time::Instant;

    fn manager(name: &str) -> (UnixDatagram, PathBuf) {
        let path = env::temp_dir().join(format!("memwatch-notify-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        (UnixDatagram::bind(&path).unwrap(), path)
    }

    fn heard(manager: &UnixDatagram) -> String {
        let mut room = [0; 256];
        let len = manager.recv(&mut room).unwrap();
        String::from_utf8(room[..len].to_vec()).unwrap()
    }

    #[test]
    fn each_state_is_told() {
        let (manager, path) = manager("each");
        let notifier = Notifier::new(Some(path.as_os_str()), Some("30000000")).unwrap();
        assert_eq!(notifier.watchdog_period(), Some(Duration::from_secs(15)));
        notifier.ready();
        assert_eq!(heard(&manager), "READY=1\n");
        notifier.status("3 pools\nREADY=0");
        assert_eq!(heard(&manager), "STATUS=3 pools READY=0\n");
        notifier.alive();
        assert_eq!(heard(&manager), "WATCHDOG=1\n");
        notifier.reloading();
        assert!(heard(&manager).starts_with("RELOADING=1\nMONOTONIC_USEC="));
        notifier.stopping();
        assert_eq!(heard(&manager), "STOPPING=1\n");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn an_abstract_socket_is_found() {
        let name = format!("memwatch-notify-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Notifier::new(Some(OsStr::new(&format!("@{name}"))), None).unwrap().ready();
        assert_eq!(heard(&manager), "READY=1\n");
    }

    #[test]
    fn a_manager_that_hangs_or_is_gone_holds_nobody() {
        let (manager, path) = manager("hangs");
        let notifier = Notifier::new(Some(path.as_os_str()), None).unwrap();
        let started = Instant::now();
        (0..10_000).for_each(|_| notifier.alive());
        drop(manager);
        std::fs::remove_file(path).unwrap();
        notifier.alive();
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn without_a_service_manager_nothing_is_told() {
        let notifier = Notifier::new(None, Some("1")).unwrap();
        assert_eq!(notifier.watchdog_period(), None);
        notifier.ready();
        assert!(Notifier::new(Some(OsStr::new("vsock:2:1")), None).is_err());
        let (_manager, path) = manager("odd");
        for odd in ["0", "-1", "x"] {
            assert_eq!(Notifier::new(Some(path.as_os_str()), Some(odd)).unwrap().watchdog_period(), None);
        }
        std::fs::remove_file(path).unwrap();
    }
}
