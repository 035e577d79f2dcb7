//! Detectors: facts in, findings out. They say what is going on and how sure they are, never what to do to a process.

pub mod fd_table;
