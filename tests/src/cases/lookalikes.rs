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
    Case::alone("lookalikes::java", needs!("usr/bin/java"), || {
        silent("", "exec java -Xms1g -Xmx1g -XX:-AlwaysPreTouch -version")
    }),
    Case::alone("lookalikes::go", needs!("usr/bin/prometheus-node-exporter"), || {
        silent("", "exec timeout $seconds prometheus-node-exporter --web.listen-address=127.0.0.1:910$i")
    }),
    Case::alone("lookalikes::node", needs!("usr/bin/node"), || {
        silent("", "exec node -e 'const b = Buffer.alloc(96 << 20, 1); setTimeout(() => b, 500)'")
    }),
    Case::alone("lookalikes::redis", needs!("usr/bin/redis-server"), || {
        silent("", "exec timeout $seconds redis-server --bind 127.0.0.1 --port 637$i --dir /tmp --save ''")
    }),
    Case::alone("lookalikes::postgresql", needs!("usr/lib/postgresql"), || {
        silent(
            "cd /tmp; as='setpriv --reuid postgres --regid postgres --clear-groups'; \
             bin=$(echo /usr/lib/postgresql/*/bin); mkdir pg; chown postgres pg; $as $bin/initdb -D pg -N",
            "cp -a pg pg$i; exec timeout $seconds $as $bin/postgres -D /tmp/pg$i -k /tmp -p 543$i \
             -c shared_buffers=256MB -c listen_addresses=127.0.0.1",
        )
    }),
    Case::alone("lookalikes::sanitizer", needs!("usr/bin/gcc"), || silent(BUILD, "exec /tmp/checked")),
];

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

/// Runs a line of shell after another, then one under each limit, side by side.
fn silent(before: &str, line: &str) -> anyhow::Result<()> {
    let limits: Vec<String> = limits().iter().map(u64::to_string).collect();
    // An emulated machine needs several times as long.
    let seconds = if limit::in_guest() { 20 } else { 3 };
    let text = format!(
        "seconds={seconds}; {before}\ni=0; for n in {}; do i=$((i + 1)); (ulimit -n $n; {line}) & done; wait",
        limits.join(" ")
    );
    let arguments = inside(&text, 100)?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let run = Tracer::new(&["--event", "mmap,fd_table,rlimit_set"])?.trigger(&arguments)?;
    run.none("fd_table", |line| !line.is("confidence", "low"))?;
    // Silence counts only when the programs ran before the eyes of the tracer.
    for limit in &limits {
        let set = run.of("rlimit_set").into_iter().any(|line| line.is("new_soft", limit.parse::<u64>().ok()));
        ensure!(set, "nobody ran under the limit {limit}; errors: {}", run.errors);
    }
    let mapped = run.of("mmap").len();
    ensure!(mapped >= limits.len(), "{mapped} large mappings were seen; errors: {}", run.errors);
    Ok(())
}
