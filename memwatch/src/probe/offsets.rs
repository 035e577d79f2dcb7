//! The offset table of the running kernel.

use std::fs::File;
use std::io::{BufRead, BufReader};

use memwatch_ebpf::abi::offsets::{ABSENT, Offsets};

use super::btf::Btf;

/// x86-64 without KASAN: kernel stacks of 16 KiB with `struct pt_regs` (168 bytes) at their top
/// (arch/x86/include/asm/page_64_types.h). Used only before 5.15, where no helper tells the place.
const REGS_FROM_STACK: u32 = 16_384 - 168;

/// Resolves every offset; a field that the kernel lacks stays [`ABSENT`] and is named in the second part.
#[must_use]
pub fn resolve(btf: &Btf) -> (Offsets, Vec<String>) {
    let mut offsets = Offsets::NONE;
    let mut missing = Vec::new();
    for (index, (_, of, path)) in Offsets::FIELDS.iter().enumerate() {
        match btf.member(of, path) {
            Some(member) => offsets.set(index, member.offset),
            None => missing.push(format!("{of}.{path}")),
        }
    }
    let per_cpu = btf
        .member("mm_struct", "rss_stat")
        .is_some_and(|member| btf.is_array_of(member.type_id, "percpu_counter"));
    if per_cpu {
        offsets.rss_stride = btf.size_of("percpu_counter").unwrap_or(ABSENT);
    } else {
        // Before 6.2: `struct mm_rss_stat { atomic_long_t count[NR_MM_COUNTERS]; }`.
        offsets.rss_stride = 8;
        offsets.percpu_count = 0;
        offsets.percpu_parts = ABSENT;
    }
    if let Some(member) = btf.member("cgroup", "ancestor_ids") {
        offsets.cgroup_ancestor_ids = member.offset;
    }
    if let Some(member) = btf.member("task_struct", "rss_stat.count") {
        offsets.task_rss = member.offset;
    }
    if btf.enum_value("bpf_func_id", "BPF_FUNC_task_pt_regs").is_none() {
        offsets.regs_from_stack = REGS_FROM_STACK;
    }
    if let Some(member) = btf.member("cgroup", "ancestors") {
        offsets.cgroup_ancestors = member.offset;
    }
    if let Some(index) = btf.enum_value("cgroup_subsys_id", "memory_cgrp_id") {
        offsets.memory_subsys = index;
        offsets.memory_hierarchy = memory_hierarchy(&std::fs::read("/proc/self/cgroup").unwrap_or_default());
    }
    offsets.page_size = u32::try_from(crate::sys::page_size()).unwrap_or(4096);
    (offsets, missing)
}

/// Number of the v1 hierarchy that has the memory controller, out of the text of `/proc/PID/cgroup`; 0 when none has.
fn memory_hierarchy(text: &[u8]) -> u32 {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| {
        let mut parts = line.splitn(3, |byte| *byte == b':');
        let number = parts.next()?;
        let mut controllers = parts.next()?.split(|byte| *byte == b',');
        controllers.any(|name| name == b"memory").then_some(number)
    });
    line.and_then(|number| std::str::from_utf8(number).ok()?.parse().ok()).unwrap_or(0)
}

/// Addresses of kernel variables; 0 for one that the kernel lacks, and for all when symbols are hidden (`kptr_restrict`, or no
/// `CAP_SYSLOG`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Symbols {
    /// `__per_cpu_offset[]`.
    pub per_cpu_offset: u64,
    /// `page_offset_base`: where all memory is mapped.
    pub page_offset_base: u64,
    /// `pgdir_shift`: how many levels page tables have.
    pub pgdir_shift: u64,
}

impl Symbols {
    /// Those of the running kernel.
    #[must_use]
    pub fn read() -> Self {
        File::open("/proc/kallsyms").map(|file| Self::parse(BufReader::new(file))).unwrap_or_default()
    }

    fn parse(mut text: impl BufRead) -> Self {
        let mut symbols = Self::default();
        let mut left = 3;
        let mut line = Vec::new();
        while left > 0 && text.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let place = if line.ends_with(b" __per_cpu_offset\n") {
                Some(&mut symbols.per_cpu_offset)
            } else if line.ends_with(b" page_offset_base\n") {
                Some(&mut symbols.page_offset_base)
            } else if line.ends_with(b" pgdir_shift\n") {
                Some(&mut symbols.pgdir_shift)
            } else {
                None
            };
            if let Some(place) = place {
                let address = line.split(|byte| *byte == b' ').next().unwrap_or_default();
                let address = std::str::from_utf8(address).ok();
                *place = address.and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0);
                left -= 1;
            }
            line.clear();
        }
        symbols
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn symbols_by_name() {
        let text = b"ffffffff81000000 T _stext\n\
            ffffffff82a01000 D page_offset_base\n\
            ffffffff82a01008 d not_page_offset_base\n\
            ffffffff82a02000 D __per_cpu_offset\n\
            0000000000000000 D pgdir_shift\n";
        let symbols = Symbols::parse(&text[..]);
        assert_eq!(symbols.page_offset_base, 0xffff_ffff_82a0_1000);
        assert_eq!(symbols.per_cpu_offset, 0xffff_ffff_82a0_2000);
        assert_eq!(symbols.pgdir_shift, 0);
    }
    use crate::probe::btf::VMLINUX;

    #[test]
    fn the_memory_controller_s_hierarchy_is_found() {
        for (text, number) in [
            ("0::/a\n", 0),
            ("9:name=systemd:/\n4:memory:/docker/ab\n0::/\n", 4),
            ("11:cpu,cpuacct:/x\n10:hugetlb,memory:/y\n", 10),
            ("x:memory:/\n", 0),
            ("1:cpu:/memory\n\n:\n", 0),
        ] {
            assert_eq!(memory_hierarchy(text.as_bytes()), number, "{text:?}");
        }
    }

    #[test]
    fn the_running_kernel_has_every_field() {
        let Ok(btf) = Btf::read(Path::new(VMLINUX)) else {
            eprintln!("skipped: this kernel publishes no types");
            return;
        };
        let (offsets, missing) = resolve(&btf);
        assert_eq!(missing, Vec::<String>::new());
        assert_ne!(offsets.rss_stride, ABSENT);
    }
}
