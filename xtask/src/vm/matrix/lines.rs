//! Outcomes from what a test program prints, for a guest that could not give its report: it came to grief, took too
//! long, or its task was cut short.

use super::results::Test;

/// The outcomes told in a guest's output, when it has begun and not ended: else its report tells more.
pub(super) fn of_unfinished(output: &str) -> Vec<Test> {
    let token = output.lines().find_map(|line| line.strip_suffix(" ready"));
    let Some(token) = token else { return Vec::new() };
    if output.lines().any(|line| line.strip_prefix(token).is_some_and(|rest| rest.starts_with(" end "))) {
        return Vec::new();
    }
    output.lines().filter_map(outcome).collect()
}

/// A line such as `test name   ... ok`, or `... ignored (why)`.
fn outcome(line: &str) -> Option<Test> {
    let (name, rest) = line.trim_end().strip_prefix("test ")?.split_once(" ... ")?;
    let (outcome, reason) = match rest {
        "ok" => ("passed", None),
        "FAILED" => ("failed", Some("the run that tells why was cut short".to_owned())),
        ignored => {
            let reason = ignored.strip_prefix("ignored")?.trim();
            let reason = reason.strip_prefix('(').and_then(|reason| reason.strip_suffix(')'));
            ("skipped", reason.map(str::to_owned))
        }
    };
    Some(Test { name: name.trim_end().to_owned(), outcome: outcome.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "guest-1 ready\nrunning 4 tests\ntest life::exit   ... ok\ntest oom::host ... FAILED\n\
                          test life::peak ... ignored (needs kernel 6.16)\ntest half ...";

    #[test]
    fn what_was_told_before_the_end_counts() {
        let told: Vec<_> = of_unfinished(OUTPUT).into_iter().map(|test| (test.name, test.outcome)).collect();
        let expected = [("life::exit", "passed"), ("oom::host", "failed"), ("life::peak", "skipped")];
        assert_eq!(told, expected.map(|(name, outcome)| (name.to_owned(), outcome.to_owned())));
    }

    #[test]
    fn a_guest_that_ended_has_its_report() {
        assert!(of_unfinished(&format!("{OUTPUT}\nguest-1 end 0 12\n")).is_empty());
        assert!(of_unfinished("no guest").is_empty());
    }
}
