//! Known prefork servers: how they are recognised, and what asks one worker to leave without a failed request.
//!
//! The facts stand in `data/servers.toml`, which is compiled in and parsed once.

use std::sync::LazyLock;

use serde::Deserialize;

use super::command::{Order, Signal};
use super::settings::Match;
use super::sizing::Resize;
use super::who::Who;
use crate::core::pattern::Pattern;

const DATA: &str = include_str!("../../../data/servers.toml");

/// A test loads the file; should it ever be broken in a build of one's own, no pool is found by itself.
static SERVERS: LazyLock<Vec<Server>> = LazyLock::new(|| parse(DATA).unwrap_or_default());

/// A prefork server.
#[derive(Clone, Debug)]
pub struct Server {
    /// The word for it in a configuration.
    pub kind: String,
    /// Its name, as people write it.
    pub name: String,
    /// Its processes, master and workers alike: the executable, and an argument where that is not enough.
    pub matching: Match,
    /// What a worker answers by finishing its request and leaving; `None`: there is no such signal.
    pub signal: Option<Signal>,
    /// Whether its pools are recycled when no configuration names them.
    pub is_found: bool,
    /// Whether it is never a pool.
    pub is_never: bool,
    /// What tells its master to have one worker more, and one less; `None`: nothing does.
    pub size: Option<(Order, Order)>,
    /// Who goes when its master is told to have one worker less; `None`: its size is its own.
    pub goes: Option<Goes>,
    /// What an operator has to know.
    pub note: String,
    /// Where that is written.
    pub source: String,
}

/// Whom a master that is told to have one worker less ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goes {
    /// The oldest, busy or not.
    Oldest,
    /// The oldest that has nothing to do.
    OldestIdle,
    /// The youngest, unless it was configured otherwise.
    Youngest,
    /// That of the highest number.
    Highest,
}

impl Server {
    /// The server whose master, or worker, a process is.
    #[must_use]
    pub fn of(master: &Who) -> Option<&'static Self> {
        SERVERS.iter().find(|server| server.matching.matches(master, None))
    }

    /// The server that a process is a worker of: its parent is the master, and runs the same program.
    #[must_use]
    pub fn of_worker(who: &Who, parent: &Who) -> Option<&'static Self> {
        Self::of(parent).filter(|server| !server.is_never && who.program() == parent.program())
    }

    /// The server that a configuration calls so.
    #[must_use]
    pub fn named(kind: &str) -> Option<&'static Self> {
        SERVERS.iter().find(|server| server.kind == kind)
    }

    /// What tells its master to change its number of workers.
    #[must_use]
    pub const fn order(&self, step: Resize) -> Order {
        match (self.size, step) {
            (Some((grow, _)), Resize::Grow) => grow,
            (Some((_, shrink)), Resize::Shrink) => shrink,
            (None, _) => Order::Nothing,
        }
    }

    /// All of them.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &SERVERS
    }

    /// What recycles a worker of a pool that no configuration names; `None`: such a pool is left alone.
    #[must_use]
    pub const fn found_signal(&self) -> Option<Signal> {
        if self.is_found && !self.is_never { self.signal } else { None }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    server: Vec<Entry>,
}

/// An entry as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: String,
    name: String,
    exe: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
    signal: Option<String>,
    #[serde(default)]
    found: bool,
    #[serde(default)]
    never: bool,
    grow: Option<String>,
    shrink: Option<String>,
    goes: Option<Goes>,
    note: String,
    source: String,
}

fn entries(text: &str) -> Result<Vec<Entry>, String> {
    toml::from_str::<File>(text).map(|file| file.server).map_err(|error| error.to_string())
}

fn parse(text: &str) -> Result<Vec<Server>, String> {
    entries(text)?.into_iter().map(Server::try_from).collect()
}

impl TryFrom<Entry> for Server {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        let patterns =
            |texts: &[String]| texts.iter().map(|text| Pattern::parse(text)).collect::<Result<_, _>>();
        let signal = |name: String| Signal::parse(&name).ok_or_else(|| format!("`{name}` is no signal"));
        let order =
            |text: &String| Order::parse(text).ok_or_else(|| format!("`{text}` is no order to a master"));
        let size = match (&entry.grow, &entry.shrink) {
            (Some(grow), Some(shrink)) => Some((order(grow)?, order(shrink)?)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err("a size that moves one way only".to_owned()),
        };
        if size.is_some() != entry.goes.is_some() {
            return Err("a size that changes, and nothing about who goes, or the other way round".to_owned());
        }
        Ok(Self {
            matching: Match { exe: patterns(&entry.exe)?, args: patterns(&entry.args)?, ..Match::default() },
            signal: entry.signal.map(signal).transpose()?,
            kind: entry.kind,
            name: entry.name,
            is_found: entry.found,
            is_never: entry.never,
            size,
            goes: entry.goes,
            note: entry.note,
            source: entry.source,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::core::fact::ProcessKey;

    fn who(exe: &str, args: &[&str]) -> Who {
        Who {
            exe: Some(exe.into()),
            args: args.iter().map(|&argument| argument.to_owned()).collect(),
            ..Who::unknown(ProcessKey { tgid: 7, start_ns: 1 })
        }
    }

    fn kind(exe: &str, args: &[&str]) -> Option<&'static str> {
        Server::of(&who(exe, args)).map(|server| server.kind.as_str())
    }

    #[test]
    fn the_file_is_sound() {
        let entries = entries(DATA).expect("data/servers.toml parses");
        let mut kinds = BTreeSet::new();
        let mut signs = BTreeSet::new();
        for entry in entries {
            assert!(kinds.insert(entry.kind.clone()), "{} is there twice", entry.kind);
            assert!(entry.source.len() > 10, "{} has no source", entry.name);
            assert!(!entry.note.is_empty(), "{} has no note", entry.name);
            assert!(!entry.exe.is_empty(), "{} has no executable", entry.name);
            assert!(
                !entry.found || entry.signal.is_some(),
                "{} cannot be recycled, yet is found",
                entry.name
            );
            assert!(
                !entry.never || entry.signal.is_none(),
                "{} is never a pool, yet has a signal",
                entry.name
            );
            assert_ne!(entry.signal.as_deref(), Some("SIGKILL"), "{} has no graceful signal", entry.name);
            for exe in &entry.exe {
                assert!(
                    !exe.starts_with(['*', '?']) && !exe.contains('/'),
                    "{exe} would fit too much or nothing"
                );
                for argument in
                    entry.args.iter().map(String::as_str).chain(entry.args.is_empty().then_some(""))
                {
                    assert!(signs.insert(format!("{exe} {argument}")), "{exe} {argument} is there twice");
                }
            }
            Server::try_from(entry).expect("patterns and a signal");
        }
    }

    #[test]
    fn unknown_keys_and_signals_are_refused() {
        let text = "[[server]]\nkind = 'x'\nname = 'x'\nexe = ['xyz']\nnote = 'z'\nsource = 'y'\n";
        assert!(parse(text).is_ok());
        assert!(parse(&format!("{text}sginal = 'HUP'\n")).is_err());
        assert!(parse(&format!("{text}signal = 'HUB'\n")).is_err());
        assert!(parse(&text.replace("source = 'y'", "")).is_err());
        assert!(parse(&format!("{text}grow = 'SIGTTIN'\nshrink = 'fifo -'\ngoes = 'oldest'\n")).is_ok());
        assert!(parse(&format!("{text}grow = 'SIGTTIN'\nshrink = 'fifo -'\n")).is_err());
        assert!(parse(&format!("{text}goes = 'oldest'\n")).is_err());
        for odd in ["grow = 'SIGTTIN'", "grow = 'fifo ++'\nshrink = 'fifo -'", "grow = 'x'\nshrink = 'y'"] {
            assert!(parse(&format!("{text}{odd}\n")).is_err(), "{odd}");
        }
    }

    #[test]
    fn masters_and_workers_are_recognised() {
        assert_eq!(kind("/usr/bin/uwsgi-core", &["uwsgi", "--ini", "app.ini"]), Some("uwsgi"));
        assert_eq!(
            kind("/usr/bin/python3.11", &["python3", "/usr/bin/gunicorn", "app:app"]),
            Some("gunicorn")
        );
        assert_eq!(kind("/usr/bin/python3.11", &["gunicorn: worker [app:app]"]), Some("gunicorn"));
        assert_eq!(kind("/usr/sbin/php-fpm8.2", &["php-fpm: pool www"]), Some("php-fpm"));
        assert_eq!(kind("/usr/bin/ruby3.1", &["unicorn worker[0] -c unicorn.rb"]), Some("unicorn"));
        assert_eq!(kind("/usr/bin/ruby3.1", &["puma 5.6.5 (tcp://0.0.0.0:9292) [app]"]), Some("puma"));
        assert_eq!(kind("/usr/bin/ruby3.1", &["puma: cluster worker 0: 12 [app]"]), Some("puma"));
        assert_eq!(kind("/usr/bin/python3.11", &["[celeryd: celery@host:MainProcess]"]), Some("celery"));
        assert_eq!(
            kind("/usr/lib/postgresql/15/bin/postgres", &["postgres: checkpointer"]),
            Some("postgresql")
        );
    }

    #[test]
    fn others_are_not() {
        assert_eq!(kind("/usr/bin/python3.11", &["python3", "app.py"]), None);
        assert_eq!(kind("/usr/bin/ruby3.1", &["ruby", "puma.rb"]), None);
        assert_eq!(
            kind("/tmp/gunicorn", &["gunicorn: worker [app:app]"]),
            None,
            "a name of one's own is no executable"
        );
        assert_eq!(kind("/usr/bin/uwsgitop", &["uwsgitop"]), None);
    }

    #[test]
    fn what_is_not_sure_is_left_alone() {
        let signal = |kind| Server::named(kind).expect("a server").found_signal();
        assert_eq!(signal("uwsgi"), Some(Signal(1)));
        assert_eq!(signal("gunicorn"), Some(Signal::TERM));
        assert_eq!(signal("php-fpm"), Some(Signal(3)));
        for kind in ["apache-prefork", "celery", "postgresql"] {
            assert_eq!(signal(kind), None, "{kind}");
        }
    }
}
