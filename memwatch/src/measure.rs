//! Looking at memory: of the host, of a process, of what waits for it.
//!
//! Every look is bounded and makes no memory once its buffers stand: files are kept open where that is possible, and read
//! into fixed rooms. What takes long has a thread ([`Survey`], [`HoldingMeter`]). Nothing here decides anything; what was seen goes to the policy as
//! [`Host`](crate::core::policy::Host) and [`Figures`](crate::core::policy::Figures).

mod holdings;
mod host;
mod idle;
mod pace;
mod pools;
mod pressure;
mod process;
mod queue;
mod requests;
mod strain;
mod survey;

pub use holdings::{Found, HoldingMeter};
pub use host::HostMeter;
pub use idle::IdleMeter;
pub use pace::{Pace, headroom};
pub use pools::PoolMeter;
pub use pressure::{PressureTrigger, TriggerError};
pub(crate) use process::oom_score_adj;
pub use process::{Nature, ProcessMeter};
pub use queue::{QueueMeter, Queues};
pub use strain::StrainMeter;
pub use survey::Survey;
