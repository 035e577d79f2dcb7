//! What a tool that kills lets a hog take, and when the memory is back.
//!
//! Goes in: what the hog may take until the bound, what it takes in all, how long a kill is waited for, the tool as a script for the
//! shell, and perhaps a cgroup for the hog. Comes out: one line, `ABOVE CROSSED_TO_SIGNAL_NS SIGNAL_TO_BACK_NS KILLED HAS_ALL`. A hog
//! that has all it takes would have taken more, so that what is above is a lower bound then. The tool reads the bound from its
//! environment: `TOTAL_KIB`, `AVAILABLE_KIB` (of the host, at the bound), `TAKEN` (of the hog, in bytes) and `PARENT` (of the hog).

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::hog::{Hog, available, meminfo_bytes};
use crate::kernel;

/// After this a tool that was started watches, on an emulated processor too.
const SETTLE: Duration = Duration::from_secs(8);
/// From the hog's start to its first page: time to join its cgroup.
const WAIT: Duration = Duration::from_millis(400);
/// The longest that memory is waited for once the hog has ended.
const BACK_NS: u64 = 20_000_000_000;

/// Runs one tool against one hog.
///
/// # Errors
/// Words are missing, or the kernel refuses something.
#[expect(clippy::print_stdout, reason = "the answer")]
pub(crate) fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(2).collect();
    let (Some([bound, all, patience]), Some(script)) = (words.first_chunk::<3>(), words.get(3)) else {
        bail!("usage: memwatch-load kill BOUND_BYTES ALL_BYTES PATIENCE_S SCRIPT [CGROUP]");
    };
    let bound: u64 = bound.parse().context("the bound is a number of bytes")?;
    let all: usize = all.parse().context("what the hog takes is a number of bytes")?;
    let patience: u64 = patience.parse().context("the patience is a number of seconds")?;
    let meminfo = File::open("/proc/meminfo").context("cannot open /proc/meminfo")?;
    let available_at_bound = available(&meminfo)?.saturating_sub(bound);
    let tool = Tool::start(script, meminfo_bytes(&meminfo, "MemTotal:")?, available_at_bound, bound)?;
    sleep(SETTLE);
    let hog = Hog::start(all, WAIT)?;
    if let Some(cgroup) = words.get(4) {
        let members = PathBuf::from(cgroup).join("cgroup.procs");
        std::fs::write(&members, hog.id().to_string())
            .with_context(|| format!("cannot write {}", members.display()))?;
    }
    let end = watch(&hog, &meminfo, available_at_bound, patience.saturating_mul(1_000_000_000))?;
    drop(tool);
    println!(
        "{} {} {} {} {}",
        end.above,
        end.crossed_to_signal_ns,
        end.signal_to_back_ns,
        u8::from(end.is_killed),
        u8::from(hog.has_all())
    );
    Ok(())
}

/// How it ended.
struct End {
    /// Bytes that the hog touched after the bound was seen to be crossed.
    above: u64,
    crossed_to_signal_ns: u64,
    signal_to_back_ns: u64,
    is_killed: bool,
}

/// A process that is killed can be seen to have ended only when its memory is back: the signal is told by its last page, or, once it
/// has all, by its last sign of life.
///
/// What is above counts from what was touched when the bound was seen to be crossed, and not from the bound: the kernel hands pages to
/// a processor in batches of up to 8 MiB, so that of what is gone then a good part is not touched yet.
fn watch(hog: &Hog, meminfo: &File, bound: u64, patience_ns: u64) -> Result<End> {
    let mut crossed = None;
    let (mut touched, mut stopped_ns) = (0, 0);
    let (ended_ns, is_killed) = loop {
        let now_ns = kernel::boot_ns();
        if hog.touched() > touched {
            (touched, stopped_ns) = (hog.touched(), now_ns);
        }
        let available = available(meminfo)?;
        if crossed.is_none() && available <= bound {
            // Read after what is available: what was touched between both is below the bound.
            crossed = Some((now_ns, hog.touched()));
        }
        if hog.has_ended()? {
            break (now_ns, true);
        }
        if crossed.is_none() && hog.has_all() {
            bail!("the hog has all it takes, and the bound was not reached");
        }
        if crossed.is_some_and(|(since_ns, _)| now_ns.saturating_sub(since_ns) > patience_ns) {
            break (now_ns, false);
        }
        sleep(Duration::from_millis(1));
    };
    let (crossed_ns, taken) = crossed.context("the hog ended before the bound was reached")?;
    let signal_ns = stopped_ns.max(hog.alive_ns());
    let mut back_ns = ended_ns;
    while is_killed && available(meminfo)? <= bound && back_ns.saturating_sub(ended_ns) < BACK_NS {
        sleep(Duration::from_millis(1));
        back_ns = kernel::boot_ns();
    }
    Ok(End {
        above: hog.touched().saturating_sub(taken),
        crossed_to_signal_ns: signal_ns.saturating_sub(crossed_ns),
        signal_to_back_ns: back_ns.saturating_sub(signal_ns),
        is_killed,
    })
}

/// A tool at work; killed when dropped.
struct Tool(Child);

impl Tool {
    fn start(script: &str, total: u64, available: u64, taken: u64) -> Result<Self> {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        command.env("TOTAL_KIB", (total >> 10).to_string());
        command.env("AVAILABLE_KIB", (available >> 10).to_string());
        command.env("TAKEN", taken.to_string()).env("PARENT", std::process::id().to_string());
        Ok(Self(command.spawn().context("cannot start the tool")?))
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // One that has ended by itself is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
