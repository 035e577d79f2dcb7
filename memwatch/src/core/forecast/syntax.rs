//! Advice in a server's own configuration syntax.
//!
//! The facts stand in `data/settings.toml`, which is compiled in and parsed once.

use std::sync::LazyLock;

use serde::Deserialize;

use super::settings::Advice;

const DATA: &str = include_str!("../../../data/settings.toml");
const MIB: u64 = 1 << 20;

/// A test loads the file; should it ever be broken in a build of one's own, numbers are told without lines.
static SETTINGS: LazyLock<Vec<Syntax>> = LazyLock::new(|| parse(DATA).unwrap_or_default());

/// How a server is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Syntax {
    /// The server's word in a configuration.
    pub kind: String,
    /// The file that the lines belong to.
    pub file: String,
    head: Option<String>,
    lines: Vec<String>,
    /// What the server cannot be told.
    pub note: String,
    /// Where that is written.
    pub source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    settings: Vec<Syntax>,
}

fn parse(text: &str) -> Result<Vec<Syntax>, String> {
    toml::from_str::<File>(text).map(|file| file.settings).map_err(|error| error.to_string())
}

impl Syntax {
    /// Of a server.
    #[must_use]
    pub fn of(kind: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|syntax| syntax.kind == kind)
    }

    /// Each file with the lines that go into it for this advice: the server's own, and the unit's, whose limit holds whatever the
    /// server does.
    #[must_use]
    pub fn files(&self, advice: &Advice) -> [(&str, Vec<String>); 2] {
        let limit = format!("MemoryMax={}M", advice.limit >> 20);
        [(&self.file, self.lines(advice)), ("the unit, under [Service]", vec![limit])]
    }

    /// The lines for this advice; those with a number that is not known are left out.
    #[must_use]
    fn lines(&self, advice: &Advice) -> Vec<String> {
        let mut lines: Vec<String> = self.head.iter().cloned().collect();
        lines.extend(self.lines.iter().filter_map(|line| filled(line, advice)));
        lines
    }
}

/// A line with its number in place of the name in braces.
fn filled(line: &str, advice: &Advice) -> Option<String> {
    let (before, rest) = line.split_once('{')?;
    let (name, after) = rest.split_once('}')?;
    Some(format!("{before}{}{after}", number(name, advice)?))
}

fn number(name: &str, advice: &Advice) -> Option<u64> {
    match name {
        "workers" => Some(advice.workers),
        "requests" => advice.requests,
        "jitter" => advice.requests.map(|requests| requests / 10),
        "lifetime_s" => advice.lifetime_s.filter(|seconds| *seconds > 0),
        "rss_mib" => Some(advice.recycle_at_rss / MIB),
        "rss_kib" => Some(advice.recycle_at_rss / 1024),
        "request_mib" => Some(advice.of_request / MIB),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::policy::Server;

    const ADVICE: Advice = Advice {
        fit: 4,
        workers: 4,
        share: 700 * MIB,
        recycle_at: 500 * MIB,
        recycle_at_rss: 512 * MIB,
        requests: Some(120),
        lifetime_s: Some(3600),
        of_request: 200 * MIB,
        limit: 2048 * MIB,
    };

    #[test]
    fn the_file_is_sound() {
        let all = parse(DATA).expect("data/settings.toml parses");
        for Syntax { kind, file, lines, note, source, .. } in &all {
            let server = Server::named(kind).expect("a server of servers.toml");
            assert!(!server.is_never, "{kind} is never a pool");
            assert!(!file.is_empty() && !note.is_empty() && source.len() > 10, "{kind}");
            assert_eq!(all.iter().filter(|other| other.kind == *kind).count(), 1, "{kind} is there twice");
            for line in lines {
                assert!(filled(line, &ADVICE).is_some(), "{kind}: {line} has no number that is known");
            }
        }
        for server in Server::all().iter().filter(|server| !server.is_never) {
            assert!(Syntax::of(&server.kind).is_some(), "{} has no settings", server.name);
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let uwsgi = Syntax::of("uwsgi").expect("uWSGI");
        let all = [
            "[uwsgi]",
            "processes = 4",
            "max-requests = 120",
            "max-worker-lifetime = 3600",
            "reload-on-rss = 512",
        ];
        assert_eq!(uwsgi.lines(&ADVICE), all);
        let lines = uwsgi.lines(&Advice { requests: None, lifetime_s: None, ..ADVICE });
        assert_eq!(lines, ["[uwsgi]", "processes = 4", "reload-on-rss = 512"]);
    }
}
