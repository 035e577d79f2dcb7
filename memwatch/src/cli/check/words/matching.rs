//! Which processes, in words.

use crate::core::pattern::Pattern;
use crate::core::policy::Match;

/// Those that a rule is about.
pub(super) fn processes(matching: &Match) -> String {
    if matching.is_all() {
        return "every process".to_owned();
    }
    let cgroups = either(matching.cgroup.iter().map(String::as_str));
    let uids: Vec<_> = matching.uid.iter().map(u32::to_string).collect();
    let asked = [
        ("executable", patterns(&matching.exe)),
        ("an argument", patterns(&matching.args)),
        ("name", patterns(&matching.comm)),
        ("parent's executable", patterns(&matching.parent_exe)),
        ("cgroup", cgroups),
        ("unit", patterns(&matching.unit)),
        ("container", patterns(&matching.container)),
        ("user id", either(uids.iter().map(String::as_str))),
    ];
    let asked: Vec<_> = asked
        .into_iter()
        .filter_map(|(what, values)| values.map(|values| format!("{what} {values}")))
        .collect();
    format!("processes with {}", asked.join(", and "))
}

/// Those that no rule ever touches.
pub(super) const fn guarded() -> &'static str {
    "never touched: process 1, memwatch and what started it, kernel threads, what has an oom_score_adj of -1000 or no known \
     executable, the service manager, sshd and logins, the message bus, kubelet, container runtimes, the network's and the log's daemons"
}

fn patterns(patterns: &[Pattern]) -> Option<String> {
    either(patterns.iter().map(Pattern::text))
}

fn either<'t>(texts: impl Iterator<Item = &'t str>) -> Option<String> {
    let texts: Vec<_> = texts.collect();
    (!texts.is_empty()).then(|| texts.join(" or "))
}
