//! The policy engine on a crowded host: time and allocations from a look at the host to a signal.

use anyhow::{Context as _, Result};
use memwatch_tests::counting::Counting;
use memwatch_tests::crowded::{Crowded, Use};

#[global_allocator]
static COUNTING: Counting = Counting;

/// Has it decide, and tells `ALLOCATIONS NS…`, a line for each kind of decision.
///
/// # Errors
/// The arguments are no numbers, or the engine does not decide.
pub(crate) fn run() -> Result<()> {
    let mut words = std::env::args().skip(2);
    let mut next = || words.next().context("usage: memwatch-load decide PROCESSES TIMES");
    let (processes, times) = (next()?.parse()?, next()?.parse()?);
    let mut crowded = Crowded::new(processes)?;
    for used in [Use::AboveUpper, Use::BetweenBounds] {
        let took = crowded.decide(used, times)?;
        let ns: Vec<String> = took.ns.iter().map(u64::to_string).collect();
        tell(&format!("{} {}", took.allocations, ns.join(" ")));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the answer is for the program that started this one")]
fn tell(answer: &str) {
    println!("{answer}");
}
