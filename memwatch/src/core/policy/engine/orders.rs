//! Orders to the kernel side: what it is to do about a process by itself, and when it is not to do so any more.
//!
//! It asks nobody when it acts. So it has orders only as long as the engine would do the same: not about a process that became
//! another program, not once the kill budget is spent, and not about the children of a master that is stopped over.

use super::Engine;
use crate::core::fact::ProcessKey;
use crate::core::policy::Outbox;
use crate::core::policy::command::{Command, Limit, Signal};
use crate::core::policy::rule;
use crate::core::policy::settings::{Mode, TableAction};
use crate::core::policy::world::{Member, Orders};

/// Rule ids from here on are limits of processes; below, fd-table rules.
pub const LIMIT_RULES: u32 = 0x1_0000;

impl Engine {
    /// Says what the kernel side is to do about a process now, and takes back what it is not to do any more.
    pub(super) fn hand_down(&mut self, key: ProcessKey, out: &mut Outbox) {
        let Some(member) = self.world.get(key) else { return };
        let (before, limit, rule) = (member.orders, self.limit_for(member), self.rule_for(member));
        if before.has_limit && limit.is_none() {
            out.commands.push(Command::Unlimit(key));
        }
        if before.rule.is_some() && before.rule != rule {
            out.commands.push(Command::Unrule(key));
        }
        // Also what was said before: the kernel side forgets both when the process executes a program.
        out.commands.extend(limit.map(Command::Limit));
        out.commands.extend(rule.map(|rule| Command::Rule { key, rule }));
        if let Some(member) = self.world.get_mut(key) {
            let last_rule = rule.or(before.last_rule);
            member.orders = Orders { has_limit: limit.is_some(), rule, last_rule };
        }
    }

    /// The same for all of whom this holds.
    pub(super) fn hand_down_to(&mut self, is_one: impl Fn(&Member) -> bool, out: &mut Outbox) {
        let all = self.world.members().filter(|(_, member)| is_one(member));
        let mut keys: Vec<ProcessKey> = all.map(|(key, _)| key).collect();
        keys.sort_unstable();
        for key in keys {
            self.hand_down(key, out);
        }
    }

    /// Has the kernel side kill nobody while the budget is spent.
    pub(super) fn arm(&mut self, now_ns: u64, out: &mut Outbox) {
        let is_spent = self.spent.is_over(now_ns);
        if is_spent != std::mem::replace(&mut self.is_disarmed, is_spent) {
            self.hand_down_to(|_| true, out);
        }
    }

    /// The limit that the kernel side is to keep. Where it is not to act it tells that the limit is passed.
    fn limit_for(&self, member: &Member) -> Option<Limit> {
        let (entry, limit) = member.limit(&self.settings).filter(|_| member.is_free())?;
        let signal = if self.may_act_on(member) { limit.signal } else { Signal(0) };
        let rule = LIMIT_RULES | u32::try_from(entry).unwrap_or(u32::MAX);
        Some(Limit { key: member.who.key, bytes: limit.bytes, signal, rule })
    }

    /// The fd-table rule that the kernel side is to follow. A fork hands it down: a master has none whose children are to be
    /// left alone.
    fn rule_for(&self, member: &Member) -> Option<usize> {
        let (entry, rule) = rule::table_for(&self.settings, &self.world, member)?;
        let is_struck = matches!(rule.action, TableAction::Mapped | TableAction::Refuse);
        let is_due = is_struck
            && member.is_free()
            && self.may_act_on(member)
            && !self.masters.is_stopped(member.who.key.tgid);
        is_due.then_some(entry)
    }

    fn may_act_on(&self, member: &Member) -> bool {
        self.settings.mode == Mode::Enforce
            && !self.is_disarmed
            && !member.who.parent.is_some_and(|master| self.masters.is_stopped(master))
    }
}
