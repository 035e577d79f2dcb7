//! Acts on the findings of the fd-table detector. A table that is mapped and never touched is left alone, unless the rule names the
//! program and says otherwise.

use super::{Among, Proposal, Rule, View, Wishes};
use crate::core::policy::decision::{Cause, Gravity};
use crate::core::policy::input::TableState;
use crate::core::policy::settings::{Settings, TableAction};
use crate::core::policy::world::{Member, World};

/// Its name in reports.
pub(in crate::core::policy) const NAME: &str = "fd_table";

#[derive(Debug)]
pub(super) struct FdTable;

impl Rule for FdTable {
    fn propose(&mut self, view: &View<'_>, wishes: &mut Wishes) {
        let first = wishes.proposals.len();
        for (key, member) in view.world.members() {
            let Some(table) = member.table else { continue };
            let Some((entry, rule)) = entry_for(view.settings, view.world, member) else { continue };
            if !member.is_free() || table.bytes < rule.min_bytes || table.confidence < rule.confidence {
                continue;
            }
            let bound = match rule.action {
                TableAction::Touched(bound) => bound,
                // Told once, by the kernel side's own account of it.
                TableAction::Mapped if table.state == TableState::Signalled => continue,
                // The second line: it had no order yet, or was less sure.
                TableAction::Mapped => 0,
                TableAction::Report | TableAction::Refuse => continue,
            };
            if table.touched < bound {
                continue;
            }
            wishes.proposals.push(Proposal {
                rule: NAME,
                entry: Some(entry),
                cause: Cause::FdTable {
                    limit: table.limit,
                    bytes: table.bytes,
                    touched: table.touched,
                    bound,
                },
                gravity: Gravity::of(rule.signal),
                among: Among::One(key),
                wanted: 1,
                idle_first: false,
            });
        }
        wishes.put_in_order(first);
    }
}

/// The first entry of the settings that concerns a process, and its number.
pub(in crate::core::policy) fn entry_for<'a>(
    settings: &'a Settings,
    world: &World,
    member: &Member,
) -> Option<(usize, &'a crate::core::policy::FdTableRule)> {
    let parent = member.who.parent.and_then(|tgid| world.holder(tgid)).map(|parent| &*parent.who);
    settings.fd_tables.iter().enumerate().find(|(_, rule)| rule.matching.matches(&member.who, parent))
}
