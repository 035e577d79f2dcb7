//! The kernels of the matrix, and how their images come from Debian's packages.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    archive::{Package, Suite},
    report,
};

/// A kernel of the matrix.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// How the user names it.
    pub(crate) name: &'static str,
    /// The suite of Debian whose newest kernel it is.
    suite: &'static str,
    /// What it lacks of [`WAYS`] and [`FEATURES`].
    absent: &'static [&'static str],
}

/// The ways a program can attach that a kernel has unless its row says otherwise.
pub(super) const WAYS: [&str; 5] = ["tracepoint", "raw-tracepoint", "perf-event", "kprobe", "fentry"];

/// What else tests expect of a kernel unless its row says otherwise.
pub(super) const FEATURES: [&str; 3] = ["fmod_ret_security", "mark_victim_task", "cgroup_kill"];

/// Every kernel, the oldest first: one line each. Its test `kernels::are_what_the_table_says` holds them against the kernels.
#[rustfmt::skip]
pub(crate) const KERNELS: &[Kernel] = &[
    Kernel { name: "5.10",   suite: "bullseye", absent: &["mark_victim_task", "cgroup_kill"] },
    Kernel { name: "6.1",    suite: "bookworm", absent: &[] },
    Kernel { name: "6.12",   suite: "trixie",   absent: &[] },
    Kernel { name: "newest", suite: "sid",      absent: &[] },
];

/// The package that stands for a suite's newest kernel for virtual machines.
const PACKAGE: &str = "linux-image-cloud-amd64";

/// A kernel, unpacked.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// What `uname -r` says of it.
    pub(crate) release: String,
    /// The package's version.
    pub(crate) version: String,
    pub(crate) image: PathBuf,
    pub(crate) modules: PathBuf,
}

impl Kernel {
    /// The ways to attach it has.
    pub(crate) fn ways(&self) -> Vec<&'static str> {
        WAYS.into_iter().filter(|way| self.has(way)).collect()
    }

    /// The features it has.
    pub(crate) fn features(&self) -> Vec<&'static str> {
        FEATURES.into_iter().filter(|feature| self.has(feature)).collect()
    }

    /// Whether it has a way to attach or a feature.
    pub(super) fn has(&self, item: &str) -> bool {
        !self.absent.contains(&item)
    }

    /// Gives the kernel's files, fetched when they are not there in the version the suite has now.
    ///
    /// # Errors
    /// The suite cannot be reached, or its package is not laid out as kernels are.
    pub(crate) fn unpacked(&self, guest: &Path) -> Result<Unpacked> {
        let suite = Suite::open(guest, self.suite)?;
        let (version, dir) = self.fetch(&suite, guest).or_else(|error| {
            report::step(&format!("{}: trying the archive's own version: {error:#}", self.name));
            self.fetch(&suite.reduced()?, guest).context(error)
        })?;
        let modules = modules_of(&dir)?;
        let release = modules.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // Since 7.x Debian keeps the image with its modules.
        let places = [dir.join("boot").join(format!("vmlinuz-{release}")), modules.join("vmlinuz")];
        let image = places.into_iter().find(|place| place.is_file());
        let image =
            image.with_context(|| format!("no kernel image in {}: has Debian moved it?", dir.display()))?;
        Ok(Unpacked { release, version, image, modules })
    }

    /// The version the suite offers, and the folder it is unpacked in.
    fn fetch(&self, suite: &Suite, guest: &Path) -> Result<(String, PathBuf)> {
        let packages = image_packages(suite.resolve(&[PACKAGE])?);
        let version = packages.iter().find(|package| package.name == PACKAGE).map(|it| it.version.clone());
        let version = version.with_context(|| format!("{} has no {PACKAGE}", self.suite))?;
        let dir = guest.join("kernels").join(format!("{}_{version}", self.name).replace(':', "_"));
        if !dir.is_dir() {
            report::step(&format!("kernel {}: unpacking {version} in {}", self.name, dir.display()));
            suite.unpack(&packages, &dir)?;
        }
        self.remove_others(&dir)?;
        Ok((version, dir))
    }

    /// Removes what is unpacked of this kernel's other versions.
    fn remove_others(&self, current: &Path) -> Result<()> {
        let kernels = current.parent().context("a kernel's folder has a parent")?;
        let entries = fs::read_dir(kernels).with_context(|| format!("cannot list {}", kernels.display()))?;
        let prefix = format!("{}_", self.name);
        for entry in
            entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        {
            if entry.path() != current {
                fs::remove_dir_all(entry.path())
                    .with_context(|| format!("cannot remove {}", entry.path().display()))?;
            }
        }
        Ok(())
    }
}

/// The packages with the kernel's own files: from 7.x on several make up one image.
fn image_packages(mut resolved: Vec<Package>) -> Vec<Package> {
    resolved.retain(|package| package.name.starts_with("linux-") && package.name.ends_with("-cloud-amd64"));
    resolved
}

fn modules_of(dir: &Path) -> Result<PathBuf> {
    ["usr/lib/modules", "lib/modules"]
        .iter()
        .filter_map(|place| fs::read_dir(dir.join(place)).ok())
        .flat_map(Iterator::flatten)
        .map(|entry| entry.path())
        .find(|path| path.is_dir())
        .with_context(|| format!("no modules in {}: has Debian moved them?", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_row_takes_away_exists() {
        for kernel in KERNELS {
            for absent in kernel.absent {
                assert!(WAYS.contains(absent) || FEATURES.contains(absent), "{}: {absent}", kernel.name);
            }
        }
    }

    #[test]
    fn a_kernel_has_what_its_row_does_not_take_away() {
        let kernel = Kernel { name: "2.6", suite: "etch", absent: &["fentry", "cgroup_kill"] };
        assert_eq!(kernel.ways(), &WAYS[..4]);
        assert_eq!(kernel.features(), &FEATURES[..2]);
    }

    #[test]
    fn only_the_kernels_own_packages_are_unpacked() {
        let package = |name: &str| Package { name: name.into(), version: "1".into() };
        let names = ["kmod", "linux-base", "linux-binary-7.2.1-cloud-amd64", PACKAGE];
        let kept: Vec<_> = image_packages(names.map(package).into()).into_iter().map(|it| it.name).collect();
        assert_eq!(kept, names[2..]);
    }
}
