//! Orders that the daemon gave to the kernel side: they end with the policy that gave them, and with the program that they were
//! about.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;

use super::daemon::{NEEDS, POOL, Stage, children, policy, pool};
use super::table::large_element;
use crate::case::Case;
use crate::child::{PATIENCE, Running};
use crate::limit;
use crate::scratch::Scratch;
use crate::tracer::eventually;
use crate::trigger::Trigger;

pub(super) const CASES: &[Case] = &[
    Case::new("orders::a_rule_acts_before_the_first_touch", NEEDS, struck),
    Case::new("orders::a_rule_ends_with_its_enforcement", NEEDS, enforced_no_more),
    Case::new("orders::a_child_is_marked_for_the_rules_of_now", NEEDS, numbered_anew),
    Case::new("orders::a_limit_ends_with_its_entry", NEEDS, unlimited),
    Case::new("orders::a_limit_is_not_that_of_the_next_program", NEEDS, limited_as_another),
    Case::new("orders::a_limit_is_that_of_the_program_that_it_names", NEEDS, limited_as_named),
    Case::new("orders::a_rule_is_not_for_the_programs_that_are_started", NEEDS, struck_as_another),
    Case::new("orders::a_rule_is_for_the_program_that_it_names", NEEDS, struck_as_named),
    Case::new("orders::a_limit_that_comes_later_is_kept_as_closely", NEEDS, limited_later),
    Case::new("orders::a_smaller_table_counts_after_a_reload", NEEDS, smaller),
    Case::new("orders::a_refusal_that_comes_too_late_is_told", NEEDS, refused_later),
    Case::new("orders::a_pool_that_needs_more_than_its_limit_is_stopped_over", NEEDS, needing_more),
    Case::new("orders::the_budget_is_that_of_the_kernel_too", NEEDS, spent),
];

/// A rule that acts before the first touch, on programs of this name. Tables at limits of tests are accidents by their length.
fn rule(name: &str, program: &str) -> String {
    format!(
        "[[fd_table]]\nname = \"{name}\"\nmatch = {{ exe = \"{program}\" }}\naction = \"signal-mapped\"\n\
         min_bytes = \"1MiB\"\nconfidence = \"low\"\n"
    )
}

/// A limit of 32 MiB for programs of this name.
fn limit_of(program: &str) -> String {
    format!("[[process_limit]]\nname = \"hog\"\nmatch = {{ exe = \"{program}\" }}\nlimit = \"32MiB\"\n")
}

/// The name of the program that policies are about.
const NAMED: &str = "memwatch-trigger";

/// A policy for the tree of a trigger.
fn enforced(trigger: &Trigger, rest: &str) -> String {
    policy("enforce", trigger.pid(), rest)
}

/// A daemon that tells on standard error when a policy is in force.
fn stage<Pool>(pool: Pool, policy: &str) -> anyhow::Result<Stage<Pool>> {
    Stage::new(pool, policy, &["-v"])
}

/// A process that asks for a table when it is told to, in a child of its own when `forks` is 1.
fn asking(forks: u32) -> anyhow::Result<Trigger> {
    let (element, forks) = (large_element().to_string(), forks.to_string());
    Trigger::ready_with_descriptors(&["table", "--elements", &element, "--forks", &forks], limit::table())
}

/// A process that takes 64 MiB when it is told to.
fn taking() -> anyhow::Result<Trigger> {
    Trigger::ready(&["hold", "--anon", "67108864"])
}

/// It has done what it was told to, and was not killed for it.
fn lives(mut trigger: Trigger) -> anyhow::Result<()> {
    let acted = trigger.act_and_hold();
    let (status, _) = trigger.finish()?;
    ensure!(acted.is_ok() && status.success(), "it ended with {status}");
    Ok(())
}

/// It was killed as it did what it was told to.
fn dies(mut trigger: Trigger) -> anyhow::Result<()> {
    use std::os::unix::process::ExitStatusExt as _;
    trigger.act()?;
    let (status, report) = trigger.finish()?;
    ensure!(status.signal() == Some(libc::SIGKILL), "it ended with {status}");
    ensure!(report.is_null(), "it has done it all: {report}");
    Ok(())
}

fn struck() -> anyhow::Result<()> {
    let trigger = asking(0)?;
    let policy = enforced(&trigger, &rule("tables", NAMED));
    let mut stage = stage((), &policy)?;
    dies(trigger)?;
    stage.wait_for("decision", |line| line.is("memwatch.decision.rule", "fd_table"))?;
    stage.end().map(drop)
}

fn enforced_no_more() -> anyhow::Result<()> {
    for forks in [0, 1] {
        let trigger = asking(forks)?;
        let policies = ["enforce", "observe"].map(|mode| policy(mode, trigger.pid(), &rule("tables", NAMED)));
        let mut stage = stage((), &policies[0])?;
        stage.change(&policies[1])?;
        lives(trigger)?;
        stage.end()?;
    }
    Ok(())
}

/// The new policy has one rule for another program, which gets the number that the old rule had.
fn numbered_anew() -> anyhow::Result<()> {
    for forks in [0, 1] {
        let trigger = asking(forks)?;
        let mut stage = stage((), &enforced(&trigger, &rule("tables", NAMED)))?;
        stage.change(&enforced(&trigger, &rule("others", "memwatch-another")))?;
        lives(trigger)?;
        stage.end()?;
    }
    Ok(())
}

fn unlimited() -> anyhow::Result<()> {
    let trigger = taking()?;
    let mut stage = stage((), &enforced(&trigger, &limit_of(NAMED)))?;
    stage.change(&enforced(&trigger, ""))?;
    lives(trigger)?;
    stage.end().map(drop)
}

/// A process that becomes a copy of the trigger of this name when it is told to, and is waited for; then it is told to do
/// this. `rest` is the policy, which names `memwatch-trigger` or a program that it begins as.
fn after_exec(
    name: &str,
    what: &[&str],
    rest: &str,
    then: impl FnOnce(Trigger) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let folder = Scratch::new()?;
    let path = folder.path().join(name);
    let text = path.to_string_lossy().into_owned();
    let arguments = [&["--on-stdin", "become", "--path", &text, "--"], what].concat();
    let mut trigger = Trigger::ready_with_descriptors(&arguments, limit::table())?;
    let stage = stage((), &enforced(&trigger, rest))?;
    trigger.act()?;
    becomes(trigger.pid(), &path)?;
    // What is ordered about the new program follows its exec.
    std::thread::sleep(Duration::from_millis(500));
    then(trigger)?;
    stage.end().map(drop)
}

fn becomes(pid: u32, path: &Path) -> anyhow::Result<()> {
    let exe = format!("/proc/{pid}/exe");
    eventually(PATIENCE, "it executes the other program", || {
        std::fs::read_link(&exe).is_ok_and(|target| target == path)
    })
}

const TAKE: &[&str] = &["hold", "--anon", "67108864"];

fn limited_as_another() -> anyhow::Result<()> {
    after_exec("memwatch-another", TAKE, &limit_of(NAMED), lives)
}

fn limited_as_named() -> anyhow::Result<()> {
    after_exec("memwatch-another", TAKE, &limit_of("memwatch-another"), dies)
}

fn struck_as_another() -> anyhow::Result<()> {
    let element = large_element().to_string();
    after_exec("memwatch-another", &["table", "--elements", &element], &rule("tables", NAMED), lives)
}

fn struck_as_named() -> anyhow::Result<()> {
    let element = large_element().to_string();
    after_exec(
        "memwatch-another",
        &["table", "--elements", &element],
        &rule("tables", "memwatch-another"),
        dies,
    )
}

const MIB: u64 = 1 << 20;

/// The first limit of all comes by a reload; three processes in a row die in the act of passing it.
fn limited_later() -> anyhow::Result<()> {
    const LIMIT: u64 = 96 * MIB;
    // The limit lies within the second step, which is taken at full speed.
    let pool = pool(64 * MIB, 512 * MIB, &["--every-ms", "300"])?;
    let root = pool.pid();
    let limit = limit_of(NAMED).replace("32MiB", "96MiB");
    let mut stage = stage(pool, &policy("enforce", root, ""))?;
    stage.change(&policy("enforce", root, &limit))?;
    // Those of before may be above the limit already.
    let first = children(root);
    for _ in 0..3 {
        let decision = stage.wait_for("decision", |line| {
            line.is("memwatch.decision.rule", "process_limit")
                && u32::try_from(line.pid()).is_ok_and(|pid| !first.contains(&pid))
        })?;
        let bytes = decision.number("memwatch.decision.bytes")?;
        ensure!((LIMIT..LIMIT + 2 * MIB).contains(&bytes), "{bytes} bytes when it was killed");
    }
    stage.end().map(drop)
}

/// What is a table, and what too small for one, is as the policy of now says.
fn smaller() -> anyhow::Result<()> {
    const REPORT: &str =
        "[[fd_table]]\nname = \"small\"\naction = \"report\"\nmin_bytes = \"1MiB\"\nconfidence = \"low\"\n";
    let mut trigger = asking(0)?;
    let mut stage = stage((), &policy("observe", trigger.pid(), ""))?;
    stage.change(&policy("observe", trigger.pid(), REPORT))?;
    trigger.act_and_hold()?;
    let pid = u64::from(trigger.pid());
    stage.wait_for("warning", |line| line.is("memwatch.warning.kind", "fd_table") && line.pid() == pid)?;
    drop(trigger);
    stage.end().map(drop)
}

/// What refuses is attached at the start, or never.
fn refused_later() -> anyhow::Result<()> {
    let trigger = taking()?;
    let mut stage = stage((), &enforced(&trigger, ""))?;
    stage.change(&enforced(&trigger, &rule("tables", NAMED).replace("signal-mapped", "refuse")))?;
    ensure!(stage.has_said("fd tables are not refused"), "nothing was said of it");
    stage.end().map(drop)
}

/// A pool of two workers, each of which takes 16 MiB at once, and 48 in all.
fn hungry() -> anyhow::Result<Running> {
    pool(16 * MIB, 48 * MIB, &["--every-ms", "300"])
}

/// Both workers go on, whatever they take; one may have been on its way over the limit when that was said.
fn left_alone(root: u32) -> anyhow::Result<()> {
    eventually(PATIENCE, "two workers go on", || {
        let workers = children(root);
        std::thread::sleep(Duration::from_secs(3));
        workers.len() == 2 && children(root) == workers
    })
}

/// As many were killed, and perhaps one or two that were on their way.
fn are_about(lines: &[crate::line::Line], expected: usize) -> anyhow::Result<()> {
    let acts = lines
        .iter()
        .filter(|line| line.name() == "decision" && line.is("memwatch.decision.rule", "process_limit"));
    let acts = acts.count();
    ensure!((expected..=expected + 2).contains(&acts), "{acts} were killed, {expected} should be");
    Ok(())
}

fn needing_more() -> anyhow::Result<()> {
    let pool = hungry()?;
    let root = pool.pid();
    let rules =
        format!("{}{}", POOL.replace("rounds = 100", "rounds = 3"), limit_of(NAMED).replace("32MiB", "8MiB"));
    let mut stage = stage(pool, &policy("enforce", root, &rules))?;
    stage.wait_for("warning", |line| line.is("memwatch.warning.kind", "stopped"))?;
    left_alone(root)?;
    are_about(&stage.end()?, 3)
}

fn spent() -> anyhow::Result<()> {
    let pool = hungry()?;
    let root = pool.pid();
    let rules = format!(
        "{POOL}{}[budget]\nkills = 4\nwindow = \"10min\"\ncool_down = \"10min\"\n",
        limit_of(NAMED).replace("32MiB", "8MiB")
    );
    let mut stage = stage(pool, &policy("enforce", root, &rules))?;
    stage.wait_for("warning", |line| line.is("memwatch.warning.kind", "budget_spent"))?;
    left_alone(root)?;
    are_about(&stage.end()?, 4)
}
