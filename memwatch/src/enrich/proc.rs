//! `/proc`: parsers of its files as total functions over bytes, and [`ProcFs`], which reads them.
//!
//! Every parser takes any bytes and gives a value or a [`ParseError`]; none of them panics. What a process can choose
//! (its name, its arguments, the path of its executable) is kept as bytes.

mod areas;
mod cgroups;
mod cmdline;
mod exe;
mod fs;
mod limits;
mod lines;
mod living;
mod maps;
pub(crate) mod number;
mod stat;
mod status;

pub use cgroups::{Memberships, REMOVED, parse_cgroups, scan_cgroups};
pub use cmdline::{Arguments, parse_cmdline};
pub use exe::{Exe, parse_exe};
pub use fs::{FileId, ProcFs, ProcessDir, ReadError};
pub use limits::{Limit, Limits, parse_limits};
pub use lines::LineBuffer;
pub use living::Living;
pub use maps::{Mapping, SmapsLine, parse_mapping, parse_smaps_line};
pub use stat::{Stat, StatLine, parse_stat, scan_stat};
pub use status::{Status, parse_status};

/// Why the text of a `/proc` file was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A field is not there.
    #[error("{file}: no field {field}, the text is cut or of an unknown form")]
    Missing {
        /// The file, as named below `/proc/PID`.
        file: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A field is not a number in its range.
    #[error("{file}: field {field} is not a number in its range")]
    NotANumber {
        /// The file, as named below `/proc/PID`.
        file: &'static str,
        /// The field.
        field: &'static str,
    },
}
