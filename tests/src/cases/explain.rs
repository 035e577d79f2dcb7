//! `memwatch explain`, and the socket behind it: who may ask, what hostile peers cost, what stays behind.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::case::Case;
use crate::child::{PATIENCE, Running};
use crate::locate;
use crate::need::Need;
use crate::scratch::Scratch;
use crate::tracer::eventually;

const NEEDS: &[Need] = &[Need::Root, Need::Tracing, Need::InitialPids];

pub(super) const CASES: &[Case] = &[
    Case::new("explain::who_would_go_and_why", NEEDS, told),
    Case::new("explain::hostile_peers_cost_nothing", NEEDS, besieged),
    Case::new("explain::others_are_not_answered", NEEDS, refused),
    Case::new("explain::a_dead_daemons_socket_is_replaced", NEEDS, replaced),
];

const MIB: u64 = 1 << 20;

/// A pool, a daemon that observes it, and the socket.
struct Stage {
    pool: Running,
    daemon: Running,
    scratch: Scratch,
}

impl Stage {
    fn new() -> anyhow::Result<Self> {
        let mut pool = Command::new(locate::trigger()?);
        pool.args(["pool", "--workers", "3", "--step", &(8 * MIB).to_string()]);
        pool.args(["--most", &(40 * MIB).to_string()]).stdin(Stdio::null());
        let pool = Running::start(&mut pool)?;
        let scratch = Scratch::new()?;
        let policy = format!(
            "[[scope]]\nname = \"pool\"\ntree = {}\nmemory = \"64MiB\"\nlower = \"90%\"\nupper = \"95%\"\n\
             [[pool]]\nname = \"web\"\nmatch = {{ exe = \"memwatch-trigger\" }}\nsignal = \"SIGHUP\"\n\
             min_lifetime = \"1ms\"\n",
            pool.pid()
        );
        std::fs::write(scratch.path().join("policy.toml"), policy).context("write the policy")?;
        let daemon = start(&scratch)?;
        Ok(Self { pool, daemon, scratch })
    }

    fn socket(&self) -> PathBuf {
        socket(&self.scratch)
    }

    fn explain(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.command(arguments)?.output().context("ask the daemon")
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(locate::memwatch()?);
        command.arg("explain").args(arguments).arg("--socket").arg(self.socket()).stdin(Stdio::null());
        Ok(command)
    }

    fn json(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        let output = self.explain(&[arguments, &["--output", "json"]].concat())?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).context("read the answer")
    }

    fn peers(&self, kind: &str) -> anyhow::Result<u64> {
        self.json(&[])?.pointer(&format!("/peers/{kind}")).and_then(Value::as_u64).context("no such count")
    }
}

fn socket(scratch: &Scratch) -> PathBuf {
    scratch.path().join("run/daemon.sock")
}

fn start(scratch: &Scratch) -> anyhow::Result<Running> {
    let mut command = Command::new(locate::memwatch()?);
    command.args(["daemon", "--output", "json", "--config"]).arg(scratch.path().join("policy.toml"));
    let mut daemon = Running::start(command.arg("--socket").arg(socket(scratch)).stdin(Stdio::null()))?;
    daemon.wait_for_error_line("processes known", PATIENCE)?;
    Ok(daemon)
}

/// A value within an answer; null where there is none.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    value.pointer(path).unwrap_or(&Value::Null)
}

/// The values of a list within an answer.
fn list(value: &Value, path: &str) -> Vec<Value> {
    at(value, path).as_array().cloned().unwrap_or_default()
}

fn told() -> anyhow::Result<()> {
    let mut stage = Stage::new()?;
    let mut answer = Value::Null;
    eventually(PATIENCE, "somebody was decided on", || {
        answer = stage.json(&[]).unwrap_or_default();
        let candidates = list(&answer, "/scopes/0/candidates");
        let is_handled = |one: &Value| at(one, "/standing") == "handled" && at(one, "/why").is_string();
        candidates.len() == 3 && candidates.iter().any(is_handled)
    })?;
    let scope = at(&answer, "/scopes/0");
    ensure!(at(scope, "/name") == "pool" && at(scope, "/upper_bytes").is_u64(), "{scope}");
    let candidates = list(scope, "/candidates");
    ensure!(candidates.iter().any(|one| at(one, "/private_bytes").is_u64()), "nobody was looked at: {scope}");
    // Pools of other tests run the same program.
    let pools = list(&answer, "/pools");
    let pool = pools.iter().find(|pool| at(pool, "/master") == stage.pool.pid());
    ensure!(pool.is_some_and(|pool| at(pool, "/name") == "web" && at(pool, "/workers") == 3), "{pools:?}");
    let refused = list(&answer, "/refused");
    let kind =
        |pid: u32| refused.iter().find(|one| at(one, "/pid") == pid).map(|one| at(one, "/kind").clone());
    ensure!(kind(1) == Some("guarded".into()), "{refused:?}");
    ensure!(kind(stage.pool.pid()) == Some("master".into()), "{refused:?}");

    let worker = at(scope, "/candidates/0/pid").to_string();
    let said = |arguments: &[&str]| {
        let output = stage.explain(arguments)?;
        let text = [output.stdout, output.stderr].concat();
        anyhow::Ok((output.status.code(), String::from_utf8_lossy(&text).into_owned()))
    };
    for (about, code, words) in [
        (worker.as_str(), 0, "of pool web is number"),
        ("web", 0, "PRIVATE"),
        ("1", 0, "would not go: it is guarded: it is the first process"),
        ("4194305", 1, "the daemon knows no process 4194305"),
        ("nosuch", 1, "no pool \"nosuch\" has a worker now"),
    ] {
        let (status, text) = said(&[about])?;
        ensure!(status == Some(code) && text.contains(words), "{about}: {status:?} {text}");
    }
    stage.daemon.signal(libc::SIGTERM)?;
    ensure!(stage.daemon.wait(PATIENCE)?.success(), "{}", stage.daemon.errors());
    ensure!(
        !stage.socket().exists() && !stage.scratch.path().join("run").exists(),
        "the socket is left behind"
    );
    let output = stage.explain(&[])?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(errors.contains("start `memwatch daemon`"), "{errors}");
    Ok(())
}

fn besieged() -> anyhow::Result<()> {
    let mut stage = Stage::new()?;
    let connect = || UnixStream::connect(stage.socket()).context("connect");
    for garbage in [&b"nonsense\n"[..], b"{}\n", b"{\"process\":-1}\n", b"\"all\"", b"\0\xff\n"] {
        let mut peer = connect()?;
        peer.write_all(garbage).context("send garbage")?;
        peer.shutdown(std::net::Shutdown::Write).context("end it")?;
    }
    // A line without an end; the daemon closes, and the rest finds nobody.
    drop(connect()?.write_all(&vec![b'x'; 1 << 20]));
    eventually(PATIENCE, "garbage is counted", || stage.peers("garbled").is_ok_and(|count| count >= 6))?;
    // Half a question each, and they stay: those that find no place are turned away, the others wait in vain.
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut peer = connect()?;
        drop(peer.write_all(b"{\"proc"));
        silent.push(peer);
    }
    // Decisions are made meanwhile.
    let mut decided = false;
    while let Ok(line) = stage.daemon.next_line(std::time::Duration::from_secs(3)) {
        decided |= line.contains("memwatch.decision");
        if decided {
            break;
        }
    }
    ensure!(decided, "nothing was decided while peers were silent");
    eventually(PATIENCE, "the slow are given up", || {
        stage.peers("slow").is_ok_and(|count| count >= 1)
            && stage.peers("turned_away").is_ok_and(|count| count >= 1)
    })?;
    drop(silent);
    stage.daemon.signal(libc::SIGTERM)?;
    ensure!(stage.daemon.wait(PATIENCE)?.success(), "{}", stage.daemon.errors());
    Ok(())
}

fn refused() -> anyhow::Result<()> {
    const NOBODY: u32 = 65_534;
    let stage = Stage::new()?;
    let ask = || {
        let mut command = stage.command(&[])?;
        let output = command.uid(NOBODY).gid(NOBODY).output().context("ask as somebody else")?;
        anyhow::Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let (answered, errors) = ask()?;
    ensure!(!answered && errors.contains("run as root"), "{errors}");
    // Should anybody open the way to it, the daemon still looks who it is.
    let open = |path: PathBuf, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    open(stage.scratch.path().to_owned(), 0o755).context("open the folder")?;
    open(stage.scratch.path().join("run"), 0o755).context("open the folder")?;
    open(stage.socket(), 0o666).context("open the socket")?;
    let (answered, errors) = ask()?;
    ensure!(!answered && errors.contains("root and its own user only"), "{errors}");
    ensure!(stage.peers("refused")? == 1, "it is not counted");
    Ok(())
}

fn replaced() -> anyhow::Result<()> {
    let mut stage = Stage::new()?;
    let mut second = Command::new(locate::memwatch()?);
    second.args(["daemon", "--config"]).arg(stage.scratch.path().join("policy.toml"));
    let output = second.arg("--socket").arg(stage.socket()).stdin(Stdio::null()).output().context("start")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && errors.contains("another daemon listens"), "{errors}");
    ensure!(stage.explain(&[])?.status.success(), "the first one is not to be asked any more");
    stage.daemon.signal(libc::SIGKILL)?;
    stage.daemon.wait(PATIENCE)?;
    ensure!(stage.socket().exists(), "nobody is left to remove it");
    stage.daemon = start(&stage.scratch)?;
    ensure!(stage.explain(&[])?.status.success(), "the second one is not to be asked");
    Ok(())
}
