//! What the behaviour tests share: a table of cases with their needs, a driver for the tracer and one for the trigger.
//!
//! The binary `behaviour` runs the cases; `memwatch-trigger` is the program whose system calls they expect to see.
//! Both run from any directory, so that a guest runs the very files that the host built.

pub mod case;
pub mod cases;
pub mod cgroup;
pub mod child;
pub mod container_runtime;
pub mod counting;
pub mod crowded;
pub mod kernel_log;
pub mod limit;
pub mod line;
pub mod locate;
pub mod need;
pub mod program;
pub mod receiver;
pub mod report;
pub mod scan;
pub mod scratch;
pub mod shortage;
pub mod site;
pub mod swap;
pub mod syscall;
pub mod tracer;
pub mod trigger;
pub mod unit;
pub mod use_of_memory;
