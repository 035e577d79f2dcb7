//! What the kernel itself wrote of an OOM kill, to hold a record against.

use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::Context as _;

use crate::syscall::memory::PAGE;

/// A victim, as the kernel told of it (`__oom_kill_process`, mm/oom_kill.c).
#[derive(Debug)]
pub struct Killed {
    text: String,
    /// What it wrote since it was short of memory (`dump_header`, mm/oom_kill.c): who asked, and whom it could choose from.
    before: Vec<String>,
}

impl Killed {
    /// The last kill of a process.
    ///
    /// # Errors
    /// The log cannot be read, or does not tell of it.
    pub fn find(pid: u32) -> anyhow::Result<Self> {
        Self::among(messages()?, pid)
    }

    fn among(mut messages: Vec<String>, pid: u32) -> anyhow::Result<Self> {
        let mark = format!("Killed process {pid} (");
        let at = messages.iter().rposition(|message| message.contains(&mark));
        messages.truncate(at.with_context(|| format!("the kernel's log has no {mark:?}"))? + 1);
        let text = messages.pop().unwrap_or_default();
        let start = messages.iter().rposition(|message| message.contains(ASKED)).unwrap_or(messages.len());
        Ok(Self { text, before: messages.split_off(start) })
    }

    /// Name and id of the thread that asked for memory when there was none.
    ///
    /// # Errors
    /// The log does not tell.
    pub fn asker(&self) -> anyhow::Result<(&str, u32)> {
        let find = || {
            let (name, _) = body(self.before.first()?).split_once(ASKED)?;
            let tid = self.before.iter().find_map(|message| {
                let (rest, _) = body(message).split_once(" Comm: ")?;
                rest.rsplit_once(" PID: ")?.1.trim().parse().ok()
            });
            Some((name, tid?))
        };
        find().with_context(|| format!("the kernel's log does not tell who asked before {:?}", self.text))
    }

    /// Bytes of a process that were swapped out when the victim was chosen: the third figure from the end of its row in the
    /// table of processes (`dump_task`).
    ///
    /// # Errors
    /// The log does not have it.
    pub fn swapped(&self, pid: u32) -> anyhow::Result<u64> {
        let find = |message: &String| {
            let (id, row) = body(message).strip_prefix('[')?.split_once(']')?;
            let pages = || row.split_whitespace().rev().nth(2)?.parse::<u64>().ok();
            (id.trim().parse() == Ok(pid)).then(pages)?
        };
        let pages = self.before.iter().find_map(find);
        Ok(pages.with_context(|| format!("{pid} is not in the kernel's table of processes"))? * PAGE)
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

/// What stands behind the name of who asked.
const ASKED: &str = " invoked oom-killer";

/// A message without the kernel's own numbers in front of it.
fn body(message: &str) -> &str {
    message.split_once(';').map_or(message, |(_, body)| body)
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
        let killed = Killed { text: text.to_owned(), before: Vec::new() };
        let number = |name| killed.number(name).ok();
        assert_eq!(number("total-vm"), Some(8192));
        assert_eq!(number("UID"), Some(65534));
        assert_eq!(number("oom_score_adj"), Some(-500));
        assert_eq!(number("swap"), None);
    }

    #[test]
    fn who_asked_and_what_was_swapped_are_of_the_same_kill() {
        let messages = |asker: &str, tid: u32, swapped: u32| {
            [
                format!(
                    "4,1,2,-;{asker} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n"
                ),
                format!("4,1,2,-;CPU: 1 UID: 65534 PID: {tid} Comm: {asker} Not tainted 6.18.0 #1\n"),
                "6,1,2,-;[  pid  ]   uid  tgid total_vm rss pgtables_bytes swapents oom_score_adj name\n"
                    .to_owned(),
                format!(
                    "6,1,2,-;[      7]     0     7    14056    13494   151552        {swapped}          1000 x\n"
                ),
                "3,1,2,-;Memory cgroup out of memory: Killed process 7 (x) total-vm:8kB\n".to_owned(),
            ]
        };
        let mut log = [messages("first", 8, 1), messages("second one", 9, 3)].concat();
        let killed = Killed::among(log.clone(), 7).unwrap();
        assert_eq!(killed.asker().unwrap(), ("second one", 9));
        assert_eq!(killed.swapped(7).unwrap(), 3 * 4096);
        assert!(killed.swapped(9).is_err());
        log.truncate(5);
        assert_eq!(Killed::among(log.clone(), 7).unwrap().asker().unwrap(), ("first", 8));
        // The log was written over up to the kill.
        assert!(Killed::among(log.split_off(4), 7).unwrap().asker().is_err());
        assert!(Killed::among(log, 7).is_err());
    }
}
