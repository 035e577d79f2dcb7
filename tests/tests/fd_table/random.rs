//! Processes that learn a limit and map one region of random length: what accidents look like.

use crate::story::{Line, Who};

/// A generator with a fixed sequence (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number between two powers of two, each octave as likely as the next.
    fn octave(&mut self, low: u32, high: u32) -> u64 {
        let base = 1u64 << (u64::from(low) + self.next() % u64::from(high - low));
        base + self.next() % base
    }
}

/// `count` processes after the pattern of one line: lengths of 64 KiB to 64 GiB in pages, 1 ms to 17 minutes after
/// the limit was read. Every fourth length is round, a multiple of 1 MiB.
pub(crate) fn lines(pattern: &Line, count: u32) -> Vec<Line> {
    let mut random = Random(u64::from(pattern.pid));
    let mut lines = Vec::new();
    for pid in pattern.pid..pattern.pid + count {
        let length = random.octave(16, 36);
        let unit = if random.next().is_multiple_of(4) { 1 << 20 } else { 4096 };
        let lag = random.octave(0, 20);
        let who = Some(Who::named("random"));
        lines.push(Line { pid, at: pattern.at, who, read: pattern.read, ..Line::default() });
        let mmap = Some(length.next_multiple_of(unit));
        lines.push(Line { pid, at: pattern.at + lag, mmap, touch: Some(length), ..Line::default() });
        lines.push(Line { pid, at: pattern.at + lag + 1, exit: Some(0), ..Line::default() });
    }
    lines
}
