//! What became of the events that were meant for an exporter.

use std::fmt;

/// Numbers of events since the exporter started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// All that were meant for it.
    pub produced: u64,
    /// Those that its peer took: the kernel, on its behalf.
    pub delivered: u64,
    /// Those that found no room, were given up at the end, or were refused.
    pub shed: u64,
    /// Of those that were shed, those that its peer refused.
    pub refused: u64,
    /// Those beyond what may go there in a time.
    pub held_back: u64,
}

impl Account {
    /// Those that are on their way.
    #[must_use]
    pub const fn queued(&self) -> u64 {
        self.produced - self.delivered - self.shed - self.held_back
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { produced, delivered, shed, refused, held_back } = self;
        write!(f, "{produced} events: {delivered} delivered, {shed} shed, {held_back} held back")?;
        if *refused > 0 {
            write!(f, ", {refused} of those shed refused by the peer")?;
        }
        match self.queued() {
            0 => Ok(()),
            queued => write!(f, ", {queued} on their way"),
        }
    }
}
