//! Bytes of the ring buffer in, events out.
//!
//! Total: any bytes give an [`Event`] or a [`DecodeError`]. A number that stands for a choice is checked here, so
//! that the stages after this one never meet one that nobody gave.

use memwatch_ebpf::abi::event::{self, ARGS_LEN, Kind, Record};
use memwatch_ebpf::abi::header::Header;
use memwatch_ebpf::abi::{VERSION, state};
use memwatch_ebpf::table::Fit;
use zerocopy::FromBytes;

use crate::core::fact::{Body, Event};

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not even a header.
    #[error("cannot decode a record: {have} bytes are shorter than a header; report this as a bug")]
    Short {
        /// Bytes there are.
        have: usize,
    },
    /// Written by another version of the kernel side.
    #[error(
        "cannot decode a record: its wire version is {found}, this program reads {VERSION}; restart memwatch"
    )]
    Version {
        /// The version in the header.
        found: u16,
    },
    /// A kind that nobody gave.
    #[error("cannot decode a record: no kind has the number {found}; report this as a bug")]
    Kind {
        /// The number in the header.
        found: u16,
    },
    /// The header's length is not the one of its kind.
    #[error(
        "cannot decode a {kind:?} record: its header says {said} bytes, the kind has {expected}; report this as a bug"
    )]
    Length {
        /// The kind.
        kind: Kind,
        /// Bytes as the header states them.
        said: u16,
        /// Bytes of a record of that kind.
        expected: usize,
    },
    /// Fewer bytes than the header states.
    #[error("cannot decode a {kind:?} record: {have} of {expected} bytes are there; report this as a bug")]
    Truncated {
        /// The kind.
        kind: Kind,
        /// Bytes there are.
        have: usize,
        /// Bytes of a record of that kind.
        expected: usize,
    },
    /// A number that stands for a choice nobody gave.
    #[error("cannot decode a {kind:?} record: {value} is no {field}; report this as a bug")]
    Number {
        /// The kind.
        kind: Kind,
        /// What the number should have been.
        field: &'static str,
        /// The number.
        value: u32,
    },
}

/// Decodes one record. `bytes` may be longer than the record: the ring buffer rounds up to 8.
///
/// # Errors
/// When the bytes are not a record of this wire version.
pub fn decode(bytes: &[u8]) -> Result<Event, DecodeError> {
    let Ok((header, rest)) = Header::read_from_prefix(bytes) else {
        return Err(DecodeError::Short { have: bytes.len() });
    };
    if header.version != VERSION {
        return Err(DecodeError::Version { found: header.version });
    }
    let Some(kind) = Kind::from_number(header.kind) else {
        return Err(DecodeError::Kind { found: header.kind });
    };
    let payload = Payload { kind, said: header.len, have: bytes.len(), rest };
    let body = match kind {
        Kind::Mmap => Body::Mmap(payload.read()?),
        Kind::Munmap => Body::Munmap(payload.read()?),
        Kind::Mremap => Body::Mremap(payload.read()?),
        Kind::Brk => Body::Brk(payload.read()?),
        Kind::Fault => Body::Fault(payload.read()?),
        Kind::Rss => Body::Rss(payload.read()?),
        Kind::RlimitRead => Body::RlimitRead(rlimit(&payload)?),
        Kind::RlimitSet => Body::RlimitSet(rlimit(&payload)?),
        Kind::FdTableGrowth => Body::FdTableGrowth(payload.read()?),
        Kind::CloseSweep => Body::CloseSweep(close_sweep(&payload)?),
        Kind::FdTable => Body::FdTable(fd_table(&payload)?),
        Kind::Action => Body::Action(action(&payload)?),
        Kind::OomKill => Body::OomKill(oom_kill(&payload)?),
        Kind::Exec => Body::Exec(exec(&payload)?),
        Kind::Fork => Body::Fork(payload.read()?),
        Kind::Exit => Body::Exit(payload.read()?),
    };
    Ok(Event { header, body })
}

/// What follows a header, and what the header says of it.
struct Payload<'a> {
    kind: Kind,
    said: u16,
    have: usize,
    rest: &'a [u8],
}

impl Payload<'_> {
    #[inline]
    fn read<T: FromBytes>(&self) -> Result<T, DecodeError> {
        let expected = size_of::<Record<T>>();
        if usize::from(self.said) != expected {
            return Err(DecodeError::Length { kind: self.kind, said: self.said, expected });
        }
        T::read_from_prefix(self.rest).map(|(body, _)| body).map_err(|_| DecodeError::Truncated {
            kind: self.kind,
            have: self.have,
            expected,
        })
    }

    fn check(&self, field: &'static str, value: u32, known: bool) -> Result<(), DecodeError> {
        if known { Ok(()) } else { Err(DecodeError::Number { kind: self.kind, field, value }) }
    }
}

fn rlimit(payload: &Payload<'_>) -> Result<event::Rlimit, DecodeError> {
    let body: event::Rlimit = payload.read()?;
    let known = event::RLIMIT_HAS_OLD | event::RLIMIT_HAS_NEW | event::RLIMIT_FOREIGN_TARGET;
    // The resource is the caller's number, which may be nonsense: the kernel has refused it then.
    payload.check("set of known limits", body.has, body.has & !known == 0)?;
    Ok(body)
}

fn close_sweep(payload: &Payload<'_>) -> Result<event::CloseSweep, DecodeError> {
    let body: event::CloseSweep = payload.read()?;
    payload.check("phase", body.phase, (event::SWEEP_START..=event::SWEEP_END).contains(&body.phase))?;
    Ok(body)
}

fn fd_table(payload: &Payload<'_>) -> Result<event::FdTable, DecodeError> {
    let body: event::FdTable = payload.read()?;
    let how = body.learned.how;
    payload.check(
        "state",
        body.state,
        (event::TABLE_MAPPED..=event::TABLE_SIGNALLED).contains(&body.state),
    )?;
    payload.check("source", body.source, (event::SOURCE_MMAP..=event::SOURCE_BRK).contains(&body.source))?;
    payload.check("fit", body.fit, Fit::from_number(body.fit).is_some())?;
    payload.check(
        "way of learning a limit",
        how,
        (state::LEARNED_READ..=state::LEARNED_READ_HARD).contains(&how),
    )?;
    Ok(body)
}

fn action(payload: &Payload<'_>) -> Result<event::Action, DecodeError> {
    let body: event::Action = payload.read()?;
    let known = event::ACTION_SIGNAL_MAPPED..=event::ACTION_SIGNAL_RSS;
    payload.check("action", body.what, known.contains(&body.what))?;
    Ok(body)
}

fn oom_kill(payload: &Payload<'_>) -> Result<event::OomKill, DecodeError> {
    let body: event::OomKill = payload.read()?;
    payload.check("domain", body.domain, body.domain <= event::OOM_CGROUP)?;
    Ok(body)
}

fn exec(payload: &Payload<'_>) -> Result<Box<event::Exec>, DecodeError> {
    let body: event::Exec = payload.read()?;
    payload.check("length of the kept arguments", body.args_len, body.args_len as usize <= ARGS_LEN)?;
    Ok(Box::new(body))
}

#[cfg(test)]
mod tests;
