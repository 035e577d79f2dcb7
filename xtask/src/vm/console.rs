//! Reads the kernel's own words on a guest's console: whether it has come to grief, and the last of them.

/// How many lines a failure shows.
const SHOWN: usize = 30;

/// What the kernel prints when nothing the guest says afterwards can be trusted, and what to call it.
const SIGNS: [(&str, &str); 5] = [
    ("Kernel panic - not syncing", "kernel panic"),
    ("watchdog: BUG: soft lockup", "soft lock-up"),
    ("watchdog: Watchdog detected hard LOCKUP", "hard lock-up"),
    ("Oops: ", "kernel oops"),
    ("BUG: unable to handle", "kernel oops"),
];

/// What the kernel came to, if it did, with its own words; the first sign counts.
pub(super) fn grief(console: &str) -> Option<String> {
    console.lines().find_map(|line| {
        let (_, name) = SIGNS.iter().find(|(sign, _)| line.contains(sign))?;
        Some(format!("{name} ({})", printable(line).trim()))
    })
}

/// The console's last lines, without the control characters that would play with the terminal.
pub(super) fn last_lines(console: &str) -> String {
    let lines: Vec<_> = console.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let shown = lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default();
    let printable =
        |line: &&str| line.chars().filter(|character| !character.is_control()).collect::<String>();
    shown.iter().map(printable).collect::<Vec<_>>().join("\n")
}

fn printable(line: &str) -> String {
    line.chars().filter(|character| !character.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grief_is_seen_and_named() {
        let panic = "[ 1.0] Kernel panic - not syncing: sysrq triggered crash";
        assert_eq!(grief(&format!("x\n{panic}\r\n")), Some(format!("kernel panic ({panic})")));
        let lock_up = "[ 9.9] watchdog: BUG: soft lockup - CPU#1 stuck for 22s!";
        assert_eq!(grief(lock_up), Some(format!("soft lock-up ({lock_up})")));
        assert_eq!(grief("[ 1.0] Out of memory: Killed process 7 (x)\n"), None);
    }

    #[test]
    fn the_last_lines_are_clean() {
        let console: String = (0..40).map(|number| format!("\x1b[0mline {number}\r\n\n")).collect();
        let shown = last_lines(&console);
        assert!(shown.starts_with("[0mline 10\n") && shown.ends_with("line 39"), "{shown}");
    }
}
