//! The contract between the kernel side and user space.
//!
//! Both sides compile this crate: the BPF programs in `main.rs` (feature `bpf`) and the daemon. It holds the
//! wire types ([`abi`]) and the arithmetic both sides must agree on ([`table`]). Nothing here reads, waits,
//! allocates or depends on aya.
#![no_std]

pub mod abi;
pub mod table;
