//! Real programs that ask for much memory and for none by their limit of descriptors, at the limits of the incidents: no
//! finding that is more than low, the level below which nothing may be acted on.

use anyhow::ensure;

use super::programs::inside;
use crate::case::Case;
use crate::limit;
use crate::need::Need;
use crate::tracer::Tracer;

macro_rules! needs {
    ($program:literal) => {
        &[Need::Root, Need::Tracing, Need::Program($program)]
    };
}

pub(super) const CASES: &[Case] = &[
    Case::alone("lookalikes::java_with_g1", needs!("usr/bin/java"), || java("-XX:+UseG1GC")),
    Case::alone("lookalikes::java_with_the_parallel_collector", needs!("usr/bin/java"), || {
        java("-XX:+UseParallelGC")
    }),
    Case::alone("lookalikes::go", needs!("usr/bin/prometheus-node-exporter"), || {
        let line = "timeout $seconds prometheus-node-exporter --web.listen-address=127.0.0.1:910$i & \
            retry python3 -c 'import sys, urllib.request
for _ in range(30):
    urllib.request.urlopen(\"http://127.0.0.1:910\" + sys.argv[1] + \"/metrics\").read()' $i; kill $!; wait $!";
        silent("", line, 16)
    }),
    Case::alone("lookalikes::node", needs!("usr/bin/node"), || {
        silent("", "exec node -e 'const b = Buffer.alloc(96 << 20, 1); setTimeout(() => b, 500)'", 96)
    }),
    Case::alone("lookalikes::redis", needs!("usr/bin/redis-server"), || {
        let line = "timeout $seconds redis-server --bind 127.0.0.1 --port 637$i --dir /tmp --save '' & \
            retry redis-cli -p 637$i ping; \
            redis-benchmark -p 637$i -t set -n 8000 -r 100000000 -d 8192 -q; kill $!; wait $!";
        silent("", line, 60)
    }),
    Case::alone("lookalikes::postgresql", needs!("usr/lib/postgresql"), || {
        silent(
            "cd /tmp; as='setpriv --reuid postgres --regid postgres --clear-groups'; \
             bin=$(echo /usr/lib/postgresql/*/bin); mkdir pg; chown postgres pg; $as $bin/initdb -D pg -N",
            "cp -a pg pg$i; timeout $seconds $as $bin/postgres -D /tmp/pg$i -k /tmp -p 543$i -c fsync=off \
             -c shared_buffers=256MB -c listen_addresses= & retry $bin/pg_isready -h /tmp -p 543$i; \
             $as $bin/pgbench -h /tmp -p 543$i -i -s 4 postgres; kill -INT $!; wait $!",
            40,
        )
    }),
    Case::alone("lookalikes::sanitizer", needs!("usr/bin/gcc"), || silent(BUILD, "exec /tmp/checked", 96)),
];

/// Fills a good part of its heap, some of it twice, so that the collector has work.
const FILL: &str = "cd /tmp; printf 'class Fill { public static void main(String[] a) {\\n\
    byte[][] kept = new byte[192][]; for (int i = 0; i < 300; i++) {\\n\
    kept[i %% 192] = new byte[1 << 20]; java.util.Arrays.fill(kept[i %% 192], (byte) i); } } }\\n' > Fill.java; \
    java -m jdk.compiler/com.sun.tools.javac.Main Fill.java";

/// A Java program with a large heap under a collector of its choice.
fn java(collector: &str) -> anyhow::Result<()> {
    let line = format!("exec java -Xms1g -Xmx1g -XX:-AlwaysPreTouch {collector} -cp /tmp Fill");
    silent(FILL, &line, 192)
}

/// Builds a program under the address sanitizer that looks at its limit and then touches 96 MiB.
const BUILD: &str = "cd /tmp; printf '#include <sys/resource.h>\\n#include <stdlib.h>\\n#include <string.h>\\n\\
    int main(void) { struct rlimit l; getrlimit(RLIMIT_NOFILE, &l); char *p = malloc(96 << 20);\\n\\
    memset(p, 1, 96 << 20); return l.rlim_cur == 7 && p[12345] == 2; }\\n' > checked.c; \\
    gcc -fsanitize=address -o checked checked.c";

/// The limits of the incidents; where the hard limit is below them, what there is.
fn limits() -> Vec<u64> {
    let reached: Vec<u64> =
        [1 << 20, 1 << 26, limit::HUGE].into_iter().filter(|number| *number <= limit::hard()).collect();
    if reached.is_empty() { vec![limit::table()] } else { reached }
}

/// Runs a line of shell after another, then one under each limit, side by side; under each a process has at least so many
/// MiB resident.
fn silent(before: &str, line: &str, least: u64) -> anyhow::Result<()> {
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
    let run = Tracer::new(&["--event", "mmap,fd_table,rlimit_set,exit"])?.trigger(&arguments)?;
    run.none("fd_table", |line| !line.is("confidence", "low"))?;
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
