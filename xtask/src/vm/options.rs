//! The command line of `cargo xtask vm`.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, builder::PossibleValuesParser, value_parser};

use super::{
    Guest, Init, acceleration,
    boot::Patience,
    job::Job,
    kernel::{KERNELS, Kernel},
    matrix::{Programs, SMOKE},
};
use crate::rootfs;

/// The most memory guests may have together; they run one after the other.
const MEMORY_LIMIT_MIB: u32 = 4096;

/// What a guest has unless it is said: enough for real programs, and for the smoke part no more than it needs, as a test
/// of it touches all there is.
const MEMORY_MIB: u32 = 3072;
const SMOKE_MEMORY_MIB: u32 = 1024;

/// How long a guest may take to its first command: several times what it takes on a busy machine.
const TO_START: Duration = Duration::from_secs(120);

/// How long a guest may take in all unless it is said, for a command or the smoke part: more than twice what that takes on an
/// emulated processor, for a busy machine.
const IN_ALL: Duration = Duration::from_secs(35 * 60);
/// The same for all tests, which take half an hour and more.
const ALL_TESTS_IN_ALL: Duration = Duration::from_secs(90 * 60);

/// What is to be done.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) kernels: Vec<&'static Kernel>,
    pub(super) what: What,
    /// Whether a kernel that cannot be had is passed over.
    pub(super) allows_missing: bool,
    init: Init,
    layer: &'static rootfs::Layer,
    memory_mib: u32,
    timeout: Duration,
    files: Vec<PathBuf>,
}

/// What runs in the guests.
#[derive(Debug)]
pub(super) enum What {
    /// A shell on the terminal.
    Shell,
    /// A command.
    Command(Job),
    /// The tests, of these programs where they are not to be built.
    Tests(Programs),
}

/// The task's arguments.
pub(super) fn arguments(command: Command) -> Command {
    let path = |name, help| {
        Arg::new(name).long(name).help(help).value_name("PATH").value_parser(value_parser!(PathBuf))
    };
    let flag = |name, help| Arg::new(name).long(name).help(help).action(ArgAction::SetTrue);
    let names = KERNELS.iter().map(|kernel| kernel.name);
    let layers = rootfs::LAYERS.map(|layer| layer.name);
    command
        .arg(
            Arg::new("kernel")
                .long("kernel")
                .help("Only on this kernel; may be repeated")
                .value_name("VERSION")
                .action(ArgAction::Append)
                .value_parser(PossibleValuesParser::new(names)),
        )
        .arg(
            flag(
                "smoke",
                "The oldest and the newest kernel, and only the tests that each hook attaches and tells",
            )
            .conflicts_with_all(["kernel", "shell", "layer", "only", "command"]),
        )
        .arg(flag("systemd", "Start systemd in the guest, as for the tests, not a minimal init"))
        .arg(flag("shell", "Give a shell on the guest's console").conflicts_with("command"))
        .arg(
            Arg::new("layer")
                .long("layer")
                .help(
                    "The root file system; `full` has the real programs [default: base, full for the tests]",
                )
                .value_name("LAYER")
                .value_parser(PossibleValuesParser::new(layers)),
        )
        .arg(
            Arg::new("memory")
                .long("memory")
                .help("The guest's memory in MiB, 4096 at most [default: 1024 for --smoke, else 3072]")
                .value_name("MIB")
                .value_parser(value_parser!(u32).range(256..=i64::from(MEMORY_LIMIT_MIB))),
        )
        .arg(
            Arg::new("timeout")
                .long("timeout")
                .help(format!(
                    "Seconds a guest may take in all [default: {} for the tests, {} for --smoke and commands]",
                    ALL_TESTS_IN_ALL.as_secs(),
                    IN_ALL.as_secs()
                ))
                .value_name("SECONDS")
                .value_parser(value_parser!(u64).range(1..)),
        )
        .arg(flag("allow-missing", "Pass over a kernel whose packages cannot be fetched"))
        .arg(
            path("bring", "A file to put into the command's folder; may be repeated")
                .action(ArgAction::Append),
        )
        .arg(
            Arg::new("only")
                .long("only")
                .help("Only the tests with this in their name; may be repeated")
                .value_name("NAME")
                .action(ArgAction::Append),
        )
        .arg(path("tests", "The test program to run, instead of the one built here"))
        .arg(path("memwatch", "The memwatch to test, instead of the one built here"))
        .arg(
            Arg::new("command")
                .help("What to run, as root; one word alone is a line for the shell; nothing: the tests")
                .value_name("COMMAND")
                .num_args(..)
                .last(true),
        )
}

impl Options {
    /// The tests with one of these in their name on every kernel; every test where there are none.
    ///
    /// # Errors
    /// A name is not UTF-8.
    pub(super) fn whole_matrix(names: &[OsString]) -> Result<Self> {
        Self::parse_words(&names.iter().flat_map(|name| [OsStr::new("--only"), name]).collect::<Vec<_>>())
    }

    /// Reads words of a command line.
    ///
    /// # Errors
    /// They make no sense.
    pub(super) fn parse_words(words: &[impl AsRef<OsStr>]) -> Result<Self> {
        let words = std::iter::once(OsStr::new("vm")).chain(words.iter().map(AsRef::as_ref));
        Self::parse(&arguments(Command::new("vm")).try_get_matches_from(words)?)
    }

    /// A line for the shell under systemd, beside the real programs and with these files.
    ///
    /// # Errors
    /// No such kernel is in the matrix.
    pub(super) fn script(kernel: &str, line: &str, files: &[PathBuf], timeout: Duration) -> Result<Self> {
        let seconds = timeout.as_secs().to_string();
        let words =
            ["--systemd", "--layer", "full", "--kernel", kernel, "--timeout", &seconds].map(Path::new);
        let brought = files.iter().flat_map(|file| [Path::new("--bring"), file.as_path()]);
        let words = words.into_iter().chain(brought).chain([Path::new("--"), Path::new(line)]);
        Self::parse_words(&words.collect::<Vec<_>>())
    }

    /// Reads the task's arguments.
    ///
    /// # Errors
    /// They contradict each other.
    pub(super) fn parse(matches: &ArgMatches) -> Result<Self> {
        let is_smoke = matches.get_flag("smoke");
        let mut wanted: Vec<&str> =
            matches.get_many::<String>("kernel").into_iter().flatten().map(String::as_str).collect();
        if is_smoke {
            wanted.extend(KERNELS.first().into_iter().chain(KERNELS.last()).map(|kernel| kernel.name));
        }
        let kernels: Vec<_> =
            KERNELS.iter().filter(|it| wanted.is_empty() || wanted.contains(&it.name)).collect();
        let files: Vec<PathBuf> = matches.get_many("bring").into_iter().flatten().cloned().collect();
        let words: Vec<String> = matches.get_many("command").into_iter().flatten().cloned().collect();
        let what = if matches.get_flag("shell") {
            if kernels.len() != 1 {
                bail!(
                    "a shell is on one kernel: say which, as in --kernel {}",
                    KERNELS.last().map_or("", |it| it.name)
                );
            }
            What::Shell
        } else if words.is_empty() {
            let only: Vec<String> = matches.get_many("only").into_iter().flatten().cloned().collect();
            What::Tests(Programs {
                tests: matches.get_one("tests").cloned(),
                memwatch: matches.get_one("memwatch").cloned(),
                only: if is_smoke { SMOKE.map(str::to_owned).into() } else { only },
            })
        } else {
            What::Command(Job { command: words, files: files.clone(), ..Job::default() })
        };
        let is_test = matches!(what, What::Tests(_));
        let layer = matches
            .get_one::<String>("layer")
            .map_or(if is_test && !is_smoke { "full" } else { "base" }, String::as_str);
        let default_memory = if is_smoke { SMOKE_MEMORY_MIB } else { MEMORY_MIB };
        let default_timeout = if is_test && !is_smoke { ALL_TESTS_IN_ALL } else { IN_ALL };
        Ok(Self {
            kernels,
            what,
            allows_missing: matches.get_flag("allow-missing"),
            // Tests that start units need systemd; those of the smoke part need nothing that takes its time.
            init: if matches.get_flag("systemd") || (is_test && !is_smoke) {
                Init::Systemd
            } else {
                Init::Minimal
            },
            layer: rootfs::LAYERS.into_iter().find(|it| it.name == layer).unwrap_or(&rootfs::BASE),
            memory_mib: matches.get_one("memory").copied().unwrap_or(default_memory),
            timeout: matches.get_one("timeout").copied().map_or(default_timeout, Duration::from_secs),
            files,
        })
    }

    /// A job of the given files and no command.
    pub(super) fn job(&self) -> Job {
        Job { files: self.files.clone(), ..Job::default() }
    }

    /// The guest for one kernel.
    ///
    /// # Errors
    /// The kernel cannot be had, or KVM is there and cannot be tried.
    pub(super) fn guest(&self, kernel: &'static Kernel, dir: &Path) -> Result<Guest> {
        let processor = acceleration::processor(dir, kernel)?;
        let patience = Patience { to_start: TO_START, in_all: self.timeout };
        let Self { init, layer, memory_mib, .. } = *self;
        let unpacked = kernel.unpacked(dir)?;
        Ok(Guest { kernel, unpacked, init, layer, memory_mib, processor, patience })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse_words(arguments)
    }

    #[test]
    fn all_kernels_unless_some_are_named() {
        let names = |options: Options| options.kernels.iter().map(|kernel| kernel.name).collect::<Vec<_>>();
        assert_eq!(names(parse(&[]).unwrap()).len(), KERNELS.len());
        let (one, other) = (KERNELS[0].name, KERNELS[1].name);
        assert_eq!(names(parse(&["--kernel", other, "--kernel", one]).unwrap()), [one, other]);
    }

    #[test]
    fn tests_run_on_the_full_layer_and_commands_on_the_small_one() {
        assert_eq!(parse(&[]).unwrap().layer.name, "full");
        let options = parse(&["--", "uname", "-a"]).unwrap();
        assert_eq!(options.layer.name, "base");
        assert!(matches!(options.what, What::Command(job) if job.command == ["uname", "-a"]));
    }

    #[test]
    fn smoke_is_a_part_of_the_tests_on_the_ends_of_the_matrix() {
        let options = parse(&["--smoke"]).unwrap();
        let ends = [KERNELS.first(), KERNELS.last()].map(|kernel| kernel.unwrap().name);
        assert_eq!(options.kernels.iter().map(|it| it.name).collect::<Vec<_>>(), ends);
        assert_eq!(options.layer.name, "base");
        assert!(matches!(options.what, What::Tests(programs) if programs.only == SMOKE));
    }

    #[test]
    fn the_whole_matrix_runs_the_tests_that_are_named() {
        let options = Options::whole_matrix(&["oom::".into(), "life::".into()]).unwrap();
        assert_eq!(options.kernels.len(), KERNELS.len());
        assert!(matches!(options.what, What::Tests(programs) if programs.only == ["oom::", "life::"]));
        let all = Options::whole_matrix(&[]).unwrap();
        assert!(matches!(all.what, What::Tests(programs) if programs.only.is_empty()));
    }

    #[test]
    fn the_help_tells_the_times_that_are_kept() {
        let help = super::arguments(Command::new("vm")).render_long_help().to_string();
        for (arguments, what) in [(&[][..], "for the tests"), (&["--smoke"], "for --smoke")] {
            let told = format!("{} {what}", parse(arguments).unwrap().timeout.as_secs());
            assert!(help.contains(&told), "{told}: {help}");
        }
    }

    #[test]
    fn a_shell_is_on_one_kernel() {
        assert!(parse(&["--shell"]).is_err());
        assert!(parse(&["--shell", "--kernel", KERNELS[0].name]).is_ok());
    }
}
