//! Wire types: what travels through the ring buffer ([`event`]), what lives in maps ([`state`]), what user
//! space hands down before load ([`offsets`]) and while running ([`knobs`]), and what is counted when something
//! goes wrong ([`fault`]).
//!
//! Invariant: every type is `repr(C)`, free of hidden padding (refused at compile time by `IntoBytes`) and of
//! `bool`, `Option`, enums, `usize` and references. Numbers that stand for a choice are turned into enums by
//! user space, which rejects those it does not know.

pub mod event;
pub mod fault;
pub mod header;
pub mod knobs;
pub mod offsets;
pub mod state;

/// Version of the wire format; a record with another one is counted as undecodable.
pub const VERSION: u16 = 1;

/// Bytes of a task's `comm`, including the terminating zero.
pub const COMM_LEN: usize = 16;
