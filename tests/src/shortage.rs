//! Makes a machine that belongs to the tests short of memory: to touch all that it has takes an emulated one minutes.

use anyhow::Context as _;

/// Memory held in huge pages that nobody uses, until this goes.
pub struct Shortage {
    before: String,
}

const HUGE_PAGES: &str = "/proc/sys/vm/nr_hugepages";
const HUGE_PAGE: u64 = 2 << 20;

impl Shortage {
    /// Leaves this much of what is available now.
    ///
    /// # Errors
    /// The kernel tells of no memory, or has no huge pages.
    pub fn but(bytes: u64) -> anyhow::Result<Self> {
        let before = std::fs::read_to_string(HUGE_PAGES).context("read the number of huge pages")?;
        let pages = available()?.saturating_sub(bytes) / HUGE_PAGE;
        std::fs::write(HUGE_PAGES, pages.to_string()).context("reserve huge pages")?;
        Ok(Self { before })
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        // The tests that follow would miss the memory, and fail for that.
        let _ = std::fs::write(HUGE_PAGES, &self.before);
    }
}

/// Bytes that programs can have without swapping.
fn available() -> anyhow::Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").context("read what memory there is")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.context("no available memory is told of")?.trim().trim_end_matches(" kB");
    Ok(kib.parse::<u64>().context("read the available memory")? << 10)
}
