//! Packages the release binary for Debian, with the service, the manual pages and the completions.
//!
//! What is in it stands in `[package.metadata.deb]` of memwatch/Cargo.toml, which cargo-deb reads; generated files lie beside the
//! binary, where cargo-deb looks for what a build makes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{Task, build, process, report, tool::Tool, workspace};

pub(crate) const TASK: Task = Task {
    name: "package",
    about: "Build the Debian package: the binary, its service, manual pages and completions",
    arguments: |command| command,
    run: |_| {
        let package = debian(&build::release()?)?;
        report::step(&format!("{}: {} bytes", package.display(), size(&package)?));
        Ok(())
    },
};

const DEB: Tool = Tool { name: "cargo-deb", version: "3.8.0", purpose: "it writes the Debian package" };

/// Shells, and how the file with their completions is called.
const COMPLETIONS: [(&str, &str); 3] =
    [("bash", "memwatch"), ("zsh", "_memwatch"), ("fish", "memwatch.fish")];

/// Packages the release binary and gives the package's path.
///
/// # Errors
/// A file cannot be generated, or cargo-deb fails.
pub(crate) fn debian(binary: &Path) -> Result<PathBuf> {
    let deb = DEB.installed()?;
    let release = binary.parent().context("the release binary has no folder")?;
    generate(binary, &release.join("package"))?;
    let target = release.parent().and_then(Path::file_name).context("the release folder names no target")?;
    let output = workspace::target()?.join("debian");
    fs::create_dir_all(&output).with_context(|| format!("cannot create {}", output.display()))?;
    // The binary keeps its symbols, without which a panic says nothing, and was built already.
    let mut cargo_deb = Command::new(deb);
    cargo_deb.args(["--package", "memwatch", "--no-build", "--no-strip", "--quiet", "--target"]).arg(target);
    cargo_deb.arg("--output").arg(&output).current_dir(workspace::root());
    let told = process::output(&mut cargo_deb)?;
    told.lines().last().map(PathBuf::from).context("cargo-deb names no package")
}

/// Writes the manual pages and completions anew.
fn generate(binary: &Path, folder: &Path) -> Result<()> {
    let _absent = fs::remove_dir_all(folder);
    let manual = folder.join("man");
    process::run(Command::new(binary).arg("manual").arg(&manual))?;
    let pages = fs::read_dir(&manual).with_context(|| format!("cannot list {}", manual.display()))?;
    // As Debian wants them: compressed, without a name and a time.
    process::run(
        Command::new("gzip").args(["-9", "--no-name"]).args(pages.flatten().map(|page| page.path())),
    )?;
    let completions = folder.join("completions");
    fs::create_dir_all(&completions).with_context(|| format!("cannot create {}", completions.display()))?;
    for (shell, name) in COMPLETIONS {
        let script = process::output(Command::new(binary).args(["completions", shell]))?;
        let file = completions.join(name);
        fs::write(&file, script).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn size(file: &Path) -> Result<u64> {
    Ok(file.metadata().with_context(|| format!("cannot look at {}", file.display()))?.len())
}
