//! Builds the Debian root file systems of the guests; tests on the host run real programs out of them by chroot.
//!
//! Comes out: one folder per row of [`LAYERS`] below `target/guest/rootfs`. It is built again only when the
//! packages, their versions or the recipe have changed. Nothing that is installed in it starts by itself.

mod build;
mod stamp;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::{Arg, builder::PossibleValuesParser};

use crate::{
    Task,
    archive::{Suite, machine_suite},
    report, workspace,
};

/// A root file system: its name and the packages asked for.
#[derive(Debug)]
pub(crate) struct Layer {
    pub(crate) name: &'static str,
    packages: &'static [&'static str],
}

/// What every guest has: an init of either kind, and the tools the tests' scripts use.
macro_rules! base_packages {
    ($($more:literal),* $(,)?) => {
        &["systemd", "systemd-sysv", "dbus", "procps", "util-linux", "iproute2", "libcap2-bin", "python3" $(, $more)*]
    };
}

/// Small, for tests of hooks.
pub(crate) const BASE: Layer = Layer { name: "base", packages: base_packages!() };

/// With the real programs: those that size memory by their descriptor limit, and those that only look like it. The compiler
/// builds one of the latter, under a sanitizer; jemalloc stands in for the C library's allocator. Flask is for the prefork
/// servers, whose clients come from `ab`; the killers are those that memwatch is compared with. containerd is asked
/// for the names of its containers, which run busybox.
pub(crate) const FULL: Layer = Layer {
    name: "full",
    packages: base_packages![
        "uwsgi-core",
        "uwsgi-plugin-python3",
        "slapd",
        "squid",
        "haproxy",
        "erlang-base",
        "rpcbind",
        "cups-daemon",
        "xinetd",
        "fakeroot",
        "default-jre-headless",
        "prometheus",
        "prometheus-node-exporter",
        "nodejs",
        "postgresql",
        "redis-server",
        "rsyslog",
        "gunicorn",
        "python3-flask",
        "apache2-utils",
        "earlyoom",
        "systemd-oomd",
        "python3-psutil",
        "gcc",
        "libc6-dev",
        "libjemalloc2",
        "containerd",
        "runc",
        "busybox-static",
    ],
};

/// All of them.
pub(crate) const LAYERS: [&Layer; 2] = [&BASE, &FULL];

pub(crate) const TASK: Task = Task {
    name: "rootfs",
    about: "Build the guests' Debian root file systems, for the VMs and for tests that chroot (as root)",
    arguments: |command| {
        command.arg(
            Arg::new("layer")
                .help("only this one; `base` is small, `full` has the real programs")
                .value_name("LAYER")
                .value_parser(PossibleValuesParser::new(LAYERS.map(|layer| layer.name))),
        )
    },
    run: |matches| {
        let _lock = lock()?;
        let wanted = matches.get_one::<String>("layer");
        for layer in LAYERS.into_iter().filter(|layer| wanted.is_none_or(|name| name == layer.name)) {
            let dir = ensure(layer)?;
            let stamp = stamp::read(&dir).unwrap_or_default();
            report::step(&format!("{}: {}", dir.display(), versions(layer, &stamp)));
        }
        Ok(())
    },
};

/// Where everything a guest is made of is kept.
///
/// # Errors
/// There is no target folder.
pub(crate) fn guest_dir() -> Result<PathBuf> {
    Ok(workspace::target()?.join("guest"))
}

/// Keeps other tasks from the guests' files as long as what it gives lives: guests run one after the other.
///
/// # Errors
/// The file cannot be locked.
pub(crate) fn lock() -> Result<File> {
    let guest = guest_dir()?;
    let path = guest.join("lock");
    fs::create_dir_all(&guest).with_context(|| format!("cannot create {}", guest.display()))?;
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    if file.try_lock().is_err() {
        report::step("waiting for another task that uses the guests' files");
        file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    }
    Ok(file)
}

/// Gives a layer's folder, after building it when it is missing or out of date.
///
/// # Errors
/// A package cannot be had, or the build failed.
pub(crate) fn ensure(layer: &Layer) -> Result<PathBuf> {
    let guest = guest_dir()?;
    let suite = Suite::open(&guest, &machine_suite()?)?;
    let resolved = suite.resolve(layer.packages)?;
    let dir = guest.join("rootfs").join(layer.name);
    let stamp = stamp::text(&resolved);
    if !stamp::is_current(&dir, &stamp) {
        build(layer, &suite, &dir)?;
        stamp::write(&dir, &stamp)?;
    }
    Ok(dir)
}

/// The versions of the packages asked for, from a layer's record.
fn versions(layer: &Layer, stamp: &str) -> String {
    let asked = |line: &&str| line.split(' ').next().is_some_and(|name| layer.packages.contains(&name));
    stamp.lines().filter(asked).collect::<Vec<_>>().join(", ")
}

fn build(layer: &Layer, suite: &Suite, dir: &Path) -> Result<()> {
    let started = std::time::Instant::now();
    stamp::remove(dir)?;
    build::from_packages(layer.packages, suite, dir)?;
    report::step(&format!("built {} in {:.0} s", dir.display(), started.elapsed().as_secs_f64()));
    Ok(())
}
