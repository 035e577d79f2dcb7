//! Processes that sleep, as many as are asked for or as the machine bears.

use anyhow::{Context as _, Result};

use crate::kernel::{self, Child, Region};

/// A crowd; it ends when dropped.
pub(crate) struct Crowd {
    children: Vec<Child>,
}

impl Crowd {
    /// Starts `processes`, each with `areas` of private memory that come to `bytes`; they are mapped and not touched. When
    /// the machine refuses one, there are fewer.
    ///
    /// # Errors
    /// Not even one can be started.
    pub(crate) fn start(processes: usize, areas: usize, bytes: usize) -> Result<Self> {
        let mut children = Vec::new();
        while children.len() < processes {
            match kernel::fork(|| map(areas, bytes)) {
                Ok(child) => children.push(child),
                Err(error) if children.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(Self { children })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.children.len()
    }
}

/// Maps memory that the process keeps. Address space without access keeps neighbours from being shown as one area.
fn map(areas: usize, bytes: usize) {
    for _ in 0..areas {
        let regions = [Region::map(bytes / areas), Region::reserve(1 << 16)];
        std::mem::forget(regions);
    }
}

/// What a run of a program took.
pub(crate) struct Timed {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) peak_kib: i64,
    pub(crate) code: i32,
}

/// Runs a program to its end; its output goes nowhere.
///
/// # Errors
/// It cannot be started, or was killed.
pub(crate) fn timed(program: &str, arguments: &[String]) -> Result<Timed> {
    let started = std::time::Instant::now();
    let mut command = std::process::Command::new(program);
    let status =
        command.args(arguments).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let status = status.status().with_context(|| format!("cannot start {program}"))?;
    let seconds = started.elapsed().as_secs_f64();
    let code = status.code().with_context(|| format!("{program} was killed"))?;
    let (cpu_seconds, peak_kib) = kernel::use_of_children()?;
    Ok(Timed { seconds, cpu_seconds, peak_kib, code })
}
