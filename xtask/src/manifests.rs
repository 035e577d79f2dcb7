//! Kubernetes manifests: rendered by kustomize, kept rendered in the repository, and held against Kubernetes' own schemas.
//!
//! kustomize is Debian's; the schemas come with kubernetes-validate, a package of PyPI, in an environment of its own below the
//! target folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{Task, archive::Program, process, report, rootfs, workspace};

pub(crate) const TASK: Task = Task {
    name: "manifests",
    about: "Render the Kubernetes manifests of deploy/kubernetes anew, and validate them",
    arguments: |command| command,
    run: |_| {
        let kustomize = kustomize()?;
        for overlay in OVERLAYS {
            let file = rendered(overlay);
            fs::write(&file, render(&kustomize, overlay)?)
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        validate(&validator()?)
    },
};

/// The ways to deploy, each with a rendered manifest of its name.
const OVERLAYS: [&str; 2] = ["privileged", "capabilities"];

/// The first suite of Debian that has kustomize.
const SUITE: &str = "trixie";

/// The release of kubernetes-validate, which has the schemas of Kubernetes up to the same one.
const VALIDATOR: &str = "1.37.0";

/// The oldest and the newest Kubernetes that is supported.
const KUBERNETES: [&str; 2] = ["1.34", "1.37"];

/// Refuses a rendered manifest that differs from its source, or that Kubernetes would not take. Where a tool cannot be had, it
/// says so and goes on.
///
/// # Errors
/// A manifest is not as it has to be.
pub(crate) fn check() -> Result<()> {
    match kustomize() {
        Ok(kustomize) => OVERLAYS.into_iter().try_for_each(|overlay| is_current(&kustomize, overlay))?,
        Err(error) => report::step(&format!("rendering is NOT checked, kustomize cannot be had: {error:#}")),
    }
    match validator() {
        Ok(validator) => validate(&validator),
        Err(error) => {
            report::step(&format!("schemas are NOT checked, kubernetes-validate cannot be had: {error:#}"));
            Ok(())
        }
    }
}

fn is_current(kustomize: &Program, overlay: &str) -> Result<()> {
    let file = rendered(overlay);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    if text != render(kustomize, overlay)? {
        bail!("{} differs from its overlay: run `cargo xtask manifests`", file.display());
    }
    Ok(())
}

fn kustomize() -> Result<Program> {
    Program::find_in(|| Ok(SUITE.to_owned()), &rootfs::guest_dir()?, "kustomize", "usr/bin/kustomize")
}

fn render(kustomize: &Program, overlay: &str) -> Result<String> {
    let folder = folder().join("overlays").join(overlay);
    process::output(kustomize.command()?.arg("build").arg(folder))
}

fn folder() -> PathBuf {
    workspace::root().join("deploy/kubernetes")
}

fn rendered(overlay: &str) -> PathBuf {
    folder().join("rendered").join(format!("{overlay}.yaml"))
}

/// Gives kubernetes-validate, installing it first when it is not there.
fn validator() -> Result<PathBuf> {
    let root = workspace::target()?.join("tools").join(format!("kubernetes-validate-{VALIDATOR}"));
    let program = root.join("bin/kubernetes-validate");
    if process::output(Command::new(&program).arg("--version")).is_err() {
        report::step(&format!("installing kubernetes-validate {VALIDATOR} in {}", root.display()));
        let python = "python3 with its module venv is needed (Debian: python3-venv)";
        process::output(Command::new("python3").args(["-m", "venv"]).arg(&root)).context(python)?;
        let package = format!("kubernetes-validate=={VALIDATOR}");
        let install = ["install", "--quiet", package.as_str()];
        process::output(Command::new(root.join("bin/pip")).args(install)).context("is PyPI reachable?")?;
    }
    Ok(program)
}

fn validate(validator: &Path) -> Result<()> {
    for version in KUBERNETES {
        let mut command = Command::new(validator);
        command.args(["--strict", "--quiet", "--kubernetes-version", version]);
        process::run(command.args(OVERLAYS.map(rendered)))
            .with_context(|| format!("Kubernetes {version} does not take a manifest"))?;
    }
    Ok(())
}
