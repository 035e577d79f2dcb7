//! Looking at memory: of the host, of a process, of what waits for it.
//!
//! Every look is bounded and makes no memory once its buffers stand: files are kept open where that is possible, and read
//! into fixed rooms. Nothing here decides anything; what was seen goes to the policy as
//! [`Host`](crate::core::policy::Host) and [`Figures`](crate::core::policy::Figures).

mod host;
mod pace;
mod process;

pub use host::HostMeter;
pub use pace::Pace;
pub(crate) use process::oom_score_adj;
pub use process::{Nature, ProcessMeter};
