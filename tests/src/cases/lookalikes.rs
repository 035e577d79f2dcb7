//! Real programs that ask for much memory and for none by their limit of descriptors, at the limits of the incidents: no
//! finding that is more than low, and nothing that a rule acts on before a page is touched.

use anyhow::ensure;

use super::programs::inside;
use crate::case::Case;
use crate::limit;
use crate::need::Need;
use crate::tracer::Tracer;

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
    /// One that runs it.
    line: &'static str,
    /// MiB that a process of it has resident at least.
    least: u64,
}

/// A Java program with a large heap under a collector of its choice.
macro_rules! java {
    ($collector:literal) => {
        Program {
            before: FILL,
            line: concat!("exec java -Xms1g -Xmx1g -XX:-AlwaysPreTouch ", $collector, " -cp /tmp Fill"),
            least: 192,
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
    urllib.request.urlopen(\"http://127.0.0.1:910\" + sys.argv[1] + \"/metrics\").read()' $i; kill $!; wait $!",
    least: 16,
};
const NODE: Program = Program {
    before: "",
    line: "exec node -e 'const b = Buffer.alloc(96 << 20, 1); setTimeout(() => b, 500)'",
    least: 96,
};
const REDIS: Program = Program {
    before: "",
    line: "timeout $seconds redis-server --bind 127.0.0.1 --port 637$i --dir /tmp --save '' & \
        retry redis-cli -p 637$i ping; \
        redis-benchmark -p 637$i -t set -n 8000 -r 100000000 -d 8192 -q; kill $!; wait $!",
    least: 60,
};
const POSTGRESQL: Program = Program {
    before: "cd /tmp; as='setpriv --reuid postgres --regid postgres --clear-groups'; \
        bin=$(echo /usr/lib/postgresql/*/bin); mkdir pg; chown postgres pg; $as $bin/initdb -D pg -N",
    line: "cp -a pg pg$i; timeout $seconds $as $bin/postgres -D /tmp/pg$i -k /tmp -p 543$i -c fsync=off \
        -c shared_buffers=256MB -c listen_addresses= & retry $bin/pg_isready -h /tmp -p 543$i; \
        $as $bin/pgbench -h /tmp -p 543$i -i -s 4 postgres; kill -INT $!; wait $!",
    least: 40,
};
const SANITIZER: Program = Program { before: BUILD, line: "exec /tmp/checked", least: 96 };

/// Fills a good part of its heap, some of it twice, so that the collector has work.
const FILL: &str = "cd /tmp; printf 'class Fill { public static void main(String[] a) {\\n\
    byte[][] kept = new byte[192][]; for (int i = 0; i < 300; i++) {\\n\
    kept[i %% 192] = new byte[1 << 20]; java.util.Arrays.fill(kept[i %% 192], (byte) i); } } }\\n' > Fill.java; \
    java -m jdk.compiler/com.sun.tools.javac.Main Fill.java";

/// Builds a program under the address sanitizer that looks at its limit and then touches 96 MiB.
const BUILD: &str = "cd /tmp; printf '#include <sys/resource.h>\\n#include <stdlib.h>\\n#include <string.h>\\n\\
    int main(void) { struct rlimit l; getrlimit(RLIMIT_NOFILE, &l); char *p = malloc(96 << 20);\\n\\
    memset(p, 1, 96 << 20); return l.rlim_cur == 7 && p[12345] == 2; }\\n' > checked.c; \\
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
    let Program { before, line, least } = program;
    let limits: Vec<String> = limits().iter().map(u64::to_string).collect();
    // An emulated machine needs several times as long.
    let seconds = if limit::in_guest() { 120 } else { 20 };
    let text = format!(
        "seconds={seconds}; retry() {{ for _ in $(seq 300); do \"$@\" && return; sleep 0.2; done; }}; \
         {before}\ni=0; for n in {}; do i=$((i + 1)); (ulimit -n $n; {line}) & done; wait",
        limits.join(" ")
    );
    let arguments = inside(&text, 2 * seconds)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let options = ["--event", "mmap,fd_table,rlimit_set,exit,action", "--act", act];
    let run = Tracer::new(&options)?.trigger(&arguments)?;
    run.none("fd_table", |line| !line.is("confidence", "low"))?;
    run.none("action", |_| true)?;
    // Silence counts only when the programs ran and did their work before the eyes of the tracer.
    for limit in &limits {
        let set = run.of("rlimit_set").into_iter().any(|line| line.is("new_soft", limit.parse::<u64>().ok()));
        ensure!(set, "nobody ran under the limit {limit}; errors: {}", run.errors);
    }
    let mapped = run.of("mmap").len();
    ensure!(mapped >= limits.len(), "{mapped} large mappings were seen; errors: {}", run.errors);
    let sizes: Vec<u64> =
        run.of("exit").iter().filter_map(|line| line.number("max_rss_bytes").ok()).collect();
    let large = sizes.iter().filter(|bytes| **bytes >= least << 20).count();
    ensure!(large >= limits.len(), "{large} processes had {least} MiB; most: {:?}", sizes.iter().max());
    Ok(())
}
