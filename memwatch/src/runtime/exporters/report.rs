//! Tells a peer how many events it did not get.

use crate::core::quantity::Counted;
use crate::export::account::Account;
use crate::export::event::{Event, Severity};
use crate::export::json::Json;
use crate::export::schema::Name;
use crate::export::{Exporter as _, Loss, lost_kinds};
use crate::sys::boot_ns;

/// What such lines are named.
pub(super) const NAME: &str = Name::Lost.as_str();

/// Kinds of what went missing, by [`lost_kinds`].
pub(in crate::runtime) const KINDS: [&str; 3] = ["export_shed", "export_held_back", "export_refused"];

/// What went missing between two accounts, a line for each reason.
pub(super) fn lost(now: &Account, before: &Account) -> impl Iterator<Item = Event> + use<> {
    let [shed, held_back, refused] = KINDS;
    let no_room = |account: &Account| account.shed - account.refused;
    let reasons = [
        (shed, no_room(now), no_room(before)),
        (held_back, now.held_back, before.held_back),
        (refused, now.refused, before.refused),
    ];
    let losses =
        reasons.map(|(kind, total, told)| Loss { time_ns: boot_ns(), kind, count: total - told, total });
    losses.into_iter().filter(|loss| loss.count > 0).map(|loss| {
        let mut object = Vec::new();
        Json::new().lost(&loss, &mut object);
        let kind = lost_kinds::find(loss.kind);
        let remedy = kind.map(|kind| format!(": {}", kind.remedy)).unwrap_or_default();
        let what = loss.kind.trim_start_matches("export_").replace('_', " ");
        let sentence = Some(format!("{} here were {what}{remedy}", Counted(loss.count, "event")));
        Event { name: NAME, severity: Severity::Warning, object, sentence }
    })
}
