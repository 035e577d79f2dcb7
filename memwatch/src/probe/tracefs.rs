//! Trace events: their ids and formats.
//!
//! tracefs is read where it is mounted, else through a detached mount of our own, which nobody else sees and which
//! ends with the descriptor.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A readable tracefs.
#[derive(Debug)]
pub struct Tracefs {
    root: PathBuf,
    /// A detached mount, which lives as long.
    mount: Option<OwnedFd>,
}

impl Tracefs {
    /// Finds or makes one.
    ///
    /// # Errors
    /// When none is mounted and a detached mount is refused (no CAP_SYS_ADMIN).
    pub fn open() -> io::Result<Self> {
        for root in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"] {
            // Unreadable counts as not there: it may be mounted for others only.
            if File::open(format!("{root}/events/syscalls/sys_exit_mmap/id")).is_ok() {
                return Ok(Self { root: root.into(), mount: None });
            }
        }
        let mount = crate::sys::detached_mount(c"tracefs")?;
        Ok(Self { root: format!("/proc/self/fd/{}", mount.as_raw_fd()).into(), mount: Some(mount) })
    }

    /// Where it is mounted for all to see; `None` for a mount of our own.
    #[must_use]
    pub fn mounted_at(&self) -> Option<&Path> {
        self.mount.is_none().then_some(&self.root)
    }

    fn read(&self, category: &str, event: &str, file: &str) -> io::Result<String> {
        std::fs::read_to_string(self.root.join("events").join(category).join(event).join(file))
    }

    /// The id of a trace event, for `perf_event_open(2)`.
    ///
    /// # Errors
    /// When the kernel does not have the event.
    pub fn id(&self, category: &str, event: &str) -> io::Result<u64> {
        self.read(category, event, "id")?.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Offset and size, in bytes, of a field in the event's record.
    ///
    /// # Errors
    /// When the kernel does not have the event or the field.
    pub fn field(&self, category: &str, event: &str, name: &str) -> io::Result<(u32, u32)> {
        field_in(&self.read(category, event, "format")?, name).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("trace event {category}:{event} has no field {name}"),
            )
        })
    }
}

/// Finds `field:TYPE NAME; offset:O; size:S;` in an event's format.
fn field_in(format: &str, name: &str) -> Option<(u32, u32)> {
    format.lines().filter_map(|line| line.trim().strip_prefix("field:")).find_map(|line| {
        let mut parts = line.split(';').map(str::trim);
        let declared = parts.next()?.rsplit([' ', '*']).next()?.split('[').next()?;
        if declared != name {
            return None;
        }
        let offset = parts.next()?.strip_prefix("offset:")?.parse().ok()?;
        let size = parts.next()?.strip_prefix("size:")?.parse().ok()?;
        Some((offset, size))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_fields() {
        let format = "name: sys_exit_mmap\nID: 1\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\
                      \tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n\tfield:long ret;\toffset:16;\tsize:8;\tsigned:1;\n\
                      \tfield:char comm[16];\toffset:24;\tsize:16;\tsigned:0;\n";
        assert_eq!(field_in(format, "ret"), Some((16, 8)));
        assert_eq!(field_in(format, "comm"), Some((24, 16)));
        assert_eq!(field_in(format, "absent"), None);
        assert_eq!(field_in("field:;offset", ""), None);
    }
}
