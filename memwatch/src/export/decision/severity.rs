//! How much a line about a decision matters.

use crate::core::policy::{Command, Ending, Gravity, Warning};
use crate::export::event::Severity;

/// That of a command; of those that are not told it says nothing.
pub(super) const fn of(command: &Command) -> Severity {
    match command {
        Command::Decided(decision) => match decision.gravity {
            Gravity::Resize | Gravity::Graceful => Severity::Notice,
            Gravity::Kill | Gravity::KillCgroup => Severity::Warning,
        },
        Command::Closed(closing) => match closing.ending {
            Ending::Returned | Ending::Observed | Ending::Gone | Ending::Resized => Severity::Info,
            Ending::NotReturned | Ending::Ignored => Severity::Warning,
            Ending::Stuck | Ending::Failed => Severity::Error,
        },
        Command::Warn(warning) => match warning {
            Warning::BudgetSpent { .. } | Warning::Stopped { .. } | Warning::NobodyLeft { .. } => {
                Severity::Error
            }
            Warning::Growing { .. }
            | Warning::Thrashing { .. }
            | Warning::UnderCharged { .. }
            | Warning::FdTable { .. } => Severity::Warning,
            Warning::Forecast { .. } => Severity::Info,
        },
        Command::Measure(_)
        | Command::Audit(_)
        | Command::Send { .. }
        | Command::Tell { .. }
        | Command::KillCgroup { .. }
        | Command::RunHook { .. }
        | Command::Limit(_)
        | Command::Rule { .. }
        | Command::LookWithin(_) => Severity::Info,
    }
}
