//! The worst case of pools of workers, and when memory is used up: inputs and time in, forecasts out.
//!
//! A [`History`] takes what the policies take ([`Input`](crate::core::policy::Input)), live or from a recording. From what
//! it saw, [`forecast`] concludes: how large a worker was at most and what it gained, the pool's worst case, how many such
//! workers its bound bears, and which settings follow. [`Check`] does the same with the first part of a recording, and
//! compares it with the rest.

pub mod check;
pub mod conclude;
pub mod history;
pub mod pool;
pub mod rate;
pub mod settings;
pub mod syntax;
pub mod worker;

pub use check::{Check, Checked};
pub use conclude::{Assumed, Forecast, PoolForecast, forecast};
pub use history::{Bound, History};
pub use rate::{Rate, Reached, Series};
pub use settings::Advice;
