//! Which of a kernel's modules a guest needs, in the order they must be loaded: before it has its disk, and because the disk has none.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// The drivers of the disk, and of the port that brings the results out; what tells how many connections wait at a socket, which a
/// host's kernel loads when it is asked. Debian builds some of them in, and ext4, from one version on.
const WANTED: [&str; 5] = ["virtio_pci", "virtio_blk", "virtio_console", "tcp_diag", "unix_diag"];

/// A module's content, as the kernel takes it.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// The modules a guest needs, each after those it depends on.
///
/// # Errors
/// A driver is neither a module nor built in, or a file cannot be read.
pub(super) fn needed(dir: &Path, busybox: &Path) -> Result<Vec<Module>> {
    let list = dir.join("modules.builtin");
    let built_in = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let built_in: Vec<_> = built_in.lines().map(module_name).collect();
    let mut files = BTreeMap::new();
    collect(dir, &mut files)?;
    let mut loaded = Vec::new();
    for name in WANTED.into_iter().filter(|name| !built_in.iter().any(|it| it == name)) {
        add(name, &files, busybox, &mut loaded)?;
    }
    Ok(loaded)
}

fn add(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    busybox: &Path,
    loaded: &mut Vec<Module>,
) -> Result<()> {
    if loaded.iter().any(|module| module.name == name) {
        return Ok(());
    }
    let Some(file) = files.get(name) else {
        bail!("the kernel has no {name}, neither as a module nor built in: a guest cannot do without")
    };
    let content = read(file, busybox)?;
    for dependency in depends(&content) {
        add(&dependency, files, busybox, loaded)?;
    }
    loaded.push(Module { name: name.to_owned(), content });
    Ok(())
}

/// A module's file, unpacked: the guest's loader takes no compressed ones.
fn read(file: &Path, busybox: &Path) -> Result<Vec<u8>> {
    if file.extension().is_none_or(|extension| extension != "xz") {
        return fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    }
    let output = Command::new(busybox).arg("xzcat").arg(file).output();
    let output = output.with_context(|| format!("cannot run {}", busybox.display()))?;
    if !output.status.success() {
        bail!("cannot decompress {}: {}", file.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

/// Finds every module below a folder.
fn collect(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&path, files)?;
        } else if path.to_string_lossy().contains(".ko") {
            files.insert(module_name(&path.to_string_lossy()), path);
        }
    }
    Ok(())
}

/// A module's name from its path: file names have either of `-` and `_`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// The names in the `depends=` entry of a module's `.modinfo` section, a row of strings that end in a zero byte.
fn depends(content: &[u8]) -> Vec<String> {
    content
        .split(|byte| *byte == 0)
        .filter_map(|text| text.strip_prefix(b"depends="))
        .flat_map(|names| names.split(|byte| *byte == b','))
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_paths() {
        assert_eq!(module_name("kernel/drivers/virtio/virtio_pci.ko"), "virtio_pci");
        assert_eq!(module_name("kernel/drivers/char/virtio-rng.ko.xz"), "virtio_rng");
    }

    #[test]
    fn dependencies_come_from_the_file() {
        assert_eq!(
            depends(b"\x7fELF\0license=GPL\0depends=virtio_ring,virtio\0name=x\0"),
            ["virtio_ring", "virtio"]
        );
        assert!(depends(b"\0depends=\0").is_empty());
    }
}
