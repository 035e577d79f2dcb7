//! How long programs are and run, as the kernel that took them tells.

use std::os::fd::AsFd as _;

use aya_obj::generated::bpf_prog_info;

use super::attach::Probe;

impl Probe {
    /// Instructions that the verifier walked through for a program, where the kernel tells (5.16).
    #[must_use]
    pub fn verified_instructions(&self, program: &str) -> Option<u32> {
        match self.loaded_by_hand(program) {
            Some(info) => (info.verified_insns > 0).then_some(info.verified_insns),
            None => self.ebpf.program(program)?.info().ok()?.verified_instruction_count(),
        }
    }

    /// Instructions that a program has after the verifier rewrote it.
    #[must_use]
    pub fn translated_instructions(&self, program: &str) -> Option<u32> {
        /// Of `struct bpf_insn` (include/uapi/linux/bpf.h).
        const INSTRUCTION_BYTES: u32 = 8;
        let bytes = match self.loaded_by_hand(program) {
            Some(info) => info.xlated_prog_len,
            None => self.ebpf.program(program)?.info().ok()?.size_translated()?,
        };
        Some(bytes / INSTRUCTION_BYTES)
    }

    /// Name, number of runs and nanoseconds of all of them, of each program that the kernel keeps statistics of: of none unless
    /// `kernel.bpf_stats_enabled` is set.
    pub fn run_times(&self) -> impl Iterator<Item = (String, u64, u64)> {
        let by_aya = self.ebpf.programs().filter_map(|(name, program)| {
            Some((name.to_owned(), crate::sys::bpf::program_info(program.fd().ok()?.as_fd()).ok()?))
        });
        let by_hand = self.by_hand.iter().filter_map(|(name, program)| {
            Some(((*name).to_owned(), crate::sys::bpf::program_info(program.as_fd()).ok()?))
        });
        let ran = by_aya.chain(by_hand).filter(|(_, info)| info.run_cnt > 0);
        ran.map(|(name, info)| (name, info.run_cnt, info.run_time_ns))
    }

    /// What the kernel tells of a program that was loaded without aya.
    fn loaded_by_hand(&self, program: &str) -> Option<bpf_prog_info> {
        let (_, loaded) = self.by_hand.iter().find(|(name, _)| *name == program)?;
        crate::sys::bpf::program_info(loaded.as_fd()).ok()
    }
}
