//! How much a line about a decision matters.

use crate::core::policy::{Ending, Gravity, Told, Warning};
use crate::export::event::Severity;

/// That of what is told.
pub(super) const fn of(told: Told<'_>) -> Severity {
    match told {
        Told::Decided(decision) => match decision.gravity {
            Gravity::Resize | Gravity::Refuse | Gravity::Graceful => Severity::Notice,
            Gravity::StopUnit | Gravity::Kill | Gravity::KillCgroup => Severity::Warning,
        },
        Told::Closed(closing) => match closing.ending {
            Ending::Returned | Ending::Refused | Ending::Observed | Ending::Gone | Ending::Resized => {
                Severity::Info
            }
            Ending::NotReturned | Ending::Ignored => Severity::Warning,
            Ending::Stuck | Ending::Failed => Severity::Error,
        },
        Told::Warned(warning) => match warning {
            Warning::BudgetSpent { .. } | Warning::Stopped { .. } | Warning::NobodyLeft { .. } => {
                Severity::Error
            }
            Warning::CgroupSpared { .. }
            | Warning::Growing { .. }
            | Warning::Thrashing { .. }
            | Warning::UnderCharged { .. }
            | Warning::FdTable { .. } => Severity::Warning,
            Warning::Forecast { .. } => Severity::Info,
        },
    }
}
