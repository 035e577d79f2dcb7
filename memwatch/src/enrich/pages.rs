//! Pages of address spaces: which page a process has where (`/proc/PID/maps`, `/proc/PID/pagemap`), and whom each page is
//! charged to and what it is (`/proc/kpagecgroup`, `/proc/kpageflags`).

mod batch;
mod frames;
pub mod maps;
mod pagemap;
mod resident;

pub use batch::{Batch, Side, Sink};
pub use frames::{Frames, FramesError, flag};
pub use pagemap::{Entry, Pagemap};
pub use resident::{Resident, parse_resident};
