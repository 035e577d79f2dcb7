//! The configuration: TOML as written in, a checked [`Configuration`] out, or all faults at once.
//!
//! A table of the file is one file in `section/`: its keys, and what they come to. The keys drive the reader and
//! docs/configuration.md alike. Invariant: nothing is guessed – a quantity without its unit, an unknown key and a rule that
//! could only do harm are faults.

mod fault;
mod key;
pub mod page;
mod reader;
mod refuse;
mod section;
mod value;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use fault::{Fault, Faults};

use crate::core::policy::Settings;
use crate::enrich::cri::Sockets;
use crate::export::metrics::Offer;
use crate::export::route::Route;
use reader::Reader;

/// What a file comes to.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// What is done about memory.
    pub policy: Settings,
    /// Who is told; empty: whom the command line says.
    pub exports: Vec<Route>,
    /// Who gets metrics.
    pub metrics: Offer,
    /// Who is asked for the names of containers.
    pub containers: Sockets,
}

/// Reads and checks a file.
///
/// # Errors
/// All faults of the file, or why it cannot be read.
pub fn load(path: &Path) -> Result<Configuration, Faults> {
    let fault = |problem, remedy| Faults::new(path, vec![Fault::of_file(problem, remedy)]);
    let text = read(path).map_err(|error| {
        fault(format!("cannot read it: {error}"), "name a file of TOML that this user may read")
    })?;
    if text.len() as u64 > LARGEST {
        return Err(fault(
            "it is larger than 1 MiB".to_owned(),
            "name the configuration, not a log or a device",
        ));
    }
    parse(&text, path)
}

/// Bytes of a file that may be a configuration.
const LARGEST: u64 = 1 << 20;

/// A file's text, cut when it is too large to be a configuration: a device may have no end.
fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    Ok(text)
}

/// Checks a text; the path only names it.
///
/// # Errors
/// All faults of the text.
pub fn parse(text: &str, path: &Path) -> Result<Configuration, Faults> {
    let reader = Reader::new(text);
    let document = reader.document();
    let configuration = section::policy::read(&reader, document.get_ref());
    let faults = reader.into_faults();
    if faults.is_empty() { Ok(configuration) } else { Err(Faults::new(path, faults)) }
}
