//! `memwatch manual`: the pages for `man`, made of what `--help` says.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

/// Arguments of `memwatch manual`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  memwatch manual ~/.local/share/man/man1     then `man memwatch` finds them")]
pub struct Args {
    /// Folder to write them to; it is made if need be
    #[arg(value_hint = clap::ValueHint::DirPath)]
    folder: PathBuf,
}

/// Runs the subcommand for the whole command line.
///
/// # Errors
/// When the folder cannot be written to.
pub fn run(args: &Args, command: clap::Command) -> anyhow::Result<ExitCode> {
    let refused =
        || format!("cannot write the manual pages to {}: name another folder", args.folder.display());
    std::fs::create_dir_all(&args.folder).with_context(refused)?;
    clap_mangen::generate_to(command.disable_help_subcommand(true), &args.folder).with_context(refused)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_subcommand_has_a_page() {
        let folder = std::env::temp_dir().join(format!("memwatch-manual-{}", std::process::id()));
        run(&Args { folder: folder.clone() }, Cli::command()).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        for command in Cli::command().get_subcommands() {
            let text = page(&format!("memwatch-{}.1", command.get_name()));
            assert!(text.contains(&format!(".TH memwatch-{}", command.get_name())), "{text}");
        }
        let (all, daemon) = (page("memwatch.1"), page("memwatch-daemon.1"));
        assert!(all.contains("memwatch\\-daemon(1)") && daemon.contains("\\-\\-socket"), "{all}{daemon}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
