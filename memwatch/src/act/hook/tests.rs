//! Hooks that end, fail, hang and leave children behind.

use std::path::PathBuf;

use super::*;

fn call(script: &str, deadline: Duration) -> HookCall {
    HookCall {
        command: ["sh", "-c", script].map(String::from).to_vec(),
        decision: 7,
        key: ProcessKey { tgid: 42, start_ns: 43 },
        pool: Some("web".into()),
        before: true,
        deadline,
    }
}

fn outcome(call: HookCall) -> Outcome {
    let reactor = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut hooks = Hooks::start().unwrap();
    let refused = hooks.run(call);
    refused.unwrap_or_else(|| {
        let (decision, outcome) = reactor.block_on(hooks.ended());
        assert_eq!(decision, 7);
        outcome
    })
}

const LONG: Duration = Duration::from_secs(30);

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("memwatch-hook-{name}-{}", std::process::id()))
}

#[test]
fn a_hook_is_told_what_it_is_about() {
    let file = scratch("told");
    let script = format!(
        "echo $MEMWATCH_PID $MEMWATCH_START_NS $MEMWATCH_DECISION $MEMWATCH_WHEN $MEMWATCH_POOL > {}",
        file.display()
    );
    assert_eq!(outcome(call(&script, LONG)), Outcome::HookEnded);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "42 43 7 before web\n");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn one_that_fails_or_is_not_there_has_failed() {
    assert_eq!(outcome(call("exit 3", LONG)), Outcome::HookFailed);
    assert_eq!(
        outcome(HookCall { command: vec!["/no/such/program".into()], ..call("", LONG) }),
        Outcome::HookFailed
    );
    assert_eq!(outcome(HookCall { command: Vec::new(), ..call("", LONG) }), Outcome::HookFailed);
}

#[test]
fn at_the_deadline_the_hook_and_its_children_are_killed() {
    let file = scratch("children");
    let script = format!("sleep 60 & echo $! > {}; wait", file.display());
    let started = std::time::Instant::now();
    assert_eq!(outcome(call(&script, Duration::from_millis(700))), Outcome::HookFailed);
    assert!(started.elapsed() < LONG);
    let child: u32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    let is_alive = || {
        let stat = std::fs::read(format!("/proc/{child}/stat")).ok();
        stat.is_some_and(|text| crate::enrich::proc::scan_stat(&text).is_ok_and(|stat| !stat.has_ended()))
    };
    while is_alive() {
        assert!(started.elapsed() < LONG, "the hook's child outlives it");
        std::thread::sleep(Duration::from_millis(5));
    }
    std::fs::remove_file(file).unwrap();
}

#[test]
fn many_hooks_that_hang_hold_nobody() {
    let hooks = Hooks::start().unwrap();
    let started = std::time::Instant::now();
    let refused = (0..QUEUE * 4).filter(|_| hooks.run(call("sleep 3", LONG)).is_some()).count();
    assert!(refused >= QUEUE && started.elapsed() < Duration::from_secs(2), "{refused} refused");
}
