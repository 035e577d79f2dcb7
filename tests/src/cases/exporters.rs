//! Who is told of decisions: files, sockets and readers that come, go and stall; each event is accounted for.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::daemon::{NEEDS, POOL, children, policy, pool};
use crate::case::Case;
use crate::child::{PATIENCE, Running};
use crate::line::Line;
use crate::locate;
use crate::need::Need;
use crate::program;
use crate::scratch::Scratch;
use crate::tracer::eventually;

pub(super) const CASES: &[Case] = &[
    Case::new("exporters::a_file_that_is_moved_away_is_made_anew", NEEDS, moved),
    Case::new("exporters::a_full_disk_loses_nothing_that_waits", NEEDS, full),
    Case::new("exporters::a_peer_that_comes_back_goes_on", NEEDS, peer),
    Case::new("exporters::nobody_reads_and_all_is_counted", NEEDS, unread),
    Case::new("exporters::journald_finds_them_by_field", JOURNALD_NEEDS, journald),
    Case::new("exporters::rsyslog_takes_them", RSYSLOG_NEEDS, rsyslog),
    Case::new("exporters::a_changed_file_changes_who_is_told", NEEDS, changed),
];

const JOURNALD_NEEDS: &[Need] =
    &[Need::Root, Need::Tracing, Need::InitialPids, Need::Program("lib/systemd/systemd-journald")];
const RSYSLOG_NEEDS: &[Need] =
    &[Need::Root, Need::Tracing, Need::InitialPids, Need::Program("usr/sbin/rsyslogd")];

const MIB: u64 = 1 << 20;

/// A pool whose workers are asked to leave again and again, and a daemon that tells of it.
pub(super) struct Told {
    pool: Running,
    pub(super) daemon: Running,
    scratch: Scratch,
}

/// What became of an exporter's events, as the daemon says at its end.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) produced: u64,
    pub(super) delivered: u64,
    pub(super) shed: u64,
    pub(super) held_back: u64,
    /// Of those that were shed.
    pub(super) refused: u64,
}

impl Told {
    /// Starts both; `DIR` in the configuration stands for a folder of the test's own.
    pub(super) fn new(exports: &str, output: Stdio) -> anyhow::Result<Self> {
        Self::within(exports, output, None)
    }

    /// The same behind a script that a shell runs in a mount namespace of its own, in that folder, before it becomes the daemon.
    pub(super) fn within(exports: &str, output: Stdio, script: Option<&str>) -> anyhow::Result<Self> {
        let pool = pool(8 * MIB, 200 * MIB, &[])?;
        let scratch = Scratch::new()?;
        let config = scratch.path().join("policy.toml");
        write_policy(&config, pool.pid(), exports)?;
        let mut words: Vec<OsString> = Vec::new();
        if let Some(script) = script {
            let script = format!("set -e; cd {}; {script}; exec \"$@\"", scratch.path().display());
            words = ["unshare", "--mount", "sh", "-c", &script, "sh"].map(OsString::from).to_vec();
        }
        words.extend([locate::memwatch()?.into(), "-v".into(), "daemon".into(), "--config".into()]);
        words.extend([config.into(), "--output".into(), "json".into(), "--socket".into()]);
        words.push(scratch.path().join("run/daemon.sock").into());
        let (program, arguments) = words.split_first().context("a command")?;
        let mut command = Command::new(program);
        let mut daemon = Running::start_with(command.args(arguments).stdin(Stdio::null()), output)?;
        daemon.wait_for_error_line("processes known", PATIENCE)?;
        Ok(Self { pool, daemon, scratch })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Waits until so many workers more were asked to leave: the policy is at work whoever listens.
    pub(super) fn see_workers_leave(&self, times: u32) -> anyhow::Result<()> {
        for _ in 0..times {
            let before = children(self.pool.pid());
            eventually(PATIENCE, "a worker leaves", || !before.is_subset(&children(self.pool.pid())))?;
        }
        Ok(())
    }

    /// Ends the daemon; gives the account of one of its exporters.
    pub(super) fn end(mut self, name: &str) -> anyhow::Result<(Account, Scratch)> {
        self.daemon.signal(libc::SIGTERM)?;
        let status = self.daemon.wait(PATIENCE)?;
        let errors = self.daemon.errors();
        ensure!(status.success(), "the daemon ended with {status}: {errors}");
        Ok((Account::read(&errors, name)?, self.scratch))
    }
}

fn write_policy(path: &Path, root: u32, exports: &str) -> anyhow::Result<()> {
    let folder = path.parent().context("a folder")?.display().to_string();
    let exports = exports.replace("DIR", &folder);
    fs::write(path, policy("enforce", root, &format!("{POOL}{exports}"))).context("write the policy")
}

impl Account {
    pub(super) fn read(errors: &str, name: &str) -> anyhow::Result<Self> {
        let told = format!("exporter {name} has ended: ");
        let (_, text) =
            errors.rsplit_once(&told).with_context(|| format!("no account of {name}: {errors}"))?;
        let text = text.lines().next().unwrap_or_default();
        let numbers: Vec<u64> = text.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [produced, delivered, shed, held_back, ref rest @ ..] = numbers[..] else {
            anyhow::bail!("no account of {name}: {text}");
        };
        let refused = rest.first().copied().unwrap_or(0);
        ensure!(rest.len() == usize::from(text.contains("refused by the peer")), "events are left: {text}");
        let account = Self { produced, delivered, shed, held_back, refused };
        ensure!(produced == delivered + shed + held_back, "{account:?}");
        ensure!(produced > 0, "{account:?}");
        Ok(account)
    }
}

/// Lines of a text but those that tell what is missing; each has to be whole.
fn events(text: &str) -> anyhow::Result<u64> {
    ensure!(text.is_empty() || text.ends_with('\n'), "a cut line: {text}");
    let lines = text.lines().map(Line::parse).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(lines.iter().filter(|line| line.name() != "lost").count() as u64)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

const FILE: &str = "[[export]]\nname = \"file\"\nto = \"file\"\npath = \"DIR/log\"\n";

fn moved() -> anyhow::Result<()> {
    let told = Told::new(FILE, Stdio::null())?;
    let (log, away) = (told.path("log"), told.path("away"));
    eventually(PATIENCE, "lines come", || read(&log).contains("memwatch.closing"))?;
    fs::rename(&log, &away).context("move the file away")?;
    told.daemon.signal(libc::SIGHUP)?;
    eventually(PATIENCE, "lines come into a new file", || read(&log).contains("memwatch.closing"))?;
    let (account, scratch) = told.end("file")?;
    let lines = events(&read(&scratch.path().join("log")))? + events(&read(&scratch.path().join("away")))?;
    ensure!(account.delivered == lines && account.shed == 0, "{account:?}, {lines} lines");
    Ok(())
}

/// A file system with room for a few lines, until a file beside the log is removed.
fn full() -> anyhow::Result<()> {
    let script = "mkdir small; mount -t tmpfs -o size=128k none small; \
                  dd if=/dev/zero of=small/filler bs=1k count=120 2>/dev/null";
    let exports = "[[export]]\nname = \"file\"\nto = \"file\"\npath = \"DIR/small/log\"\n";
    let mut told = Told::within(exports, Stdio::null(), Some(script))?;
    told.daemon.wait_for_error_line("exporter file cannot deliver", PATIENCE)?;
    told.see_workers_leave(2)?;
    let seen = PathBuf::from(format!("/proc/{}/root", told.daemon.pid()));
    let small = seen.join(told.path("small").strip_prefix("/").context("a whole path")?);
    fs::remove_file(small.join("filler")).context("make room")?;
    told.daemon.wait_for_error_line("exporter file delivers again", PATIENCE)?;
    // What is written after the last look at it goes with the file system.
    let seen = events(&read(&small.join("log")))?;
    let (account, _) = told.end("file")?;
    ensure!(seen > 0 && account.delivered >= seen && account.shed == 0, "{account:?}, {seen} lines");
    Ok(())
}

/// A peer that takes three lines and goes, and comes back.
fn peer() -> anyhow::Result<()> {
    let exports = "[[export]]\nname = \"peer\"\nto = \"unix\"\npath = \"DIR/peer\"\n";
    let mut told = Told::new(exports, Stdio::null())?;
    told.daemon.wait_for_error_line("cannot connect to", PATIENCE)?;
    told.see_workers_leave(1)?;
    let listener = UnixListener::bind(told.path("peer")).context("listen")?;
    let (first, _) = listener.accept().context("accept the daemon")?;
    let mut lines = BufReader::new(first).lines();
    for _ in 0..3 {
        Line::parse(&lines.next().context("a line")??)?;
    }
    drop(lines);
    let (mut second, _) = listener.accept().context("accept the daemon again")?;
    let rest = thread::spawn(move || {
        let mut text = String::new();
        second.read_to_string(&mut text).map(|_| text)
    });
    told.see_workers_leave(1)?;
    let (account, _) = told.end("peer")?;
    let rest = rest.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?.context("read the rest")?;
    // What the kernel had taken for the first connection went with it.
    let seen = 3 + events(&rest)?;
    ensure!(account.delivered >= seen && account.shed == 0, "{account:?}, {seen} lines");
    Ok(())
}

/// A pipe that is full from the start, beside a file that may have one event of a kind.
fn unread() -> anyhow::Result<()> {
    let (reader, mut writer) = std::io::pipe().context("make a pipe")?;
    writer.write_all(&[b'\n'; 64 << 10]).context("fill the pipe")?;
    let exports = format!(
        "[[export]]\nname = \"pipe\"\nto = \"stdout\"\nqueue = 2\n{FILE}at_most = 1\nper = \"1h\"\nkinds = \"decision\"\n"
    );
    let told = Told::new(&exports, Stdio::from(writer))?;
    told.see_workers_leave(6)?;
    let log = told.path("log");
    eventually(PATIENCE, "the file tells what it lacks", || read(&log).contains("export_held_back"))?;
    let mut told = told;
    told.daemon.signal(libc::SIGTERM)?;
    ensure!(told.daemon.wait(PATIENCE)?.success(), "the daemon failed");
    let errors = told.daemon.errors();
    ensure!(errors.contains("exporter pipe had no room for"), "nobody was told: {errors}");
    let (pipe, file) = (Account::read(&errors, "pipe")?, Account::read(&errors, "file")?);
    ensure!(pipe.delivered == 0 && pipe.shed == pipe.produced, "{pipe:?}");
    ensure!(file.delivered == 1 && file.held_back == file.produced - 1, "{file:?}");
    ensure!(events(&read(&log))? == 1, "{}", read(&log));
    drop(reader);
    Ok(())
}

/// A journald that has a mount namespace with the daemon, and ends with it.
fn journald() -> anyhow::Result<()> {
    let journald = program::root().context("no root file system")?.join("lib/systemd/systemd-journald");
    let script = format!(
        "mount -t tmpfs none /run; setpriv --pdeathsig KILL {} 2>/dev/null & \
         until [ -S /run/systemd/journal/socket ]; do sleep 0.1; done",
        journald.display()
    );
    let exports = "[[export]]\nname = \"journal\"\nto = \"journald\"\n";
    let told = Told::within(exports, Stdio::null(), Some(&script))?;
    let journal = format!("/proc/{}/root/run/log/journal", told.daemon.pid());
    let find = |field: &str| {
        let mut command = Command::new("journalctl");
        command.args(["--no-pager", "--output", "json", "--directory", &journal, field]).stdin(Stdio::null());
        let output = command.output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output)
            .lines()
            .next()
            .and_then(|line| serde_json::from_str::<Value>(line).ok())
    };
    eventually(PATIENCE, "journald has a decision", || find("MEMWATCH_DECISION_RULE=host_bounds").is_some())?;
    let entry = find("MEMWATCH_EVENT_NAME=memwatch.decision").context("an entry")?;
    let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
    ensure!(text("MESSAGE").contains("asking memwatch-trigge ("), "{entry}");
    ensure!(text("PRIORITY") == "5" && text("SYSLOG_IDENTIFIER") == "memwatch", "{entry}");
    ensure!(text("MEMWATCH_PROCESS_PID").parse::<u32>().is_ok_and(|pid| pid > 1), "{entry}");
    let id = text("MESSAGE_ID");
    ensure!(id.len() == 32 && find(&format!("MESSAGE_ID={id}")).is_some(), "{entry}");
    let (account, _) = told.end("journal")?;
    ensure!(account.delivered > 0, "{account:?}");
    Ok(())
}

fn rsyslog() -> anyhow::Result<()> {
    let root = program::root().context("no root file system")?;
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let port = TcpListener::bind("127.0.0.1:0").context("find a port")?.local_addr()?.port();
    let scratch = Scratch::new()?;
    let (config, received) = (scratch.path().join("rsyslog.conf"), scratch.path().join("received"));
    let template = "%pri%|%app-name%|%msgid%|%timegenerated:::date-rfc3339%|%msg%\\n";
    let rules = format!(
        "global(workDirectory=\"{0}\")\nmodule(load=\"imtcp\")\ninput(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\")\n\
         template(name=\"parts\" type=\"string\" string=\"{template}\")\n\
         action(type=\"omfile\" file=\"{1}\" template=\"parts\")\n",
        scratch.path().display(),
        received.display()
    );
    fs::write(&config, rules).context("write rsyslog's configuration")?;
    let mut command = Command::new(root.join("usr/sbin/rsyslogd"));
    command.arg("-n").arg("-f").arg(&config).arg("-i").arg(scratch.path().join("pid"));
    command.arg("-M").arg(libraries.join("rsyslog")).env("LD_LIBRARY_PATH", &libraries).stdin(Stdio::null());
    let _rsyslog = Running::start(&mut command)?;
    let exports = format!(
        "[[export]]\nname = \"syslog\"\nto = \"syslog\"\naddress = \"127.0.0.1:{port}\"\nkinds = \"decision\"\n"
    );
    let told = Told::new(&exports, Stdio::null())?;
    eventually(PATIENCE, "rsyslog has a decision", || read(&received).lines().count() > 1)?;
    let (account, _) = told.end("syslog")?;
    eventually(PATIENCE, "rsyslog has all of them", || {
        read(&received).lines().count() as u64 == account.delivered
    })?;
    for line in read(&received).lines() {
        let [priority, program, id, _, text] = line.splitn(5, '|').collect::<Vec<_>>()[..] else {
            anyhow::bail!("rsyslog took it apart otherwise: {line}");
        };
        ensure!((priority, program, id) == ("29", "memwatch", "decision"), "{line}");
        Line::parse(text.trim())?;
    }
    Ok(())
}

/// Another configuration ends one exporter and starts another, while the policy goes on.
fn changed() -> anyhow::Result<()> {
    let mut told = Told::new(FILE, Stdio::null())?;
    let log = told.path("log");
    eventually(PATIENCE, "lines come", || read(&log).contains("memwatch.closing"))?;
    let other = "[[export]]\nname = \"other\"\nto = \"file\"\npath = \"DIR/other\"\nform = \"text\"\nmin_severity = \"notice\"\n";
    write_policy(&told.path("policy.toml"), told.pool.pid(), other)?;
    told.daemon.signal(libc::SIGHUP)?;
    told.daemon.wait_for_error_line("exporter file has ended", PATIENCE)?;
    let lines = events(&read(&log))?;
    let text = told.path("other");
    eventually(PATIENCE, "sentences come", || read(&text).contains(": asking "))?;
    ensure!(!read(&text).contains("memory is back"), "{}", read(&text));
    ensure!(events(&read(&log))? == lines, "the first is told on");
    told.end("other").map(drop)
}
