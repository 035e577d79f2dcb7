//! The file system a guest starts from: the drivers of its disk and the program that goes on from there.

mod cpio;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::{kernel::Unpacked, modules};
use crate::archive::{Suite, machine_suite};

/// Where a static busybox lies in its package.
const BUSYBOX: [&str; 2] = ["bin/busybox", "usr/bin/busybox"];

/// The script that finds the disk and hands over to the system on it.
const INIT: &str = include_str!("guest/init.sh");

/// Writes a kernel's initrd and gives its path; it takes a tenth of a second, so it is made for each boot.
///
/// # Errors
/// Busybox cannot be had, or a module is missing.
pub(super) fn write(kernel: &Unpacked, guest: &Path, run: &Path) -> Result<PathBuf> {
    let busybox = busybox(guest)?;
    let content = fs::read(&busybox).with_context(|| format!("cannot read {}", busybox.display()))?;
    let mut archive = cpio::Archive::default();
    for folder in ["bin", "dev", "modules", "proc", "root", "sys"] {
        archive.folder(folder);
    }
    archive.program("bin/busybox", &content);
    archive.program("init", INIT.as_bytes());
    for (number, module) in modules::needed(&kernel.modules, &busybox)?.iter().enumerate() {
        // The shell's order of names is the order of loading.
        archive.program(&format!("modules/{number:02}-{}.ko", module.name), &module.content);
    }
    let path = run.join("initrd");
    fs::write(&path, archive.finish()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// A busybox that runs without any library, fetched when it is not there.
fn busybox(guest: &Path) -> Result<PathBuf> {
    let dir = guest.join("tools/busybox-static");
    if !dir.is_dir() {
        let suite = Suite::open(guest, &machine_suite()?)?;
        suite.unpack_alone("busybox-static", &dir)?;
    }
    let found = BUSYBOX.iter().map(|place| dir.join(place)).find(|path| path.is_file());
    found.with_context(|| format!("no busybox in {}: remove the folder and try again", dir.display()))
}
