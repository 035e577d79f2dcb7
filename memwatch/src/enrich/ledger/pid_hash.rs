//! A hash for pids.
//!
//! The kernel hands pids out in sequence, and only a process with `CAP_CHECKPOINT_RESTORE` can choose one, so collisions
//! cannot be planned and need no keyed hash. One multiplication by an odd constant (2^64 over the golden ratio)
//! keeps sequential pids apart in the low bits, which choose the bucket, and mixes the high ones, which tag it.

use std::hash::{BuildHasherDefault, Hasher};

pub(super) type BuildPidHasher = BuildHasherDefault<PidHasher>;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PidHasher(u64);

impl Hasher for PidHasher {
    fn write_u32(&mut self, pid: u32) {
        self.0 = (self.0 ^ u64::from(pid)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
