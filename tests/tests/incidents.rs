//! The incidents that memwatch exists for, played to a policy: each ends with the host below its bound and nobody
//! harmed who is protected.
//!
//! The inputs are made by `incidents/write.rs` and committed beside the policy that they are played to; the decisions are
//! compared as text. `UPDATE=1` writes both anew.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::too_many_arguments,
    reason = "a test may fail; a process is many things at once"
)]

#[path = "incidents/host.rs"]
mod host;
#[path = "incidents/write.rs"]
mod write;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use memwatch::config;
use memwatch::core::policy::{Command, Mode, Warning};
use memwatch::export::decision::sentence;
use memwatch::replay::{self, Player, Recorded};

/// What a play came to.
struct Played {
    text: String,
    ended: BTreeSet<u32>,
    freed: u64,
    warnings: Vec<Warning>,
    used: u64,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/policy")
}

fn is_update() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// Compares a committed file with what it should hold.
fn committed(path: &Path, expected: &str) {
    if is_update() {
        fs::write(path, expected).expect("the file can be written");
    }
    let found = fs::read_to_string(path).unwrap_or_default();
    assert!(found == expected, "{} differs: see it with UPDATE=1 and `git diff`", path.display());
}

fn play(name: &str, inputs: &[Recorded]) -> Played {
    let folder = folder();
    let recording = folder.join(format!("{name}.jsonl"));
    let mut text = Vec::new();
    for input in inputs {
        replay::write(&mut text, input).expect("it is written to memory");
    }
    committed(&recording, &String::from_utf8(text).expect("JSON is text"));
    let mut settings = config::load(&folder.join(format!("{name}.toml"))).expect("a policy").policy;
    settings.mode = Mode::Enforce;
    let mut player = Player::new(settings);
    let mut played =
        Played { text: String::new(), ended: BTreeSet::new(), freed: 0, warnings: Vec::new(), used: 0 };
    let file = fs::File::open(&recording).expect("the recording");
    for recorded in replay::read(BufReader::new(file)) {
        player.play(recorded.expect("a line"), &mut |time_ns, command, engine, outbox| {
            if let Some(line) = sentence(command, engine, outbox) {
                writeln!(played.text, "{:>9.3} s  {line}", time_ns as f64 / 1e9)
                    .expect("it is written to memory");
            }
            if let Command::Warn(warning) = command {
                played.warnings.push(*warning);
            }
        });
    }
    played.ended = player.total().ended.iter().map(|(key, _)| key.tgid).collect();
    played.freed = player.total().ended.iter().map(|(_, bytes)| bytes).sum();
    played.used = player.used();
    committed(&folder.join(format!("{name}.txt")), &played.text);
    played
}

#[test]
fn a_table_that_eats_the_node() {
    let host = write::fd_table();
    let played = play("fd_table", &host.inputs);
    // The router is asked to leave when the table is touched, whenever its master starts it again, and then the master is.
    assert!(played.ended.contains(&write::ROUTER), "{}", played.text);
    assert!(played.used < host.total / 2, "{}", played.text);
    assert!(!played.ended.contains(&write::KUBELET) && !played.ended.contains(&write::NEIGHBOUR));
    assert!(!played.ended.contains(&write::RPCBIND), "what is mapped and never touched is left alone");
}

#[test]
fn balloons_of_a_prefork_server() {
    let host = write::balloons();
    let played = play("balloons", &host.inputs);
    assert!(played.used < host.total * 92 / 100, "{}", played.text);
    assert!(
        !played.ended.contains(&write::MASTER) && !played.ended.contains(&write::SSHD),
        "{}",
        played.text
    );
    assert!(!played.ended.is_empty());
}

#[test]
fn workers_that_take_26_gb_in_six_minutes() {
    let host = write::pulp();
    let played = play("pulp", &host.inputs);
    assert!(host.highest() > 25_000 * write::MB, "without a policy: {}", host.highest());
    assert!(played.used < 9_000 * write::MB, "{} in use\n{}", played.used, played.text);
    assert!(!played.ended.contains(&write::MASTER));
}

#[test]
fn a_cgroup_that_holds_more_than_it_is_charged_for() {
    let host = write::index();
    let played = play("index", &host.inputs);
    assert!(played.ended.contains(&write::SEARCH), "{}", played.text);
    assert!(!played.ended.contains(&write::NEIGHBOUR) && !played.ended.contains(&write::SSHD));
    assert!(played.used < host.total * 9 / 10, "{}", played.text);
    let warned = played.warnings.iter().any(|warning| matches!(warning, Warning::Growing { .. }));
    assert!(warned, "growth is told before the bound is reached\n{}", played.text);
}

#[test]
fn two_bounds_for_a_whole_host() {
    let host = write::respawn();
    let played = play("respawn", &host.inputs);
    assert!(played.used < host.total * 92 / 100, "{}", played.text);
    let asked = played.text.lines().filter(|line| line.contains("asking")).count();
    let killed = played.text.lines().filter(|line| line.contains(": killing")).count();
    assert!(asked >= 3 && killed == 0, "gracefully early, so that nobody has to be killed\n{}", played.text);
    assert!(!played.ended.contains(&write::MASTER));
}

#[test]
fn the_same_recording_gives_the_same_lines() {
    let host = write::balloons();
    assert_eq!(play("balloons", &host.inputs).text, play("balloons", &host.inputs).text);
}
