//! Writes the generated documents anew.
//!
//! Each is kept true by a test that compares the committed file with what the code says, and writes it under
//! `UPDATE=1`. Such a test has `docs` in its path. docs/compatibility.md tells of a run of the guests as well, whose
//! results are taken over first.

use std::process::Command;

use anyhow::Result;

use crate::{Task, process, report, setup, vm, workspace};

pub(crate) const TASK: Task = Task {
    name: "docs",
    about: "Write the generated documents in docs/ anew, from the code",
    arguments: |command| command,
    run: |_| update(),
};

fn update() -> Result<()> {
    setup::ensure()?;
    vm::write_compatibility()?;
    report::step("running the tests that compare docs/ with the code, to write what differs");
    process::run(
        process::cargo().args(["test", "--quiet", "--workspace", "--locked", "docs"]).env("UPDATE", "1"),
    )?;
    process::run(
        Command::new("git")
            .args(["diff", "--stat", "--", "docs", "README.md"])
            .current_dir(workspace::root()),
    )
}
