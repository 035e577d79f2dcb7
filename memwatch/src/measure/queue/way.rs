//! Whether a uWSGI master takes orders about its size by its FIFO: it counts them only in cheaper mode, and its own algorithms
//! would take them back. Only `cheaper-algo = manual` leaves the size to others (core/cheaper.c, 2.0.31).
//!
//! What it was started with is read from its arguments, its environment and the files that these name. What cannot be read
//! there, such as an XML file, was not said: a pool is left alone rather than fought over.

use std::io::Read;

use rustix::fs::{FileType, OFlags};

use crate::core::policy::Way;
use crate::enrich::fifo::Fifo;
use crate::enrich::proc::ProcessDir;

/// Bytes read of arguments, of the environment and of a file.
const ROOM: u64 = 64 * 1024;
/// Files read.
const FILES: usize = 8;

/// Whether a master takes orders.
pub(super) fn of(dir: &ProcessDir) -> Way {
    match Fifo::read_by(dir) {
        Ok(_) => Said::by(dir).way(),
        Err(way) => way,
    }
}

/// What the master was told about its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    is_cheaper: bool,
    algorithm: Option<String>,
    files: Vec<String>,
}

impl Said {
    fn by(dir: &ProcessDir) -> Self {
        let mut said = Self::default();
        said.arguments(&text(dir, "cmdline"));
        for variable in text(dir, "environ").split('\0') {
            if let Some((name, value)) = variable.strip_prefix("UWSGI_").and_then(|rest| rest.split_once('='))
            {
                said.option(&name.to_ascii_lowercase().replace('_', "-"), value);
            }
        }
        let mut place = 0;
        while let Some(file) = said.files.get(place).filter(|_| place < FILES).cloned() {
            let path = match file.strip_prefix('/') {
                Some(rest) => format!("root/{rest}"),
                None => format!("cwd/{file}"),
            };
            said.file(&text(dir, &path));
            place += 1;
        }
        said
    }

    /// `--name value`, `--name=value`, and files that stand alone.
    fn arguments(&mut self, text: &str) {
        let mut arguments = text.split('\0').skip(1).peekable();
        while let Some(argument) = arguments.next() {
            match argument.strip_prefix("--").map(|option| option.split_once('=').ok_or(option)) {
                Some(Ok((name, value))) => self.option(name, value),
                Some(Err(name)) => self.option(name, arguments.peek().copied().unwrap_or_default()),
                None if is_file(argument) => self.files.push(argument.to_owned()),
                None => {}
            }
        }
    }

    /// Lines `name = value` of an INI file, or `name: value` of a YAML one.
    fn file(&mut self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
            if let Some((name, value)) = line.split_once(['=', ':']) {
                self.option(name.trim(), value.trim());
            }
        }
    }

    fn option(&mut self, name: &str, value: &str) {
        match name {
            "cheaper" => self.is_cheaper = true,
            "cheaper-algo" | "cheaper-algorithm" => self.algorithm = Some(value.to_owned()),
            "ini" | "yaml" | "yml" if is_file(value) => self.files.push(value.to_owned()),
            _ => {}
        }
    }

    fn way(&self) -> Way {
        match (self.is_cheaper, self.algorithm.as_deref()) {
            (true, Some("manual")) => Way::Open,
            (true, _) => Way::OwnAlgorithm,
            (false, _) => Way::Fixed,
        }
    }
}

fn is_file(argument: &str) -> bool {
    [".ini", ".yaml", ".yml"].iter().any(|end| argument.ends_with(end))
}

/// The text of a file that a process named: only of one that is a file, and no more of it than there is room for.
fn text(dir: &ProcessDir, path: &str) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = dir.open_at_once(path, OFlags::RDONLY)
        && rustix::fs::fstat(&file)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    {
        // What was read until an error is as good as a file that ends there.
        let _ = file.take(ROOM).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(arguments: &str, file: &str) -> Way {
        let mut said = Said::default();
        said.arguments(arguments);
        said.file(file);
        said.way()
    }

    #[test]
    fn only_the_manual_algorithm_leaves_the_size_to_others() {
        assert_eq!(way("uwsgi\0--cheaper\x002\0--cheaper-algo\0manual\0", ""), Way::Open);
        assert_eq!(way("uwsgi\0--cheaper=2\0--cheaper-algo=manual\0", ""), Way::Open);
        assert_eq!(way("uwsgi\0--cheaper=2\0", ""), Way::OwnAlgorithm, "spare is what it takes unasked");
        assert_eq!(way("uwsgi\0--cheaper=2\0--cheaper-algo=busyness\0", ""), Way::OwnAlgorithm);
        assert_eq!(way("uwsgi\0--workers=2\0", ""), Way::Fixed);
        assert_eq!(way("uwsgi\0", "[uwsgi]\ncheaper = 1\ncheaper-algo=manual\n"), Way::Open);
        assert_eq!(way("uwsgi\0", "uwsgi:\n  cheaper: 1\n  cheaper-algo: manual\n"), Way::Open);
        assert_eq!(way("uwsgi\0", "# cheaper = 1\n;cheaper-algo = manual\n"), Way::Fixed);
    }

    #[test]
    fn files_are_named_in_each_way() {
        let mut said = Said::default();
        said.arguments("uwsgi\0/etc/a.ini\0--ini\0b.ini\0--yaml=c.yml\0--http\0:80\0");
        assert_eq!(said.files, ["/etc/a.ini", "b.ini", "b.ini", "c.yml"]);
    }
}
