//! memory.stat of both versions, and cgroup.stat.

use crate::core::audit::Charged;

/// What memory.stat says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Of the cgroup and all below it.
    pub all: Charged,
    /// Of the cgroup alone, in the first version.
    pub local: Option<Charged>,
}

/// Parts of the kernel's memory that kernels before 5.18 do not add up.
const OF_THE_KERNEL: [&[u8]; 4] = [b"kernel_stack", b"pagetables", b"percpu", b"slab"];

/// Reads the text of memory.stat.
#[must_use]
pub fn parse_stat(text: &[u8], is_unified: bool) -> Stat {
    let of = |name: &[u8]| {
        text.split(|&byte| byte == b'\n').find_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(b" ")?;
            std::str::from_utf8(value).ok()?.trim().parse::<u64>().ok()
        })
    };
    if is_unified {
        let parts = OF_THE_KERNEL.iter().filter_map(|name| of(name));
        let parts = parts.fold(None, |sum: Option<u64>, part| Some(sum.unwrap_or(0).saturating_add(part)));
        let (anon, file, shmem) = (of(b"anon"), of(b"file"), of(b"shmem"));
        let all = Charged { anon, file, shmem, kernel: of(b"kernel").or(parts), swap: None };
        return Stat { all, local: None };
    }
    let local = Charged {
        anon: of(b"rss"),
        file: of(b"cache"),
        shmem: of(b"shmem"),
        kernel: None,
        swap: of(b"swap"),
    };
    let all = Charged {
        anon: of(b"total_rss").or(local.anon),
        file: of(b"total_cache").or(local.file),
        shmem: of(b"total_shmem").or(local.shmem),
        kernel: None,
        swap: of(b"total_swap").or(local.swap),
    };
    Stat { all, local: Some(local) }
}

/// Reads the number of removed cgroups that still exist out of cgroup.stat: those with memory where the kernel counts
/// them apart (6.11).
#[must_use]
pub fn parse_dying(text: &[u8]) -> Option<u64> {
    let of = |name: &str| {
        let text = std::str::from_utf8(text).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
    };
    of("nr_dying_subsys_memory").or_else(|| of("nr_dying_descendants"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_version() {
        let text = b"anon 4096\nfile 8192\nkernel_stack 100\nslab_reclaimable 7\nshmem 1024\nslab 50\nfile_mapped 1\n";
        let expected =
            Charged { anon: Some(4096), file: Some(8192), shmem: Some(1024), kernel: Some(150), swap: None };
        assert_eq!(parse_stat(text, true), Stat { all: expected, local: None });
        assert_eq!(parse_stat(b"anon 1\nkernel 9\nslab 5\n", true).all.kernel, Some(9));
        assert_eq!(parse_stat(b"", true).all, Charged::default());
    }

    #[test]
    fn the_first_version_has_both() {
        let text = b"cache 10\nrss 20\nshmem 3\nswap 1\ntotal_cache 110\ntotal_rss 120\ntotal_shmem 13\ntotal_swap 5\n";
        let stat = parse_stat(text, false);
        assert_eq!((stat.all.file, stat.all.anon, stat.all.swap), (Some(110), Some(120), Some(5)));
        assert_eq!(stat.local.and_then(|local| local.file), Some(10));
    }

    #[test]
    fn the_dying_are_counted_by_controller_where_that_is_known() {
        assert_eq!(parse_dying(b"nr_descendants 4\nnr_dying_descendants 2\n"), Some(2));
        let text =
            b"nr_descendants 4\nnr_dying_descendants 2\nnr_subsys_memory 4\nnr_dying_subsys_memory 9\n";
        assert_eq!(parse_dying(text), Some(9));
        assert_eq!(parse_dying(b""), None);
    }
}
