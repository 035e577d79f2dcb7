//! Entries of journald by its native protocol (systemd's `docs/JOURNAL_NATIVE_PROTOCOL.md`): a field for each key, by which
//! `journalctl` finds them.
//!
//! The crates that speak it keep one socket for the whole program and wait in it; an exporter has to end while journald hangs.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, send, sendmsg, socket_with,
};

use super::{Peer, Trouble, syslog};
use crate::export::event::{Event, fields};
use crate::export::route::Route;
use crate::runtime::outlet::{Progress, wait_for_room};

/// A field of more bytes than that is none.
const LONGEST_NAME: usize = 64;

pub(super) struct Journald {
    route: Arc<Route>,
    path: PathBuf,
    progress: Arc<Progress>,
    socket: Option<OwnedFd>,
}

impl Journald {
    pub(super) fn new(route: &Arc<Route>, path: &Path, progress: Arc<Progress>) -> Self {
        Self { route: Arc::clone(route), path: path.to_owned(), progress, socket: None }
    }

    fn connect(&self) -> io::Result<OwnedFd> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        connect(&socket, &SocketAddrUnix::new(&self.path)?)
            .map_err(|error| super::unreachable(&self.path.display(), error))?;
        Ok(socket)
    }
}

impl Peer for Journald {
    fn deliver(&mut self, batch: &mut VecDeque<Arc<Event>>) -> Result<(), Trouble> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect()?,
        };
        while let Some(event) = batch.front() {
            let entry = entry(&self.route, event);
            match hand_over(&socket, &entry) {
                Ok(()) => drop(batch.pop_front()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if !wait_for_room(socket.as_fd(), &self.progress)? {
                        break;
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.socket = Some(socket);
        Ok(())
    }

    fn reopen(&mut self) {
        self.socket = None;
    }
}

/// Sends an entry, in sealed memory when it is too long for a datagram.
fn hand_over(socket: &OwnedFd, entry: &[u8]) -> Result<(), Errno> {
    match send(socket, entry, SendFlags::NOSIGNAL) {
        Err(Errno::MSGSIZE | Errno::NOBUFS) => {}
        Err(error) => return Err(error),
        Ok(_) => return Ok(()),
    }
    let memory = memfd_create(c"memwatch-entry", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = File::from(memory);
    file.write_all(entry).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    let descriptors = [file.as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    sendmsg(socket, &[IoSlice::new(&[])], &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// An event as fields.
fn entry(route: &Route, event: &Event) -> Vec<u8> {
    let mut entry = Vec::new();
    // What is left out of the object is left out of words.
    let sentence = event.sentence.as_deref().filter(|_| route.redact.is_empty());
    push(&mut entry, "MESSAGE", sentence.unwrap_or(event.name).as_bytes());
    push(&mut entry, "PRIORITY", syslog::severity(event.severity).to_string().as_bytes());
    push(&mut entry, "SYSLOG_IDENTIFIER", b"memwatch");
    if let Some(id) = message_id(event.kind()) {
        push(&mut entry, "MESSAGE_ID", id.as_bytes());
    }
    for (key, value) in fields(&route.redacted(event)) {
        let value = value.get();
        // Numbers, flags and arrays are told as they are.
        match serde_json::from_str::<String>(value) {
            Ok(text) => push(&mut entry, &name(key), text.as_bytes()),
            Err(_) => push(&mut entry, &name(key), value.as_bytes()),
        }
    }
    entry
}

/// The field of a key: `MEMWATCH_` and the key, as far as it does not begin so itself.
fn name(key: &str) -> String {
    let bare = key.strip_prefix("memwatch.").unwrap_or(key);
    let plain =
        bare.bytes().map(|byte| if byte.is_ascii_alphanumeric() { byte.to_ascii_uppercase() } else { b'_' });
    let mut name: String = "MEMWATCH_".chars().chain(plain.map(char::from)).collect();
    name.truncate(LONGEST_NAME);
    name
}

fn push(entry: &mut Vec<u8>, name: &str, value: &[u8]) {
    entry.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        entry.push(b'\n');
        entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        entry.push(b'=');
    }
    entry.extend_from_slice(value);
    entry.push(b'\n');
}

/// What `journalctl MESSAGE_ID=…` finds each kind by; never to be changed.
fn message_id(kind: &str) -> Option<&'static str> {
    match kind {
        "decision" => Some("46e6f010397f4f30ac90bacd48270bf0"),
        "closing" => Some("d2ccd3a4ce4344818f34a1c3db0b96f5"),
        "warning" => Some("e83fa315775b4dce9aab8b29e5b6261e"),
        "true_use" => Some("fd473727abd4484a9cd8453015e0f246"),
        "lost" => Some("bca475897a464a198978206222224b57"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::event::{KINDS, Severity};
    use crate::export::route::Destination;

    fn event() -> Event {
        Event {
            name: "memwatch.decision",
            severity: Severity::Warning,
            object: b"{\"event.name\":\"memwatch.decision\",\"process.pid\":7,\"memwatch.process.comm\":\"a\\nb\"}\n".to_vec(),
            sentence: Some("killing a".to_owned()),
        }
    }

    #[test]
    fn fields_are_what_journalctl_takes() {
        let route = Route::new("test".to_owned(), Destination::Journald { path: "/s".into() });
        let mut expected = b"MESSAGE=killing a\nPRIORITY=4\nSYSLOG_IDENTIFIER=memwatch\n\
              MESSAGE_ID=46e6f010397f4f30ac90bacd48270bf0\nMEMWATCH_EVENT_NAME=memwatch.decision\n\
              MEMWATCH_PROCESS_PID=7\nMEMWATCH_PROCESS_COMM\n"
            .to_vec();
        expected.extend_from_slice(&3_u64.to_le_bytes());
        expected.extend_from_slice(b"a\nb\n");
        assert_eq!(entry(&route, &event()), expected);
    }

    #[test]
    fn each_kind_has_an_id_of_its_own() {
        let ids: std::collections::HashSet<_> = KINDS.iter().filter_map(|kind| message_id(kind)).collect();
        assert_eq!(ids.len(), KINDS.len());
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }
}
