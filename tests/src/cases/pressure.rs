//! The kernel's own word about pressure: a trigger that fires in a group of the test's own, where one process has less memory than
//! it wants.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use memwatch::measure::PressureTrigger;

use crate::case::Case;
use crate::cgroup::Group;
use crate::child::{PATIENCE, Running};
use crate::need::Need;
use crate::scratch::Scratch;

const NEEDS: &[Need] = &[Need::Root, Need::Memory, Need::Pressure];

pub(super) const CASES: &[Case] = &[
    Case::new("pressure::the_kernels_trigger_fires", NEEDS, fired),
    Case::new("pressure::the_trigger_is_silent_without_pressure", NEEDS, silent),
];

/// Memory that the group has, and some four times of which is wanted.
const BYTES: u64 = 16 << 20;
/// A hundredth of the time, all tasks waiting.
const SHARE: u32 = 100;

/// A process with too little memory, which goes with this.
struct Thrashing {
    _process: Running,
    told: Group,
    bounded: Option<Group>,
    _scratch: Scratch,
}

impl Thrashing {
    /// Starts it, in a group of the unified hierarchy, which tells of pressure, and one that bounds memory.
    fn start() -> anyhow::Result<Self> {
        let scratch = Scratch::new()?;
        let told = Group::new("pressure")?;
        let file = scratch.path().join("file");
        // Read again and again, a file that does not fit has to be fetched anew each time.
        let read = format!(
            "head -c {} /dev/zero > {file}; while :; do cat {file} > /dev/null; done",
            BYTES * 4,
            file = file.display()
        );
        // `tail` keeps all of its input, as it has no end of a line.
        let keep = format!("while :; do head -c {} /dev/zero | tail > /dev/null; done", BYTES * 4);
        let is_unified = told.path().join("memory.high").exists();
        let mut command = Command::new("/bin/sh");
        let work = if is_unified { keep } else { read };
        command.args(["-c", &format!("read go; {work}")]).stdin(Stdio::piped());
        let mut process = Running::start(&mut command)?;
        let mut input = process.take_input().context("the shell has no input")?;
        let bounded = if is_unified {
            // Above this the kernel slows it down, and kills nobody.
            told.slow_memory(BYTES)?;
            None
        } else {
            let bounded = Group::with_memory("pressure")?;
            bounded.limit_memory(BYTES)?;
            bounded.take(process.pid())?;
            Some(bounded)
        };
        told.take(process.pid())?;
        std::io::Write::write_all(&mut input, b"go\n").context("start it")?;
        Ok(Self { _process: process, told, bounded, _scratch: scratch })
    }
}

impl Drop for Thrashing {
    fn drop(&mut self) {
        self.told.kill();
        if let Some(bounded) = &self.bounded {
            bounded.kill();
        }
    }
}

/// Waits until a trigger fires in a group; false: it did not in this time.
fn fires(group: &Group, share: u32, within: Duration) -> anyhow::Result<bool> {
    let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    reactor.block_on(async {
        let trigger = PressureTrigger::set(&group.path().join("memory.pressure"), share)?;
        match tokio::time::timeout(within, trigger.fired()).await {
            Ok(fired) => fired.map(|()| true).context("wait for the trigger"),
            Err(_) => Ok(false),
        }
    })
}

fn fired() -> anyhow::Result<()> {
    let thrashing = Thrashing::start()?;
    let has_fired = fires(&thrashing.told, SHARE, PATIENCE)?;
    let pressure = std::fs::read_to_string(thrashing.told.path().join("memory.pressure"))?;
    ensure!(has_fired, "it does not fire; the kernel tells\n{pressure}");
    Ok(())
}

fn silent() -> anyhow::Result<()> {
    let group = Group::new("quiet")?;
    ensure!(!fires(&group, SHARE, Duration::from_secs(3))?, "it fires in an empty group");
    Ok(())
}
