//! Rules that act in the kernel on the traced command.

use memwatch_ebpf::abi::event::{ACTION_REFUSE, ACTION_SIGNAL_MAPPED, ACTION_SIGNAL_TOUCHED};
use memwatch_ebpf::abi::knobs::{MARK_RULED, Rule, SCOPE_MARKED};

use crate::cli::values::signal::SignalParser;
use crate::cli::values::{parse_bound, parse_size};

/// What to do about an fd table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Act {
    /// Signal as soon as it is mapped, before its first page is touched
    SignalMapped,
    /// Signal when more than --act-touched of it is touched
    SignalTouched,
    /// Refuse the mapping with ENOMEM, where the kernel allows it
    Refuse,
}

/// Arguments that set a rule.
#[derive(Debug, clap::Args)]
#[group(id = "acting")]
#[command(next_help_heading = "Acting on the command's own fd tables (needs -- COMMAND)")]
pub(super) struct Args {
    /// What to do about an fd table of the command or its descendants, until the command ends
    #[arg(long, requires = "command", value_name = "ACT")]
    act: Option<Act>,
    /// Signal to send, by name or number
    #[arg(long, requires = "act", default_value = "SIGKILL", value_parser = SignalParser, hide_possible_values = true, value_name = "SIGNAL")]
    act_signal: u32,
    /// Touched bytes at which signal-touched acts
    #[arg(long, requires = "act", default_value = "64MiB", value_parser = parse_bound, value_name = "SIZE")]
    act_touched: u64,
    /// Smallest single table to act on; the default is --min-table
    #[arg(long, requires = "act", value_parser = parse_size, value_name = "SIZE")]
    act_min: Option<u64>,
}

impl Args {
    /// Whether a rule is set.
    pub(super) const fn is_set(&self) -> bool {
        self.act.is_some()
    }

    /// The rules for the kernel side.
    pub(super) fn rules(&self, min_table: u64) -> Vec<Rule> {
        let Some(act) = self.act else { return Vec::new() };
        let action = match act {
            Act::SignalMapped => ACTION_SIGNAL_MAPPED,
            Act::SignalTouched => ACTION_SIGNAL_TOUCHED,
            Act::Refuse => ACTION_REFUSE,
        };
        vec![Rule {
            min_table: self.act_min.unwrap_or(min_table),
            touched: self.act_touched,
            scope: SCOPE_MARKED,
            mark: MARK_RULED,
            action,
            signal: self.act_signal,
            id: 1,
            ..Rule::default()
        }]
    }
}
