//! What the kernel itself wrote of an OOM kill, to hold a record against.

use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::Context as _;

/// A victim, as the kernel told of it (`__oom_kill_process`, mm/oom_kill.c).
#[derive(Debug)]
pub struct Killed {
    text: String,
}

impl Killed {
    /// The last kill of a process.
    ///
    /// # Errors
    /// The log cannot be read, or does not tell of it.
    pub fn find(pid: u32) -> anyhow::Result<Self> {
        let mark = format!("Killed process {pid} (");
        let found = messages()?.into_iter().rfind(|message| message.contains(&mark));
        Ok(Self { text: found.with_context(|| format!("the kernel's log has no {mark:?}"))? })
    }

    /// One of the numbers it has by name; sizes are in bytes.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn number(&self, name: &str) -> anyhow::Result<i64> {
        let field = || {
            let (_, rest) = self.text.split_once(&format!("{name}:"))?;
            let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '-');
            let (digits, unit) = rest.split_at(end.unwrap_or(rest.len()));
            Some(digits.parse::<i64>().ok()? << if unit.starts_with("kB") { 10 } else { 0 })
        };
        field().with_context(|| format!("no {name} in {:?}", self.text))
    }
}

/// The messages that the kernel still has, the oldest first.
fn messages() -> anyhow::Result<Vec<String>> {
    const LONGEST: usize = 8192;
    let mut options = std::fs::File::options();
    let mut log = options
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")
        .context("open the kernel's log")?;
    let (mut messages, mut record) = (Vec::new(), vec![0; LONGEST]);
    loop {
        match log.read(&mut record) {
            Ok(0) => return Ok(messages),
            Ok(length) => {
                messages.push(String::from_utf8_lossy(record.get(..length).unwrap_or_default()).into_owned());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(messages),
            // What was next has been written over.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => (),
            Err(error) => return Err(error).context("read the kernel's log"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_by_name_and_unit() {
        let text = "3,1,2,-;Memory cgroup out of memory: Killed process 7 (x) total-vm:8kB, anon-rss:4kB, \
                    file-rss:0kB, shmem-rss:0kB, UID:65534 pgtables:12kB oom_score_adj:-500\n";
        let killed = Killed { text: text.to_owned() };
        let number = |name| killed.number(name).ok();
        assert_eq!(number("total-vm"), Some(8192));
        assert_eq!(number("UID"), Some(65534));
        assert_eq!(number("oom_score_adj"), Some(-500));
        assert_eq!(number("swap"), None);
    }
}
