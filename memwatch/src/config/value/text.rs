//! Names, patterns and commands.

use std::net::SocketAddr;
use std::path::PathBuf;

use toml::de::{DeArray, DeValue};

use super::{Form, Misfit, Value, text};
use crate::core::pattern::Pattern;
use crate::core::policy::Server;
use crate::export::event::KINDS;

/// One value, or an array of them.
fn each<'a, 'i>(value: &'a DeValue<'i>) -> impl Iterator<Item = &'a DeValue<'i>> {
    let array: Option<&'a DeArray<'i>> = value.as_array();
    let one = array.is_none().then_some(value);
    one.into_iter().chain(array.into_iter().flat_map(|array| array.iter().map(toml::Spanned::get_ref)))
}

/// The name of a rule.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Name(pub(in crate::config) String);

impl Form for Name {
    const FORM: &'static str = "text";
    const EXAMPLE: &'static str = "\"web\"";
}

impl Value for Name {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let name = text::<Self>(value)?;
        let is_plain = |character: char| !character.is_control();
        if name.trim().is_empty() || name.len() > 64 || !name.chars().all(is_plain) {
            return Err(Misfit::new("this cannot be a name", "write 1 to 64 printable characters"));
        }
        Ok(Self(name.to_owned()))
    }
}

/// A known server.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Kind(pub(in crate::config) &'static Server);

impl Form for Kind {
    const FORM: &'static str = "kind of server";
    const EXAMPLE: &'static str = "\"gunicorn\"";
}

impl Value for Kind {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let kind = text::<Self>(value)?;
        let Some(server) = Server::named(kind) else {
            let kinds =
                Server::all().iter().filter(|server| !server.is_never).map(|server| server.kind.as_str());
            return Err(Misfit::new(
                "there is no such kind of server",
                format!(
                    "write one of {}, or leave it out and write match and signal",
                    kinds.collect::<Vec<_>>().join(", ")
                ),
            ));
        };
        if server.is_never {
            return Err(Misfit::new(
                format!("{} is no pool: {}", server.name, server.note),
                "take the pool out",
            ));
        }
        Ok(Self(server))
    }
}

/// Patterns any of which may match.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Patterns(pub(in crate::config) Vec<Pattern>);

impl Form for Patterns {
    const FORM: &'static str = "pattern, or an array of them";
    const EXAMPLE: &'static str = "\"uwsgi*\"";
}

impl Value for Patterns {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let patterns: Vec<_> = each(value)
            .map(|value| {
                let pattern = Pattern::parse(text::<Self>(value)?).map_err(|_| {
                    Misfit::new("an empty pattern matches nothing", "leave the key out instead")
                })?;
                if pattern.text().chars().all(|character| matches!(character, '*' | '?')) {
                    return Err(Misfit::new(
                        "this pattern matches every name",
                        "leave the key out; to mean every process write match = \"all\"",
                    ));
                }
                Ok(pattern)
            })
            .collect::<Result<_, _>>()?;
        if patterns.is_empty() {
            return Err(Misfit::new("an empty array says nothing", "leave the key out instead"));
        }
        Ok(Self(patterns))
    }
}

/// Kinds of events.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Kinds(pub(in crate::config) Vec<Pattern>);

impl Form for Kinds {
    const FORM: &'static str = "pattern, or an array of them";
    const EXAMPLE: &'static str = "[\"decision\", \"warning\"]";
}

impl Value for Kinds {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let Patterns(patterns) = Patterns::read(value)?;
        let is_none = |pattern: &&Pattern| !KINDS.iter().any(|kind| pattern.matches(kind.as_bytes()));
        match patterns.iter().find(is_none) {
            Some(pattern) => Err(Misfit::new(
                format!("no kind of event is named {}", pattern.text().escape_debug()),
                format!("write one of {}", KINDS.join(", ")),
            )),
            None => Ok(Self(patterns)),
        }
    }
}

/// Address and port.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Address(pub(in crate::config) SocketAddr);

impl Form for Address {
    const FORM: &'static str = "address and port";
    const EXAMPLE: &'static str = "\"127.0.0.1:9836\"";
}

impl Value for Address {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let misfit = || {
            let problem = "this is no address with a port";
            Misfit::new(problem, format!("write for example {} or \"[::1]:9836\"", Self::EXAMPLE))
        };
        text::<Self>(value)?
            .parse()
            .ok()
            .filter(|it: &SocketAddr| it.port() != 0)
            .map(Self)
            .ok_or_else(misfit)
    }
}

/// The URL of a receiver, which is understood with the protocol that it is spoken to by.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Url(pub(in crate::config) String);

impl Form for Url {
    const FORM: &'static str = "URL";
    const EXAMPLE: &'static str = "\"http://127.0.0.1:4317\"";
}

impl Value for Url {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        text::<Self>(value).map(str::to_owned).map(Self)
    }
}

/// Path of a file or socket.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Place(pub(in crate::config) PathBuf);

impl Form for Place {
    const FORM: &'static str = "path";
    const EXAMPLE: &'static str = "\"/var/log/memwatch/events.jsonl\"";
}

impl Value for Place {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let path = text::<Self>(value)?;
        if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
            let problem = "this is no path of a file from the root";
            return Err(Misfit::new(problem, format!("write for example {}", Self::EXAMPLE)));
        }
        Ok(Self(path.into()))
    }
}

/// Paths of sockets.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Places(pub(in crate::config) Vec<PathBuf>);

impl Form for Places {
    const FORM: &'static str = "path, or an array of them";
    const EXAMPLE: &'static str = "\"/run/containerd/containerd.sock\"";
}

impl Value for Places {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let places = each(value).map(|value| {
            let of_this =
                |misfit: Misfit| Misfit { remedy: format!("write for example {}", Self::EXAMPLE), ..misfit };
            Place::read(value).map(|place| place.0).map_err(of_this)
        });
        places.collect::<Result<_, _>>().map(Self)
    }
}

/// A cgroup's path.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Cgroup(pub(in crate::config) Vec<String>);

impl Form for Cgroup {
    const FORM: &'static str = "cgroup path, or an array of them";
    const EXAMPLE: &'static str = "\"/system.slice/web.service\"";
}

impl Value for Cgroup {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let paths: Vec<_> = each(value)
            .map(|value| {
                let path = text::<Self>(value)?;
                let remedy =
                    format!("write it from the root as /proc/PID/cgroup does, for example {}", Self::EXAMPLE);
                match path.trim_end_matches('/') {
                    "" => Err(Misfit::new("this is the whole host", remedy)),
                    cut if !cut.starts_with('/') => Err(Misfit::new("this is no path of a cgroup", remedy)),
                    cut => Ok(cut.to_owned()),
                }
            })
            .collect::<Result<_, _>>()?;
        if paths.is_empty() {
            return Err(Misfit::new("an empty array says nothing", "leave the key out instead"));
        }
        Ok(Self(paths))
    }
}

/// User ids.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Uids(pub(in crate::config) Vec<u32>);

impl Form for Uids {
    const FORM: &'static str = "user id, or an array of them";
    const EXAMPLE: &'static str = "33";
}

impl Value for Uids {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let uids: Vec<_> = each(value)
            .map(|value| match value {
                DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
                DeValue::String(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_)
                | DeValue::Table(_) => None,
            })
            .collect::<Option<_>>()
            .filter(|uids: &Vec<_>| !uids.is_empty())
            .ok_or_else(|| Misfit::new("this is no user id", "write its number; `id -u NAME` tells it"))?;
        Ok(Self(uids))
    }
}

/// A program and its arguments; no shell is between.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Command(pub(in crate::config) Vec<String>);

impl Form for Command {
    const FORM: &'static str = "array of a program's path and its arguments";
    const EXAMPLE: &'static str = "[\"/usr/local/bin/drain\", \"--quick\"]";
}

impl Value for Command {
    fn read(value: &DeValue<'_>) -> Result<Self, Misfit> {
        let misfit = |problem: &str| Misfit::new(problem, format!("write for example {}", Self::EXAMPLE));
        let array =
            value.as_array().ok_or_else(|| misfit("this is no array of a program and its arguments"))?;
        let words =
            array.iter().map(|word| word.get_ref().as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
        let words = words.ok_or_else(|| misfit("the program and its arguments are text"))?;
        if words.iter().any(|word| word.contains('\0')) {
            return Err(misfit("an argument cannot hold a zero byte"));
        }
        // Looked for in no PATH: what runs as root is named in full.
        if words.first().is_none_or(|program| !program.starts_with('/')) {
            return Err(misfit("the program is not named by its whole path"));
        }
        Ok(Self(words))
    }
}
