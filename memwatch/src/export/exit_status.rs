//! How a process ended, from its wait status.

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself.
    Code(u32),
    /// By a signal.
    Signal {
        /// The signal.
        number: u32,
        /// Whether a core dump was written.
        core_dumped: bool,
    },
}

/// Reads a wait status: signal in the low 7 bits, bit 7 for a core dump, exit code above.
pub(super) const fn of(status: u32) -> End {
    match status & 0x7f {
        0 => End::Code((status >> 8) & 0xff),
        number => End::Signal { number, core_dumped: status & 0x80 != 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        assert_eq!(of(0), End::Code(0));
        assert_eq!(of(3 << 8), End::Code(3));
        assert_eq!(of(9), End::Signal { number: 9, core_dumped: false });
        assert_eq!(of(11 | 0x80), End::Signal { number: 11, core_dumped: true });
    }
}
