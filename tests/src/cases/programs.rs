//! Real programs that size memory by their limit, each apart from the host in a root file system.

use anyhow::{Context as _, ensure};

use crate::case::Case;
use crate::limit;
use crate::line::Line;
use crate::need::Need;
use crate::program;
use crate::tracer::{Run, Tracer};

macro_rules! needs {
    ($program:literal) => {
        &[Need::Root, Need::Tracing, Need::DescriptorsInGuest(limit::HUGE), Need::Program($program)]
    };
}

pub(super) const CASES: &[Case] = &[
    Case::new("programs::uwsgi_http_router", needs!("usr/bin/uwsgi-core"), || uwsgi("http")),
    Case::new("programs::uwsgi_fastrouter", needs!("usr/bin/uwsgi-core"), || uwsgi("fastrouter")),
    Case::new("programs::rpcbind_maps_and_never_touches", needs!("usr/sbin/rpcbind"), rpcbind),
    Case::new("programs::python_array_per_descriptor", needs!("usr/bin/python3"), python),
    Case::new(
        "programs::python_array_under_jemalloc",
        &[
            Need::Root,
            Need::Tracing,
            Need::Descriptors(limit::HUGE),
            Need::Program("usr/bin/python3"),
            Need::Program("usr/lib/x86_64-linux-gnu/libjemalloc.so.2"),
        ],
        jemalloc,
    ),
    Case::new("programs::haproxy", needs!("usr/sbin/haproxy"), haproxy),
    Case::new("programs::slapd", needs!("usr/sbin/slapd"), slapd),
    Case::new("programs::squid", needs!("usr/sbin/squid"), squid),
    Case::new("programs::erlang", needs!("usr/bin/erl"), erlang),
    Case::new("programs::fakeroot_sweeps", needs!("usr/bin/faked-sysv"), fakeroot),
    Case::new("programs::xinetd_sweeps", needs!("usr/sbin/xinetd"), xinetd),
];

/// How each program is started, as a line for the shell.
pub(super) const RPCBIND: &str = "exec rpcbind -f -w";
const PYTHON: &str = "exec python3 -c 'import array, resource
n = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
table = array.array(\"q\", [0]) * n'";
/// The same by an allocator that takes more than it is asked for, and no reserve; nothing of it is touched.
const JEMALLOC: &str =
    "exec env LD_PRELOAD=/usr/lib/x86_64-linux-gnu/libjemalloc.so.2 python3 -c 'import ctypes, resource, time
malloc = ctypes.CDLL(None).malloc
malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
n = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
assert malloc(8 * n)
time.sleep(2)'";
pub(super) const HAPROXY: &str = "printf 'defaults\\n mode tcp\\n timeout connect 1s\\n timeout client 1s\\n\
    timeout server 1s\\nlisten x\\n bind 127.0.0.1:8081\\n' > /tmp/haproxy.cfg; exec haproxy -db -f /tmp/haproxy.cfg";
pub(super) const SLAPD: &str = "mkdir -p /tmp/db; printf 'include /etc/ldap/schema/core.schema\\ndatabase ldif\\n\
    suffix dc=test\\ndirectory /tmp/db\\n' > /tmp/slapd.conf; \
    exec slapd -d 0 -f /tmp/slapd.conf -h ldap://127.0.0.1:3890";
pub(super) const SQUID: &str = "printf 'http_port 127.0.0.1:3128\\npid_filename none\\ncache_log /tmp/log\\n\
    access_log none\\ncache_effective_user proxy\\ncoredump_dir /tmp\\nvisible_hostname x\\n' > /tmp/squid.conf; \
    exec squid -N -f /tmp/squid.conf";
pub(super) const CUPSD: &str = "printf 'Listen 127.0.0.1:6310\\nBrowsing No\\n' > /tmp/cupsd.conf; \
    exec cupsd -f -c /tmp/cupsd.conf";
pub(super) const ERLANG: &str = "exec erl -noshell -eval 'timer:sleep(infinity).'";

/// The trigger's arguments that run a shell script in the root file system, for at most some seconds. Its output goes
/// nowhere: standard output is the tracer's.
pub(super) fn inside(script: &str, seconds: u64) -> anyhow::Result<Vec<String>> {
    let root = program::root().context("no root file system")?;
    let root = root.to_str().context("a root that is text")?;
    let script = format!("exec >/dev/null 2>/tmp/errors; {script}");
    let seconds = seconds.to_string();
    let words = ["inside", "--root", root, "--seconds", &seconds, "--", "/bin/sh", "-c", &script];
    Ok(words.map(str::to_owned).into())
}

/// Runs a script under the tracer.
fn script(options: &[&str], script: &str, seconds: u64) -> anyhow::Result<Run> {
    // A slow, emulated machine needs several times as long.
    let arguments = inside(script, seconds * if limit::in_guest() { 5 } else { 1 })?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Tracer::new(options)?.descriptors(limit::table()).trigger(&arguments)
}

/// Reports tables of any size: on a host with a low limit they are small. A guest has not the memory for what some programs
/// go on to touch at its limit, so they are stopped on the way.
fn sized(text: &str, seconds: u64) -> anyhow::Result<Run> {
    const OPTIONS: &[&str] =
        &["--min-table", "0", "--event", "fd_table,close_sweep,rlimit_read,rlimit_set,exec,exit"];
    const BOUND: &[&str] = &["--act", "signal-touched", "--act-touched", "1GiB", "--act-confidence", "low"];
    let bound = if limit::in_guest() { BOUND } else { &[] };
    script(&[OPTIONS, bound].concat(), text, seconds)
}

fn is_program(line: &Line, name: &str) -> bool {
    line.text("process.executable.path").is_ok_and(|path| path.rsplit('/').next() == Some(name))
}

/// The first finding about a program that fits. It names where the limit is from: the tracer has it, as from the shell that
/// it is started by, and hands it on.
fn finding<'a>(run: &'a Run, name: &str, fits: impl Fn(&Line) -> bool) -> anyhow::Result<&'a Line> {
    let found = run
        .of("fd_table")
        .into_iter()
        .find(|line| is_program(line, name) && line.is("limit", limit::table()) && fits(line));
    let found = found.with_context(|| {
        let others: Vec<String> = run.of("fd_table").iter().map(ToString::to_string).collect();
        let programs: Vec<&str> =
            run.of("exec").iter().filter_map(|line| line.text("process.executable.path").ok()).collect();
        format!(
            "no such table of {name}; executed: {programs:?}; errors: {}; found:\n{}",
            run.errors,
            others.join("\n")
        )
    })?;
    found.expect(&[("limit_origin", "inherited".into()), ("limit_origin_comm", "memwatch".into())])?;
    Ok(found)
}

fn uwsgi(router: &str) -> anyhow::Result<()> {
    let text = format!(
        "exec uwsgi-core --plugin {router} --plugin python3 --{router} 127.0.0.1:8080 --socket 127.0.0.1:3031 --master"
    );
    let run = sized(&text, 3)?;
    let inherited = |line: &Line| line.number("learned_forks").is_ok_and(|forks| forks > 0);
    let line = finding(&run, "uwsgi-core", |line| line.is("element_bytes", 8) && inherited(line))?;
    ensure!(line.number("learned_by_pid")? != line.pid(), "the master reads, its child maps: {line}");
    run.first("rlimit_read", |read| {
        read.is("resource", "nofile") && Some(read.pid()) == line.number("learned_by_pid").ok()
    })?;
    ensure!(line.text("advice")?.contains("max-fd"), "the advice does not name the setting: {line}");
    Ok(())
}

fn rpcbind() -> anyhow::Result<()> {
    let run = sized(RPCBIND, 2)?;
    let line = finding(&run, "rpcbind", |line| line.is("element_bytes", 8))?;
    line.expect(&[("state", "mapped".into())])?;
    let pid = line.pid();
    if limit::table() > 1 << 26 {
        // A small table is hidden by what else the program touches; a large one cannot be.
        let touched = run.one("exit", |line| line.pid() == pid)?.number("fd_table_touched_bytes")?;
        ensure!(touched < 64 << 20, "{touched} bytes of the table touched");
    }
    Ok(())
}

fn python() -> anyhow::Result<()> {
    let run = sized(PYTHON, 10)?;
    finding(&run, "python3.11", |line| line.is("element_bytes", 8))?.expect(&[("learned_forks", 0.into())])
}

/// Below the limit of the incidents the table is part of a larger mapping of the allocator's.
fn jemalloc() -> anyhow::Result<()> {
    let run = sized(JEMALLOC, 10)?;
    let line = finding(&run, "python3.11", |line| line.is("element_bytes", 8))?;
    line.expect(&[("fit", "size_class".into()), ("state", "mapped".into()), ("learned_forks", 0.into())])
}

fn haproxy() -> anyhow::Result<()> {
    let run = sized(HAPROXY, 3)?;
    for element in [128, 16] {
        finding(&run, "haproxy", |line| line.is("element_bytes", element))?;
    }
    Ok(())
}

fn slapd() -> anyhow::Result<()> {
    let run = sized(SLAPD, 3)?;
    // At the limit of the incidents the first table is more than a guest has, and the program gets no further.
    let elements: &[u64] = if limit::table() > 1 << 26 { &[56] } else { &[56, 664] };
    for &element in elements {
        finding(&run, "slapd", |line| line.is("element_bytes", element))?;
    }
    Ok(())
}

fn squid() -> anyhow::Result<()> {
    let run = sized(SQUID, 4)?;
    for element in [432, 136] {
        finding(&run, "squid", |line| line.is("element_bytes", element))?;
    }
    Ok(())
}

fn erlang() -> anyhow::Result<()> {
    let run = sized(ERLANG, 8)?;
    finding(&run, "beam.smp", |line| line.is("element_bytes", 16)).map(drop)
}

/// A program that closes one descriptor after the other up to its limit.
fn sweeps(text: &str, name: &str) -> anyhow::Result<()> {
    let run = sized(text, 3)?;
    // By the thread's own name: a short life may end before its executable is known.
    let sweep = run.of("close_sweep").into_iter().rfind(|line| line.is("memwatch.process.comm", name));
    let sweep = sweep.with_context(|| format!("{name} closed nothing; errors: {}", run.errors))?;
    sweep.expect(&[("limit", limit::table().into())])?;
    if limit::table() < 1 << 20 {
        let count = sweep.number("count")?;
        ensure!(count > limit::table() - 100, "{count} closes of {}", limit::table());
    }
    Ok(())
}

fn fakeroot() -> anyhow::Result<()> {
    sweeps("exec fakeroot-sysv sleep 1", "faked-sysv")
}

fn xinetd() -> anyhow::Result<()> {
    sweeps(
        "printf 'defaults\\n{\\n}\\n' > /tmp/xinetd.conf; exec xinetd -dontfork -f /tmp/xinetd.conf",
        "xinetd",
    )
}
