//! The disk a guest runs on: a root file system as an ext4 image. No boot writes to it, so that each starts clean.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result};

use crate::{archive::Program, process, report, rootfs};

/// Room for what jobs write; the file is sparse.
const FREE_MIB: u64 = 2048;

/// Gives a layer's image, made anew when the layer has been.
///
/// # Errors
/// The layer cannot be built, or the image cannot be made.
pub(super) fn ensure(layer: &rootfs::Layer, guest: &Path) -> Result<PathBuf> {
    let tree = rootfs::ensure(layer)?;
    let source =
        fs::read_to_string(tree.with_extension("stamp")).context("cannot read the layer's record")?;
    let image = guest.join("images").join(layer.name).with_extension("ext4");
    let stamp = image.with_extension("stamp");
    if image.is_file() && fs::read_to_string(&stamp).is_ok_and(|present| present == source) {
        return Ok(image);
    }
    let started = Instant::now();
    let partial = image.with_extension("partial");
    fs::create_dir_all(guest.join("images")).context("cannot create the folder of images")?;
    for old in [&partial, &stamp] {
        if old.exists() {
            fs::remove_file(old).with_context(|| format!("cannot remove {}", old.display()))?;
        }
    }
    let used = process::output(Command::new("du").args(["-s", "--block-size=1M"]).arg(&tree))?;
    let used: u64 =
        used.split_whitespace().next().and_then(|size| size.parse().ok()).context("du gives no size")?;
    let mut make = Program::find(guest, "e2fsprogs", "sbin/mke2fs")?.command()?;
    // No journal: nothing of a guest's is kept, and what is not written costs no emulated time.
    make.args(["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0", "-E", "root_owner=0:0", "-d"]);
    process::output(make.arg(&tree).arg(&partial).arg(format!("{}M", used + used / 4 + FREE_MIB)))?;
    fs::rename(&partial, &image).with_context(|| format!("cannot create {}", image.display()))?;
    fs::write(&stamp, source).with_context(|| format!("cannot write {}", stamp.display()))?;
    report::step(&format!("made {} in {:.0} s", image.display(), started.elapsed().as_secs_f64()));
    Ok(image)
}
