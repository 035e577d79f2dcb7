//! Builds one root file system with mmdebstrap, which is unpacked from its package and not installed.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use super::guest_dir;
use crate::{
    archive::{Suite, machine_suite},
    process, report,
};

/// What packages bring and neither a server nor a test reads.
const LEFT_OUT: [&str; 4] =
    ["/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*"];

/// Makes the folders that some packages' scripts expect below what is left out.
const BEFORE: &str = r#"for section in 1 2 3 4 5 6 7 8; do mkdir -p "$1/usr/share/man/man$section"; done"#;

/// Takes the packages' own starting of services back, and gives the system its fixed names.
const AFTER: &str = include_str!("customize.sh");

/// Builds the root file system of these packages in `dir`, in place of what is there.
///
/// # Errors
/// Not root, something is still mounted in it, or mmdebstrap failed.
pub(super) fn from_packages(packages: &[&str], suite: &Suite, dir: &Path) -> Result<()> {
    if fs::metadata("/proc/self").context("cannot look at /proc/self")?.uid() != 0 {
        bail!(
            "cannot build {}: its files belong to root and other users; run the task as root",
            dir.display()
        );
    }
    let partial = dir.with_extension("partial");
    remove(&partial)?;
    remove(dir)?;
    fs::create_dir_all(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    report::step(&format!("building {} (a minute or two)", dir.display()));
    let program = mmdebstrap()?;
    let mut mmdebstrap = Command::new(&program);
    mmdebstrap.env("PATH", with_its_folder(&program)?);
    mmdebstrap.args(["--mode=root", "--variant=minbase", "--format=directory", "--quiet"]);
    mmdebstrap.arg("--aptopt=APT::Install-Recommends \"false\"");
    mmdebstrap.args(LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}")));
    mmdebstrap.arg(format!("--setup-hook={BEFORE}")).arg(format!("--customize-hook={AFTER}"));
    mmdebstrap.arg(format!("--include={}", packages.join(",")));
    mmdebstrap.arg(machine_suite()?).arg(&partial).arg(suite.sources());
    process::output(&mut mmdebstrap)?;
    fs::rename(&partial, dir).with_context(|| format!("cannot create {}", dir.display()))
}

/// The program, fetched when it is neither on `PATH` nor unpacked yet.
fn mmdebstrap() -> Result<PathBuf> {
    if let Some(installed) = process::find("mmdebstrap") {
        return Ok(installed);
    }
    let guest = guest_dir()?;
    let unpacked = guest.join("tools/mmdebstrap");
    let program = unpacked.join("usr/bin/mmdebstrap");
    if !program.is_file() {
        let suite = Suite::open(&guest, &machine_suite()?)?;
        suite.unpack_alone("mmdebstrap", &unpacked)?;
    }
    Ok(program)
}

/// A search path by which a program finds those it came with.
fn with_its_folder(program: &Path) -> Result<OsString> {
    let present = std::env::var_os("PATH").unwrap_or_default();
    let folders = program.parent().map(Path::to_path_buf).into_iter().chain(std::env::split_paths(&present));
    std::env::join_paths(folders).context("cannot extend PATH")
}

/// Removes a tree, unless something is mounted in it: that may be the machine's own /dev.
fn remove(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read the table of mounts")?;
    let path = dir.canonicalize().with_context(|| format!("cannot resolve {}", dir.display()))?;
    if let Some(mount) = mount_below(&mounts, &path) {
        bail!("cannot replace {}: {mount} is mounted in it; unmount it first", dir.display());
    }
    fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))
}

/// A mount point in the tree, from the text of mountinfo(5).
fn mount_below<'a>(mounts: &'a str, tree: &Path) -> Option<&'a str> {
    mounts.lines().filter_map(|line| line.split(' ').nth(4)).find(|point| Path::new(point).starts_with(tree))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_in_the_tree_is_seen() {
        let mounts = "21 1 0:19 / / rw - ext4 /dev/vda rw\n22 21 0:20 / /t/root/proc rw - proc proc rw\n";
        assert_eq!(mount_below(mounts, Path::new("/t/root")), Some("/t/root/proc"));
        assert_eq!(mount_below(mounts, Path::new("/t/roo")), None);
    }
}
