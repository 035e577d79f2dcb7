//! What of the settings the kernel side does by itself.

use memwatch_ebpf::abi::event::{ACTION_REFUSE, ACTION_SIGNAL_MAPPED};
use memwatch_ebpf::abi::knobs::{MARK_RULED, RULES_MAX, Rule, SCOPE_MARKED};

use crate::core::detect::fd_table::{Confidence, known_elements};
use crate::core::policy::{Mode, Settings, TableAction};

/// The kernel side's rules: one for each entry that acts before the first touch, in the order of the entries; none where nothing
/// is enforced.
pub(super) fn rules(settings: &Settings) -> Vec<Rule> {
    let mut rules = Vec::new();
    if settings.mode == Mode::Observe {
        return rules;
    }
    for (entry, rule) in (0..).zip(&settings.fd_tables) {
        let action = match rule.action {
            TableAction::Mapped => ACTION_SIGNAL_MAPPED,
            TableAction::Refuse => ACTION_REFUSE,
            TableAction::Report | TableAction::Touched(_) => continue,
        };
        if rules.len() < RULES_MAX as usize {
            rules.push(Rule {
                min_table: rule.min_bytes,
                scope: SCOPE_MARKED,
                mark: mark(rules.len()),
                action,
                signal: rule.signal.0.unsigned_abs(),
                id: entry,
                certainty: confidence(rule.confidence).certainty() as u32,
                elements: known_elements(rule.matching.exe.iter().map(|exe| exe.text().as_bytes())),
                ..Rule::default()
            });
        }
    }
    rules
}

/// The mark of the kernel side's rule for an entry of the settings; `None`: there is none.
pub(super) fn mark_of(rules: &[Rule], entry: usize) -> Option<u32> {
    rules.iter().find(|rule| usize::try_from(rule.id) == Ok(entry)).map(|rule| rule.mark)
}

const fn confidence(number: u8) -> Confidence {
    match number {
        0 => Confidence::Low,
        1 => Confidence::Medium,
        _ => Confidence::High,
    }
}

const fn mark(place: usize) -> u32 {
    MARK_RULED << place
}
