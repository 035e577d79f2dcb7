//! The loads that `cargo xtask bench` measures memwatch with.
//!
//! `serve` takes one command a line on standard input and answers each with one line, so that one and the same process
//! is measured with and without a tracer. `arrivals` reads memwatch's JSON lines and tells how late they came.
//! `nothing` ends at once: it is the small program that `serve` starts over and over. `timed` runs another program and
//! tells what it took. `decide` has the policy engine decide. `told` tells when the lines of another program came. `kill` has a tool kill a hog: in guests.

mod arrivals;
mod cost;
mod crowd;
mod decide;
mod flood;
mod hog;
mod index;
mod kernel;
mod kill;
mod serve;
mod statistics;
mod told;

use std::process::ExitCode;

use crowd::Timed;

fn main() -> ExitCode {
    let result = match std::env::args().nth(1).as_deref() {
        Some("nothing") => return ExitCode::SUCCESS,
        Some("serve") => serve::run(),
        Some("arrivals") => arrivals::run(),
        Some("timed") => timed(),
        Some("decide") => decide::run(),
        Some("told") => told::run(),
        Some("kill") => kill::run(),
        _ => Err(anyhow::anyhow!(
            "usage: memwatch-load serve|arrivals|nothing|decide PROCESSES TIMES|told|kill …|timed PROGRAM ARGUMENTS"
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Runs a program and tells `SECONDS CPU_SECONDS KIB STATUS`.
#[expect(clippy::print_stdout, reason = "the answer")]
fn timed() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(2);
    let program = words.next().ok_or_else(|| anyhow::anyhow!("no program to run"))?;
    let Timed { seconds, cpu_seconds, peak_kib, code } = crowd::timed(&program, &words.collect::<Vec<_>>())?;
    println!("{seconds} {cpu_seconds} {peak_kib} {code}");
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a program without a log tells its errors here")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("memwatch-load: {error:#}");
    ExitCode::FAILURE
}
