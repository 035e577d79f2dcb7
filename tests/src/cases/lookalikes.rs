//! Real programs that ask for much memory and for none by their limit of descriptors, at the limits of the incidents: no
//! finding that is more than low, and nothing that a rule acts on before a page is touched.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};

use super::programs::inside;
use crate::case::Case;
use crate::limit;
use crate::line::Line;
use crate::need::Need;
use crate::tracer::{Run, Tracer};

macro_rules! needs {
    ($program:literal $(, $more:expr)?) => {
        &[Need::Root, Need::Tracing, Need::DescriptorsInGuest(limit::HUGE), Need::Program($program), $($more)?]
    };
}

/// Rows for a program: under a rule that signals, and under one that refuses.
macro_rules! lookalikes {
    ($($name:literal, $place:literal, $program:ident;)*) => {
        &[
            $(
                Case::alone(concat!("lookalikes::", $name), needs!($place), || silent(&$program, "signal-mapped")),
                Case::alone(concat!("lookalikes::", $name, "_is_not_refused"), needs!($place, Need::Feature("fmod_ret_security")), || silent(&$program, "refuse")),
            )*
        ]
    };
}

pub(super) const CASES: &[Case] = lookalikes! {
    "java_with_g1", "usr/bin/java", G1;
    "java_with_the_parallel_collector", "usr/bin/java", PARALLEL;
    "go", "usr/bin/prometheus-node-exporter", GO;
    "node", "usr/bin/node", NODE;
    "redis", "usr/bin/redis-server", REDIS;
    "postgresql", "usr/lib/postgresql", POSTGRESQL;
    "sanitizer", "usr/bin/gcc", SANITIZER;
};

/// A program that asks for much memory.
struct Program {
    /// A line of shell that prepares it.
    before: &'static str,
    /// One that runs it, and ends with a status of 0 when all went well.
    line: &'static str,
    /// What the file is called that is executed.
    executable: &'static str,
    /// MiB that a process of it has resident at least.
    least: u64,
    /// The signal that ends it; without one it ends with a code of 0.
    ended_by: Option<&'static str>,
}

/// A Java program with a large heap under a collector of its choice.
macro_rules! java {
    ($collector:literal) => {
        Program {
            before: FILL,
            line: concat!("exec java -Xms1g -Xmx1g -XX:-AlwaysPreTouch ", $collector, " -cp /tmp Fill"),
            executable: "java",
            least: 192,
            ended_by: None,
        }
    };
}

const G1: Program = java!("-XX:+UseG1GC");
const PARALLEL: Program = java!("-XX:+UseParallelGC");
const GO: Program = Program {
    before: "",
    line: "timeout $seconds prometheus-node-exporter --web.listen-address=127.0.0.1:910$i & \
        retry python3 -c 'import sys, urllib.request
for _ in range(30):
    urllib.request.urlopen(\"http://127.0.0.1:910\" + sys.argv[1] + \"/metrics\").read()' $i; \
        asked=$?; kill $!; wait $!; exit $asked",
    executable: "prometheus-node-exporter",
    least: 16,
    ended_by: Some("SIGTERM"),
};
const NODE: Program = Program {
    before: "",
    line: "exec node -e 'const b = Buffer.alloc(96 << 20, 1); setTimeout(() => b, 500)'",
    executable: "node",
    least: 96,
    ended_by: None,
};
const REDIS: Program = Program {
    before: "",
    line: "timeout $seconds redis-server --bind 127.0.0.1 --port 637$i --dir /tmp --save '' & \
        retry redis-cli -p 637$i ping && \
        redis-benchmark -p 637$i -t set -n 8000 -r 100000000 -d 8192 -q; \
        asked=$?; kill $!; wait $!; exit $asked",
    executable: "redis-server",
    least: 60,
    ended_by: None,
};
const POSTGRESQL: Program = Program {
    before: "cd /tmp; as='setpriv --reuid postgres --regid postgres --clear-groups'; \
        bin=$(echo /usr/lib/postgresql/*/bin); mkdir pg; chown postgres pg; $as $bin/initdb -D pg -N",
    line: "cp -a pg pg$i; timeout $seconds $as $bin/postgres -D /tmp/pg$i -k /tmp -p 543$i -c fsync=off \
        -c shared_buffers=256MB -c listen_addresses= & retry $bin/pg_isready -h /tmp -p 543$i && \
        $as $bin/pgbench -h /tmp -p 543$i -i -s 4 postgres; \
        asked=$?; kill -INT $!; wait $!; exit $asked",
    executable: "postgres",
    least: 40,
    ended_by: None,
};
const SANITIZER: Program =
    Program { before: BUILD, line: "exec /tmp/checked", executable: "checked", least: 96, ended_by: None };

/// Fills a good part of its heap, some of it twice, so that the collector has work.
const FILL: &str = "cd /tmp; printf 'class Fill { public static void main(String[] a) {\\n\
    byte[][] kept = new byte[192][]; for (int i = 0; i < 300; i++) {\\n\
    kept[i %% 192] = new byte[1 << 20]; java.util.Arrays.fill(kept[i %% 192], (byte) i); } } }\\n' > Fill.java; \
    java -m jdk.compiler/com.sun.tools.javac.Main Fill.java";

/// Builds a program under the address sanitizer that looks at its limit and then touches 96 MiB.
const BUILD: &str = "cd /tmp; printf '#include <sys/resource.h>\\n#include <stdlib.h>\\n#include <string.h>\\n\\
    int main(void) { struct rlimit l; getrlimit(RLIMIT_NOFILE, &l); char *p = malloc(96 << 20);\\n\\
    memset(p, 1, 96 << 20); int wrong = l.rlim_cur == 7 && p[12345] == 2; free(p); return wrong; }\\n' > checked.c; \\
    gcc -fsanitize=address -o checked checked.c";

/// The limits of the incidents; on a host whose hard limit is below them, what there is.
fn limits() -> Vec<u64> {
    let reached: Vec<u64> =
        [1 << 20, 1 << 26, limit::HUGE].into_iter().filter(|number| *number <= limit::hard()).collect();
    if reached.is_empty() { vec![limit::table()] } else { reached }
}

/// Runs a program under each limit, side by side, under a rule that acts before a page is touched on whatever is as large as what
/// is reported.
fn silent(program: &Program, act: &str) -> anyhow::Result<()> {
    let Program { before, line, .. } = program;
    let limits = limits();
    let numbers: Vec<String> = limits.iter().map(u64::to_string).collect();
    // An emulated machine needs several times as long, and twice that is as long as a tracer is waited for.
    let seconds = if limit::in_guest() { 170 } else { 20 };
    let text = format!(
        "seconds={seconds}; retry() {{ for _ in $(seq 300); do \"$@\" && return; sleep 0.2; done; return 1; }}; \
         {before}\ni=0; jobs=; for n in {}; do i=$((i + 1)); (ulimit -n $n || exit; {line}) & jobs=\"$jobs $!\"; done; \
         failed=0; for job in $jobs; do wait $job || failed=$?; done; \
         [ $failed = 0 ] || tail -n 20 /tmp/errors >/proc/1/fd/2; exit $failed",
        numbers.join(" ")
    );
    let arguments = inside(&text, 2 * seconds)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let options = ["--event", "mmap,fd_table,rlimit_set,fork,exec,exit,action", "--act", act];
    let run = Tracer::new(&options)?.trigger(&arguments)?.succeeded()?;
    run.none("fd_table", |line| !line.is("confidence", "low"))?;
    run.none("action", |_| true)?;
    let family = Family::of(&run, &limits);
    limits.iter().try_for_each(|limit| {
        family
            .did_its_work(&run, program, *limit)
            .with_context(|| format!("{} under the limit {limit}", program.executable))
    })
}

/// Who is whose child, what each has executed, and the limit that it has set.
#[derive(Debug)]
struct Family<'a> {
    parents: HashMap<u64, u64>,
    executed: HashMap<u64, &'a str>,
    limits: HashMap<u64, u64>,
}

impl<'a> Family<'a> {
    /// The family of a run; of limits only these count.
    fn of(run: &'a Run, limits: &[u64]) -> Self {
        let children = run.of("fork").into_iter();
        let executed = run.of("exec").into_iter();
        // A program may set limits of its own, of other things among them.
        let set = run.of("rlimit_set").into_iter().filter(|set| set.is("resource", "nofile"));
        let set = set.filter_map(|set| Some((set.pid(), set.number("new_soft").ok()?)));
        Self {
            parents: children.filter_map(|fork| Some((fork.number("child_pid").ok()?, fork.pid()))).collect(),
            executed: executed
                .filter_map(|exec| Some((exec.pid(), exec.text("filename").ok()?.rsplit('/').next()?)))
                .collect(),
            limits: set.filter(|(_, limit)| limits.contains(limit)).collect(),
        }
    }

    /// What a process has of this, by itself or by the nearest that it comes from.
    fn nearest<T: Copy>(&self, having: &HashMap<u64, T>, mut pid: u64) -> Option<T> {
        // An id that is given out again may lead back to where it began.
        for _ in 0..=self.parents.len() {
            if let Some(it) = having.get(&pid) {
                return Some(*it);
            }
            pid = *self.parents.get(&pid)?;
        }
        None
    }

    /// Whether a line is about a process of this program that runs under this limit.
    fn is_of(&self, line: &Line, program: &Program, limit: u64) -> bool {
        self.nearest(&self.executed, line.pid()) == Some(program.executable)
            && self.nearest(&self.limits, line.pid()) == Some(limit)
    }

    /// Silence counts only when the program ran under the limit and did its work before the eyes of the tracer: it was executed
    /// once and came to its proper end, asked for much, and had it, which may be in a child of it.
    fn did_its_work(&self, run: &Run, program: &Program, limit: u64) -> anyhow::Result<()> {
        let exits: Vec<&Line> =
            run.of("exit").into_iter().filter(|line| self.is_of(line, program, limit)).collect();
        let mut firsts = exits.iter().filter(|line| self.executed.contains_key(&line.pid()));
        let first = firsts.next().with_context(|| {
            let ended: Vec<u64> = run.of("exit").iter().map(|line| line.pid()).collect();
            format!("nobody executed it and ended; {self:?}, of whom ended {ended:?}; errors: {}", run.errors)
        })?;
        ensure!(firsts.next().is_none(), "it was executed more than once");
        match program.ended_by {
            Some(signal) => first.expect(&[("signal", signal.into())])?,
            None => first.expect(&[("process.exit.code", 0.into())])?,
        }
        let most = exits.iter().filter_map(|line| line.number("max_rss_bytes").ok()).max().unwrap_or(0);
        ensure!(most >= program.least << 20, "no process had {} MiB; most: {most} bytes", program.least);
        run.first("mmap", |line| self.is_of(line, program, limit)).map(drop)
    }
}
