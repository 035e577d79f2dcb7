//! What is delivered: the service's unit, the Debian package, and what docs/security.md claims of them.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::daemon::{POOL, policy};
use crate::case::Case;
use crate::child::{PATIENCE, Running};
use crate::locate;
use crate::need::Need;
use crate::program;
use crate::scratch::Scratch;
use crate::tracer::eventually;

pub(super) const CASES: &[Case] = &[
    Case::new("deploy::the_unit_is_hardened", &[Need::Program("usr/bin/systemd-analyze")], hardened),
    Case::new("deploy::each_capability_has_a_reason", &[], reasons),
    Case::new("deploy::the_image_needs_no_other_file", &[Need::Root], image),
    Case::new("deploy::tests_that_the_documents_name_exist", &[], named_tests),
    Case::alone(
        "deploy::the_package_installs_runs_and_goes",
        &[Need::Systemd, Need::Tracing, Need::Package],
        package,
    ),
];

const UNIT: &str = include_str!("../../../deploy/systemd/memwatch.service");
const DROP_INS: [(&str, &str); 3] = [
    ("network.conf", include_str!("../../../deploy/systemd/network.conf")),
    ("true-use.conf", include_str!("../../../deploy/systemd/true-use.conf")),
    ("delegated.conf", include_str!("../../../deploy/systemd/delegated.conf")),
];
const OVERLAY: &str = include_str!("../../../deploy/kubernetes/overlays/capabilities/rights.yaml");
const SECURITY: &str = include_str!("../../../docs/security.md");

/// The service as systemd calls it.
const SERVICE: &str = "memwatch.service";

/// What systemd calls exposure has to stay below this.
const EXPOSURE: f64 = 3.0;

/// `systemd-analyze security` of the unit and its drop-ins, by the systemd of the programs' root file system.
#[expect(clippy::print_stdout, reason = "the rating is what somebody reads a run for")]
fn hardened() -> anyhow::Result<()> {
    let scratch = Scratch::new()?;
    let unit = scratch.path().join("memwatch.service");
    std::fs::write(&unit, UNIT).context("write the unit")?;
    let rating = rating(&unit)?;
    println!("memwatch.service: exposure {rating}");
    ensure!(rating < EXPOSURE, "its exposure is {rating}, at or above {EXPOSURE}");
    let folder = scratch.path().join("memwatch.service.d");
    std::fs::create_dir(&folder).context("make the folder of drop-ins")?;
    for (name, text) in DROP_INS {
        std::fs::write(folder.join(name), text).context("write a drop-in")?;
        let rating = self::rating(&unit)?;
        println!("memwatch.service with {name}: exposure {rating}");
        std::fs::remove_file(folder.join(name)).context("remove a drop-in")?;
    }
    Ok(())
}

/// The overall exposure of a unit, of 0 to 10.
fn rating(unit: &Path) -> anyhow::Result<f64> {
    // The root file system's own loader and libraries: its programs may be newer than this host's.
    let root = program::root().context("no root file system")?;
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let mut analyze = Command::new(root.join("lib64/ld-linux-x86-64.so.2"));
    analyze.arg("--library-path").arg(format!("{0}:{0}/systemd", libraries.display()));
    analyze.arg(root.join("usr/bin/systemd-analyze"));
    analyze.args(["security", "--offline=true", "--no-pager"]).arg(unit);
    let output = analyze.output().context("run systemd-analyze")?;
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find_map(|line| line.split_once("Overall exposure level for memwatch.service: "));
    let rating = line.and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    rating.with_context(|| format!("systemd-analyze gives no rating: {text}{errors}"))
}

/// Section 2 of the document gives a reason for just the capabilities that the unit, its drop-ins and the overlay ask for.
fn reasons() -> anyhow::Result<()> {
    let asked = |text: &'static str| {
        let sets = text.lines().filter_map(|line| line.strip_prefix("CapabilityBoundingSet="));
        sets.flat_map(str::split_whitespace).collect::<BTreeSet<_>>()
    };
    let section = section(2)?;
    let rows = || section.lines().filter_map(|line| line.strip_prefix("| `CAP_"));
    let given = rows().filter_map(|row| row.split_once("` | ").filter(|(_, reason)| reason.len() > 20));
    let given: BTreeSet<_> = given.map(|(name, _)| format!("CAP_{name}")).collect();
    let wanted = DROP_INS.iter().fold(asked(UNIT), |sum, (_, text)| &sum | &asked(text));
    let overlay =
        || OVERLAY.lines().filter_map(|line| line.trim().strip_prefix("- ")).filter(|word| is_upper(word));
    let wanted: BTreeSet<_> =
        wanted.into_iter().map(str::to_owned).chain(overlay().map(|name| format!("CAP_{name}"))).collect();
    ensure!(
        asked(UNIT).iter().all(|name| overlay().any(|word| name.ends_with(&format!("_{word}")))),
        "{OVERLAY}"
    );
    ensure!(given == wanted, "docs/security.md gives reasons for {given:?}, the units ask for {wanted:?}");
    for (name, text) in DROP_INS {
        for capability in asked(text) {
            let row = rows().find(|row| format!("CAP_{row}").starts_with(&format!("{capability}`")));
            ensure!(row.is_some_and(|row| row.contains(name)), "{capability} is given by {name}: {row:?}");
        }
    }
    Ok(())
}

fn is_upper(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

fn section(number: usize) -> anyhow::Result<&'static str> {
    let start = SECURITY.find(&format!("## {number}. ")).context("the section")?;
    let text = SECURITY.get(start..).unwrap_or_default();
    Ok(text.find("\n## ").and_then(|end| text.get(..end)).unwrap_or(text))
}

fn named_tests() -> anyhow::Result<()> {
    let all: BTreeSet<_> = super::all().map(|case| case.name).collect();
    let quoted = SECURITY.split('`').skip(1).step_by(2).filter(|word| word.contains("::"));
    let unknown: Vec<_> = quoted.clone().filter(|name| !all.contains(name)).collect();
    ensure!(quoted.count() > 10 && unknown.is_empty(), "docs/security.md names no test: {unknown:?}");
    Ok(())
}

/// The binary runs in a root file system that has, besides the policy, nothing at all.
fn image() -> anyhow::Result<()> {
    let root = Scratch::new()?;
    let policy = root.path().join("memwatch.toml");
    std::fs::copy(locate::memwatch()?, root.path().join("memwatch")).context("copy memwatch")?;
    std::fs::write(&policy, include_str!("../../../deploy/kubernetes/base/memwatch.toml"))
        .context("write the policy")?;
    let path = root.path().to_str().context("a path in UTF-8")?;
    let told = said("chroot", &[path, "/memwatch", "check", "/memwatch.toml"])?;
    ensure!(told.contains("observe"), "{told}");
    std::fs::write(&policy, include_str!("../../../deploy/debian/memwatch.toml"))
        .context("write the policy")?;
    said("chroot", &[path, "/memwatch", "check", "/memwatch.toml"]).map(drop)
}

/// What a command says; its failure is one.
fn said(program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program).args(arguments).output().with_context(|| format!("run {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} {arguments:?}: {}: {text}{errors}", output.status);
    Ok(text)
}

/// With the rights of its unit the service asks the workers of another user to leave.
fn enforced_on_others(journal: &dyn Fn() -> String) -> anyhow::Result<()> {
    const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    const STEP_BYTES: &str = "8388608";
    let mut pool = Command::new("setpriv");
    pool.args(NOBODY).arg(locate::trigger()?).args(["pool", "--workers", "2", "--step", STEP_BYTES]);
    let pool = Running::start(pool.args(["--most", "209715200"]).stdin(Stdio::null()))?;
    std::fs::write("/etc/memwatch/memwatch.toml", policy("enforce", pool.pid(), POOL))
        .context("write the policy")?;
    said("systemctl", &["restart", SERVICE])?;
    let closed = || {
        journal().lines().any(|line| line.contains("memwatch.closing.ending") && line.contains("returned"))
    };
    eventually(PATIENCE, "a worker of another user has left", closed).with_context(journal)
}

/// Removed when the test ends before it has.
struct Installed;

impl Drop for Installed {
    fn drop(&mut self) {
        // One that is gone already is no matter.
        let _ = Command::new("dpkg").args(["--purge", "memwatch"]).output();
    }
}

fn package() -> anyhow::Result<()> {
    let state = |name: &str| said("systemctl", &["show", "--value", "--property", name, SERVICE]);
    let package = std::env::var("MEMWATCH_DEB").context("MEMWATCH_DEB")?;
    said("dpkg", &["--install", &package])?;
    let installed = Installed;
    let journal = || said("journalctl", &["--no-pager", "-u", SERVICE]).unwrap_or_default();
    eventually(PATIENCE, "the service runs", || state("ActiveState").is_ok_and(|it| it.trim() == "active"))
        .with_context(journal)?;
    ensure!(said("systemctl", &["is-enabled", SERVICE])?.trim() == "enabled", "it is not enabled");
    // It speaks of all units that this one needs: what it says of others is theirs.
    let verify = ["verify", "--man=no", SERVICE];
    let verify = Command::new("systemd-analyze").args(verify).output().context("verify the unit")?;
    let complaints = String::from_utf8_lossy(&verify.stderr);
    ensure!(!complaints.contains(SERVICE), "{complaints}");
    said("memwatch", &["check", "/etc/memwatch/memwatch.toml"])?;
    // It answers, with the rights of its unit, and has all its hooks.
    let answer = said("memwatch", &["explain"])?;
    ensure!(!answer.is_empty(), "it has nothing to say");
    let told = journal();
    let lost: Vec<_> = told.lines().filter(|line| line.contains("is not attached")).collect();
    // Debian's 5.10 samples for CAP_SYS_ADMIN alone.
    let is_known = |line: &&str| line.contains("hook sample ") || line.contains("hook fault_major ");
    ensure!(lost.iter().all(is_known), "hooks are missing: {lost:?}");
    said("systemctl", &["reload", SERVICE])?;
    ensure!(state("ActiveState")?.trim() == "active", "it did not outlive a reload: {}", journal());
    enforced_on_others(&journal)?;
    // The guest's dpkg leaves documents out.
    let held = said("dpkg-deb", &["--contents", &package])?;
    for file in [
        "/usr/share/man/man1/memwatch-daemon.1.gz",
        "/usr/share/bash-completion/completions/memwatch",
        "/usr/share/doc/memwatch/security.md",
        "/usr/share/doc/memwatch/examples/true-use.conf",
    ] {
        ensure!(held.contains(&format!(".{file}\n")), "the package lacks {file}: {held}");
    }
    said("dpkg", &["--remove", "memwatch"])?;
    ensure!(state("ActiveState")?.trim() != "active", "it outlives its package");
    ensure!(Path::new("/etc/memwatch/memwatch.toml").exists(), "the configuration went with a mere removal");
    drop(installed);
    for left in
        ["/usr/bin/memwatch", "/etc/memwatch", "/var/lib/memwatch", "/var/log/memwatch", "/run/memwatch"]
    {
        ensure!(!Path::new(left).exists(), "{left} is left behind");
    }
    Ok(())
}
