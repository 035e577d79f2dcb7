//! `memwatch check`: validates a configuration and says what it comes to.

mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;

use crate::config::{self, Configuration, Fault, Faults};
use crate::core::policy::{Mode, Reach};
use crate::export::wrap::wrap;
use words::Paragraph;

/// Arguments of `memwatch check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads nothing but the file, and changes nothing. Exit status: 0 the configuration is valid, 1 it is not; each fault is told \
with its line, key, value and remedy.")]
pub struct Args {
    /// Configuration to check; docs/configuration.md lists its keys
    file: PathBuf,
    /// Form of the output
    #[arg(long, short, default_value = "text", value_name = "FORM")]
    output: Form,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// The policy in words; faults on standard error
    Text,
    /// One JSON object: `file`, `valid`, `mode`, and `policy`, a list of objects with `rule`, `name` and `says`, or `faults`, a list
    /// of objects with `line`, `key`, `value`, `problem` and `remedy`
    Json,
}

/// What is told as JSON.
#[derive(Serialize)]
struct Report<'r> {
    file: String,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policy: Vec<Paragraph>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    faults: &'r [Fault],
}

/// Runs the subcommand.
///
/// # Errors
/// When the file has faults, or the report cannot be written.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let checked = config::load(&args.file);
    match args.output {
        Form::Text => super::print(&text(&checked?, super::trace::width())),
        Form::Json => {
            super::print(json(args, &checked)?.as_bytes())?;
            Ok(if checked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn json(args: &Args, checked: &Result<Configuration, Faults>) -> serde_json::Result<String> {
    let configuration = checked.as_ref().ok();
    let report = Report {
        file: args.file.display().to_string(),
        valid: configuration.is_some(),
        mode: configuration.map(|configuration| configuration.policy.mode.name()),
        policy: configuration.map(words::all).unwrap_or_default(),
        faults: checked.as_ref().err().map(Faults::list).unwrap_or_default(),
    };
    serde_json::to_string_pretty(&report).map(|json| json + "\n")
}

/// The policy, a paragraph for each rule, in lines of at most so many columns.
fn text(configuration: &Configuration, width: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let settings = &configuration.policy;
    let mode = match settings.mode {
        Mode::Observe => "observe: nothing is done; what follows is told as what would have been done",
        Mode::Enforce if settings.scopes.iter().any(|scope| scope.reach == Reach::Host) => {
            "enforce: what follows is done, on the whole host"
        }
        Mode::Enforce => "enforce: what follows is done",
    };
    wrap(mode, (0, 2), width, &mut text);
    for Paragraph { rule, name, says } in words::all(configuration) {
        text.push(b'\n');
        let title = name.map_or_else(|| rule.to_owned(), |name| format!("{rule} `{name}`"));
        wrap(&title, (0, 2), width, &mut text);
        for sentence in says {
            text.extend_from_slice(b"  ");
            wrap(&sentence, (2, 4), width, &mut text);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SAMPLES: [&str; 3] = ["memwatch.toml", "uwsgi-fd-table.toml", "gunicorn-pool.toml"];

    fn sample(name: &str) -> PathBuf {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../config")).join(name)
    }

    /// Each sample is valid, and what it comes to in words is what stands beside it.
    #[test]
    fn samples_say_what_they_mean() {
        for name in SAMPLES {
            let configuration = config::load(&sample(name)).unwrap_or_else(|faults| panic!("{faults}"));
            let words = String::from_utf8(text(&configuration, 100)).expect("UTF-8");
            let golden = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/scenarios/check"))
                .join(name)
                .with_extension("txt");
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&golden, &words).expect("writable scenarios");
            }
            let expected = std::fs::read_to_string(&golden).unwrap_or_default();
            assert!(
                words == expected,
                "{name} says\n{words}\nrun again with UPDATE=1 and look at the difference"
            );
        }
    }

    #[test]
    fn every_file_in_config_is_a_sample() {
        let folder = std::fs::read_dir(sample("")).expect("config/");
        for entry in folder {
            let name = entry.expect("an entry").file_name();
            assert!(
                name.to_str().is_some_and(|name| SAMPLES.contains(&name)),
                "{name:?} is tested by nothing"
            );
        }
    }

    /// The sample shows every key that there is, commented out or not.
    #[test]
    fn the_sample_is_complete() {
        let text = std::fs::read_to_string(sample("memwatch.toml")).expect("the sample");
        for name in config::page::key_names() {
            assert!(text.contains(name), "{name} is not in the sample");
        }
    }

    #[test]
    fn faults_are_a_failure() {
        let args = Args { file: "/nonexistent/memwatch.toml".into(), output: Form::Text };
        let error = run(&args).expect_err("no such file");
        assert!(error.to_string().contains("/nonexistent/memwatch.toml"), "{error}");
    }

    #[test]
    fn json_tells_policy_or_faults() {
        let args = Args { file: "x.toml".into(), output: Form::Json };
        let valid = json(&args, &config::parse("", &args.file)).expect("JSON");
        assert!(valid.contains("\"valid\": true") && valid.contains("\"mode\": \"observe\""), "{valid}");
        assert!(!valid.contains("faults"), "{valid}");
        let faulty = json(&args, &config::parse("mode = 1\nx = 2", &args.file)).expect("JSON");
        assert!(faulty.contains("\"valid\": false") && faulty.contains("\"line\": 2"), "{faulty}");
        assert!(!faulty.contains("policy"), "{faulty}");
    }
}
