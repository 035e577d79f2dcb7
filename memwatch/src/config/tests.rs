//! What is accepted, what it comes to, and what is refused with which words.

mod any_text;
mod exports;

use std::path::Path;

use super::{Faults, parse};
use crate::core::policy::{Amount, Measure, Mode, Reach, Settings, Signal, TableAction, Then};

fn read(text: &str) -> Result<Settings, Faults> {
    parse(text, Path::new("test.toml")).map(|configuration| configuration.policy)
}

fn settings(text: &str) -> Settings {
    read(text).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Key and line of each fault.
fn places(text: &str) -> Vec<(String, usize)> {
    let faults = read(text).expect_err("faults");
    faults.list().iter().map(|fault| (fault.key.clone(), fault.line.unwrap_or_default())).collect()
}

/// The one fault of a text.
#[track_caller]
fn fault(text: &str) -> String {
    let faults = read(text).expect_err("a fault");
    assert_eq!(faults.list().len(), 1, "{faults}");
    faults.list()[0].to_string()
}

#[test]
fn an_empty_file_observes_the_whole_host() {
    let settings = settings("");
    assert_eq!(settings.mode, Mode::Observe);
    assert_eq!(settings.scopes.len(), 1);
    let scope = &settings.scopes[0];
    let bounds = scope.bounds.as_ref().expect("bounds");
    assert!(scope.reach == Reach::Host && !scope.any_process);
    assert_eq!((bounds.lower, bounds.upper), (Amount::Share(8000), Amount::Share(9200)));
    assert!(settings.found_pools.is_some() && settings.pools.is_empty());
    assert_eq!(settings.fd_tables[0].action, TableAction::Report);
    assert!(settings.pressure.is_some() && settings.growth.is_some());
    assert_eq!(settings.returned_within_ns, 10_000_000_000);
}

#[test]
fn enforcing_on_the_whole_host_has_to_be_spelled_out() {
    for text in ["mode = 'enforce'", "mode = 'enforce'\n[[scope]]\nlower = '70%'\n"] {
        let fault = fault(text);
        assert!(fault.contains("this would be enforced on the whole host"), "{fault}");
        assert_eq!(settings(&format!("whole_host = true\n{text}")).mode, Mode::Enforce);
    }
    assert_eq!(settings("mode = 'enforce'\n[[scope]]\ntree = 4711\n").mode, Mode::Enforce);
}

#[test]
fn an_enforcing_file_acts_on_fd_tables_it_is_sure_of() {
    let rules = settings("mode = 'enforce'\nwhole_host = true").fd_tables;
    assert_eq!((rules[0].action, rules[0].confidence), (TableAction::Touched(1 << 30), 2));
}

#[test]
fn a_preset_gives_signal_and_match_and_what_is_written_goes_before() {
    let text = "[[pool]]\nkind = 'gunicorn'\nsoft = '1GiB'\nhard = '2GiB'\nmatch = { unit = 'web.service' }\n\
                [[pool]]\nname = 'batch'\nkind = 'celery'\nsignal = 'TERM'\nmeasure = 'rss'\nthen = 'master'\n";
    let pools = settings(text).pools;
    assert_eq!(pools[0].signal, Signal::TERM);
    assert_eq!((pools[0].soft, pools[0].hard), (Some(1 << 30), Some(2 << 30)));
    assert!(!pools[0].matching.exe.is_empty() && !pools[0].matching.args.is_empty());
    assert_eq!(pools[0].matching.unit[0].text(), "web.service");
    assert_eq!((pools[0].name.as_str(), pools[1].name.as_str()), ("pool-1", "batch"));
    assert_eq!((pools[1].measure, pools[1].then), (Measure::Resident, Then::Master));
}

#[test]
fn scopes_reach_over_a_cgroup_or_a_tree() {
    let text = "[[scope]]\ncgroup = '/system.slice/web.service/'\nmemory = '4GiB'\nlower = '3GiB'\nupper = '90%'\n\
                [[scope]]\nname = 'test'\ntree = 4711\nany_process = true\n\
                steps = [{ at = '80%', count = 1 }, { at = '90%', count = 4 }]\n";
    let scopes = settings(text).scopes;
    assert_eq!(scopes[0].reach, Reach::Cgroup("/system.slice/web.service".into()));
    assert_eq!(scopes[1].reach, Reach::Tree(4711));
    assert!(scopes[1].any_process);
    assert_eq!(scopes[1].bounds.as_ref().map(|bounds| bounds.steps.len()), Some(2));
}

#[test]
fn all_faults_come_at_once() {
    let text = "\
mod = 'observe'
returned_within = 10
[[scope]]
lower = '95%'
upper = 0.9
uper = 'x'
[[pool]]
kind = 'gunicorn'
soft = 2048
hrad = '1GiB'
[[pool]]
kind = 'guincorn'
at_once = 0
[growth]
window = '1 fortnight'
[nonsense]
a = 1
";
    let found = places(text);
    let expected = [
        ("mod", 1),
        ("returned_within", 2),
        ("scope[1].upper", 5),
        ("scope[1].uper", 6),
        ("pool[1].soft", 9),
        ("pool[1].hrad", 10),
        ("pool[2].kind", 12),
        ("pool[2].at_once", 13),
        ("growth.window", 15),
        ("nonsense", 16),
    ];
    assert_eq!(found, expected.map(|(key, line)| (key.to_owned(), line)));
}

#[test]
fn a_fault_says_what_to_write() {
    assert_eq!(
        fault("[[pool]]\nkind = 'gunicorn'\nsoft = 2048\n"),
        "pool[1].soft = 2048: a size without a unit; write the unit out: \"2048B\", \"2048KiB\", \"2048MiB\" or \"2048GiB\""
    );
    assert_eq!(fault("mdoe = 'enforce'"), "mdoe: there is no such key; did you mean `mode`?");
    assert_eq!(
        fault("[[scope]]\nlower = '95%'"),
        "scope[1].lower = '95%': the lower bound is not below the upper one; write a smaller lower or a larger upper"
    );
    let words = fault("[[pool]]\nkind = 'celery'");
    assert!(
        words.contains("no signal that lets a worker finish") && words.contains("acts_late")
            || words.contains("acks_late"),
        "{words}"
    );
}

#[test]
fn what_is_no_toml_is_told_with_all_the_rest() {
    let found = places("mode = observe\nretruned_within = '1s'\n[[pool]]\nsoft = 2GiB\n");
    let lines: Vec<_> = found.iter().map(|(_, line)| *line).collect();
    assert!(lines.contains(&1) && lines.contains(&2) && lines.contains(&4), "{found:?}");
}

#[test]
fn what_would_kill_everything_is_refused() {
    for (text, words) in [
        ("[[scope]]\nupper = '3%'\nlower = '2%'", "every candidate would go"),
        ("[[scope]]\nlower = '1MiB'\nupper = '90%'", "cannot be compared"),
        ("[[scope]]\nlower = '90%'\nupper = '80%'", "not below the upper"),
        ("[[pool]]\nkind = 'uwsgi'\nmatch = 'all'", "every process of the host is no pool"),
        ("[[pool]]\nkind = 'uwsgi'\nmatch = { exe = '*' }", "matches every name"),
        ("[[pool]]\nkind = 'uwsgi'\nmatch = {}", "an empty match is every process"),
        ("[[process_limit]]\nlimit = '1GiB'", "this key is needed"),
        ("[[process_limit]]\nlimit = '1GiB'\nmatch = { comm = 'worker' }", "prove nothing"),
        ("[[process_limit]]\nlimit = '64KiB'\nmatch = { exe = 'app' }", "no program starts in so little"),
        ("[[process_limit]]\nlimit = '8MiB'\nmatch = 'all'", "every process would be held to this"),
        ("[[pool]]\nkind = 'uwsgi'\nneeds = '200MiB'\nhard = '150MiB'", "more than this to start"),
        ("[[pool]]\nkind = 'uwsgi'\ntotal = '1GiB'\nmin_alive = 0", "serve nobody"),
        ("[[pool]]\nkind = 'uwsgi'\nsoft = '2GiB'\nhard = '1GiB'", "not below the hard"),
        ("[[pool]]\nkind = 'uwsgi'\nsoft = '2GiB'\ntotal = '1GiB'", "all workers together have less"),
        ("[[pool]]\nkind = 'postgresql'", "is no pool"),
        ("[[pool]]\nsignal = 'TERM'\nmatch = { exe = 'postgres' }", "is no pool"),
        ("[[pool]]\nmatch = { exe = 'app' }", "how a worker is asked to leave"),
        ("[[pool]]\nsignal = 'KILL'\nmatch = { exe = 'app' }", "finish its request"),
        ("[[fd_table]]\naction = 'signal-touched'", "has to say on whom"),
        ("[[fd_table]]\naction = 'signal-mapped'\nmatch = 'all'", "programs that are named"),
        ("[[fd_table]]\naction = 'refuse'\nmatch = { unit = 'a.service' }", "programs that are named"),
        (
            "[[process_limit]]\nlimit = '1GiB'\nmatch = { exe = ['sshd', '/usr/lib/systemd/systemd'] }",
            "guarded by nature",
        ),
        (
            "[[process_limit]]\nlimit = '1GiB'\nmatch = { exe = 'redis-server' }\n[[protect]]\nmatch = { exe = 'redis*' }",
            "[[protect]] names",
        ),
        ("[[process_limit]]\nlimit = '1GiB'\nmatch = { unit = 'ssh.service' }", "guarded by nature"),
        (
            "[[process_limit]]\nlimit = '1GiB'\nmatch = { unit = ['sshd@3.service', 'dbus.service'], uid = 0 }",
            "guarded by nature",
        ),
        (
            "[[process_limit]]\nlimit = '1GiB'\nmatch = { cgroup = '/system.slice/kubelet.service' }",
            "guarded by nature",
        ),
        (
            "[[process_limit]]\nlimit = '1GiB'\nmatch = { uid = [1000, 1001] }\n[[protect]]\nmatch = { uid = [1001, 1000, 7] }",
            "[[protect]] names",
        ),
        (
            "[[pool]]\nkind = 'uwsgi'\nmatch = { unit = 'web-*.service', exe = 'uwsgi' }\n[[protect]]\nmatch = { unit = 'web*' }",
            "[[protect]] names",
        ),
        (
            "[[process_limit]]\nlimit = '1GiB'\nmatch = { cgroup = '/a/b' }\n[[protect]]\nmatch = { cgroup = '/a' }",
            "[[protect]] names",
        ),
        ("[[protect]]\nmatch = 'all'", "nothing could be done"),
        ("[budget]\nkills = 0", "nothing could ever be killed"),
        ("[[pool]]\nkind = 'uwsgi'\nbefore = ['/bin/x']\nhook_deadline = '1h'", "delay the kill"),
        ("[[pool]]\nkind = 'uwsgi'\nbefore = ['x']", "whole path"),
        ("[[pool]]\nkind = 'uwsgi'\nname = 'a'\n[[pool]]\nkind = 'puma'\nname = 'a'", "has this name"),
        ("[pressure]\navailable_below = '80%'", "is not short"),
        ("[growth]\nrecycle_within = '1h'", "before it has warned"),
        ("[[scope]]\ncgroup = '/'", "whole host"),
        ("[[scope]]\ncgroup = '/a'\ntree = 7", "not both"),
        ("[[pool]]\nkind = 'uwsgi'\nsignal = 'STOP'", "none leaves by it"),
        ("[pool]\nkind = 'uwsgi'", "no array of tables"),
        ("pressure = 5", "no table"),
    ] {
        let faults = read(text).map(|_| ()).expect_err(text);
        assert!(faults.list().iter().any(|fault| fault.to_string().contains(words)), "{text}: {faults}");
    }
}

#[test]
fn a_rule_that_reaches_beyond_the_guarded_is_taken() {
    let limit = "[[process_limit]]\nlimit = '1GiB'\nmatch =";
    for text in [
        "{ unit = ['ssh.service', 'web.service'] }",
        "{ unit = 'ssh*' }",
        "{ cgroup = '/system.slice' }",
        "{ uid = [1000, 1001] }\n[[protect]]\nmatch = { uid = 1000 }",
        "{ uid = 1000 }\n[[protect]]\nmatch = { uid = 1000, exe = 'backup' }",
        "{ exe = 'app*' }\n[[protect]]\nmatch = { exe = 'app?' }",
        "{ cgroup = '/ab' }\n[[protect]]\nmatch = { cgroup = '/a' }",
    ] {
        let text = format!("{limit} {text}\n");
        assert!(read(&text).is_ok(), "{text}: {:?}", read(&text).err());
    }
}

#[test]
fn too_many_is_told() {
    let scopes: String = (2..70).map(|pid| format!("[[scope]]\ntree = {pid}\n")).collect();
    assert!(fault(&scopes).starts_with("scope[65]: more than 64 scopes"));
    let rule = "[[fd_table]]\naction = 'refuse'\nmatch = { exe = 'app' }\n";
    assert!(fault(&rule.repeat(40)).contains("rules that act before a page is touched"));
}

#[test]
fn a_file_that_is_none_is_a_fault() {
    let faults = super::load(Path::new("/nonexistent/memwatch.toml")).expect_err("no such file");
    assert!(faults.to_string().contains("cannot read it"), "{faults}");
    let faults = super::load(Path::new("/dev/zero")).expect_err("no configuration");
    assert!(faults.to_string().contains("larger than 1 MiB"), "{faults}");
}

#[test]
fn defaults_are_what_the_documentation_says() {
    for row in super::section::ALL.iter().flat_map(|section| section.rows) {
        if let super::key::Unwritten::Toml(value) = row.unwritten {
            assert!(toml::de::DeValue::parse(value).is_ok(), "{}: {value}", row.name);
        }
    }
}
