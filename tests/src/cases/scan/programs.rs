//! Real programs after their start, each apart from the host in a root file system.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::{ANY, look};
use crate::child::{PATIENCE, Running};
use crate::limit;
use crate::line::Line;
use crate::locate;
use crate::need::Need;
use crate::program;
use crate::syscall::process;
use crate::tracer::eventually;

pub(super) const NEEDS_UWSGI: &[Need] = &[Need::Root, Need::Program("usr/bin/uwsgi-core")];
pub(super) const NEEDS_HAPROXY: &[Need] = &[Need::Root, Need::Program("usr/sbin/haproxy")];
pub(super) const NEEDS_SLAPD: &[Need] = &[Need::Root, Need::Program("usr/sbin/slapd")];
pub(super) const NEEDS_RPCBIND: &[Need] = &[Need::Root, Need::Program("usr/sbin/rpcbind")];

/// So many that other areas of a program are small beside its tables, which are touched: a guest has to bear them.
fn descriptors() -> u64 {
    limit::table().min(500_003)
}

/// Runs a shell script in the root file system until `found` holds for a line about the program.
fn until(script: &str, program: &str, found: impl Fn(&Line) -> bool) -> anyhow::Result<Line> {
    let root = program::root().context("no root file system")?;
    let mut command = Command::new(locate::trigger()?);
    command.args(["inside", "--seconds", &PATIENCE.as_secs().to_string(), "--root"]).arg(root);
    command.args(["--", "/bin/sh", "-c", &format!("exec >/dev/null 2>&1; {script}")]).stdin(Stdio::null());
    process::limit_descriptors(&mut command, descriptors());
    let running = Running::start(&mut command)?;
    let (mut seen, mut table) = (Vec::new(), None);
    let is_of_it =
        |line: &&Line| line.get("process.executable.name").and_then(|name| name.as_str()) == Some(program);
    eventually(PATIENCE - Duration::from_secs(5), &format!("a table of {program}"), || {
        let Ok(scan) = look("--tree", running.pid(), &ANY) else { return false };
        seen = scan.lines.iter().filter(is_of_it).cloned().collect();
        table = seen.iter().find(|line| found(line)).cloned();
        table.is_some()
    })
    .with_context(|| {
        let said: Vec<_> = seen.iter().map(ToString::to_string).collect();
        format!("what the scan says of it: {}", said.join("\n"))
    })?;
    table.context("no line")
}

fn is_known(line: &Line) -> bool {
    let reasons = line.get("reasons").and_then(|reasons| reasons.as_array());
    line.is("kind", "table")
        && reasons.is_some_and(|reasons| reasons.iter().any(|reason| reason == "program_known"))
}

pub(super) fn uwsgi() -> anyhow::Result<()> {
    let script = "exec uwsgi-core --plugin http --plugin python3 --http 127.0.0.1:8080 --socket 127.0.0.1:3031 --master";
    let is_table = |line: &Line| line.is("element_bytes", 8) && is_known(line);
    let line = until(script, "uwsgi-core", is_table)?;
    line.expect(&[("limit", descriptors().into()), ("limit_origin", "inherited".into())])?;
    ensure!(line.number("touched_bytes")? >= descriptors() * 8, "uWSGI writes to all of it: {line}");
    ensure!(line.text("advice")?.contains("max-fd"), "the advice does not name the setting: {line}");
    Ok(())
}

/// Its tables lie side by side, 128, 16, 16 and 4 bytes per descriptor; which of them make one area varies.
pub(super) fn haproxy() -> anyhow::Result<()> {
    let script = "printf 'defaults\\n mode tcp\\n timeout connect 1s\\n timeout client 1s\\n timeout server 1s\\n\
                  listen x\\n bind 127.0.0.1:8081\\n' > /tmp/haproxy.cfg; exec haproxy -db -f /tmp/haproxy.cfg";
    let is_table = |line: &Line| is_known(line) && line.number("element_bytes").is_ok_and(|sum| sum >= 128);
    until(script, "haproxy", is_table).map(drop)
}

pub(super) fn slapd() -> anyhow::Result<()> {
    let script = "mkdir /tmp/db; printf 'include /etc/ldap/schema/core.schema\\ndatabase ldif\\nsuffix dc=test\\n\
                  directory /tmp/db\\n' > /tmp/slapd.conf; exec slapd -d 0 -f /tmp/slapd.conf -h ldap://127.0.0.1:3890";
    // Its tables, of 664 and 56 bytes per descriptor or so, may be one area or two.
    let is_table = |line: &Line| is_known(line) && line.number("element_bytes").is_ok_and(|sum| sum >= 664);
    until(script, "slapd", is_table).map(drop)
}

pub(super) fn rpcbind() -> anyhow::Result<()> {
    let is_table = |line: &Line| line.is("element_bytes", 8) && is_known(line);
    let line = until("exec rpcbind -f -w", "rpcbind", is_table)?;
    // Other mappings lie in the same area, and those are touched.
    ensure!(
        line.number("touched_bytes")? < descriptors() * 8 / 2,
        "rpcbind does not touch its table: {line}"
    );
    Ok(())
}
