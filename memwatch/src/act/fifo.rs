//! Orders to a master by the FIFO that it reads.

use std::io::{self, Write};
use std::path::Path;

use crate::core::fact::ProcessKey;
use crate::core::policy::Outcome;
use crate::enrich::fifo::Fifo;
use crate::enrich::proc::{ProcFs, scan_stat};

/// Bytes read of `stat`.
const ROOM: usize = 2048;

/// Writes one byte to the FIFO of a process, if it is still that process.
pub(super) fn write(key: ProcessKey, byte: u8) -> Outcome {
    let Ok(dir) =
        ProcFs::open(Path::new("/proc")).map_err(drop).and_then(|proc| proc.process(key.tgid).map_err(drop))
    else {
        return Outcome::Gone;
    };
    let mut room = [0; ROOM];
    let is_same = dir
        .read_into("stat", &mut room)
        .is_ok_and(|text| scan_stat(text).is_ok_and(|stat| stat.key().is_same(key) && !stat.has_ended()));
    if !is_same {
        return Outcome::Gone;
    }
    let fifo = match Fifo::read_by(&dir) {
        Ok(fifo) => fifo,
        Err(way) => {
            tracing::warn!("process {} is not told anything: its FIFO is {way:?}", key.tgid);
            return Outcome::Failed(libc::ENXIO);
        }
    };
    let written = fifo.open(&dir).and_then(|mut file| file.write_all(&[byte]));
    written.map_or_else(
        |error: io::Error| Outcome::Failed(error.raw_os_error().unwrap_or(libc::EIO)),
        |()| Outcome::Sent,
    )
}
