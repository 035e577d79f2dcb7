//! 10,000 generated days against a pool of the most workers: what is spared, what clients notice, and how often the size turns.
//! The summary stands in docs/pools.md; a test compares it.

use std::collections::VecDeque;
use std::fmt::Write as _;

use super::*;

const SECOND: u64 = 1_000_000_000;
/// Times that suit so short a day; the others are the defaults.
const SIZING: Sizing = Sizing {
    max_workers: 8,
    idle_min: 2,
    idle_for_ns: 10 * SECOND,
    waiting: 1,
    waiting_for_ns: SECOND,
    spare: 0,
    turn_ns: 60 * SECOND,
};
/// Seconds of a day, compressed.
const DAY: u64 = 600;
const DAYS: u64 = 10_000;
/// Seconds until a worker that was added takes its first connection.
const START: f64 = 1.0;
/// What waits at most; who comes then is turned away.
const BACKLOG: usize = 128;

/// Numbers by chance, the same each time (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// At least 0, less than 1.
    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.share() * (high - low)
    }

    /// A time by chance that is so long on average.
    fn time(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.share()).ln()
    }
}

/// How busy the site is over a day, in workers.
struct Day {
    low: f64,
    high: f64,
    /// When the day is fullest, and how wide its hump is.
    noon: f64,
    width: f64,
    /// A burst: when, how long, how many workers more.
    burst: (f64, f64, f64),
    /// Seconds that a request takes.
    request: f64,
}

impl Day {
    fn new(chance: &mut Chance) -> Self {
        let most = f64::from(SIZING.max_workers);
        Self {
            low: chance.between(0.02, 0.3) * most,
            high: chance.between(0.4, 0.85) * most,
            noon: chance.between(0.3, 0.7) * DAY as f64,
            width: chance.between(0.1, 0.25) * DAY as f64,
            burst: (
                chance.between(0.0, DAY as f64),
                chance.between(0.0, 10.0),
                chance.between(0.0, 0.3) * most,
            ),
            request: chance.between(0.5, 1.5),
        }
    }

    /// Workers that are busy on average at a time.
    fn demand(&self, time: f64) -> f64 {
        let hump = (-((time - self.noon) / self.width).powi(2)).exp();
        let (start, length, more) = self.burst;
        let burst = if (start..start + length).contains(&time) { more } else { 0.0 };
        self.low + (self.high - self.low) * hump + burst
    }

    /// Where the day rises, stands and falls.
    fn phase(&self, time: f64) -> usize {
        if time < self.noon - self.width {
            0
        } else if time < self.noon {
            1
        } else if time < self.noon + self.width {
            2
        } else {
            3
        }
    }
}

/// What became of a day.
#[derive(Debug, Default)]
struct Outcome {
    /// Workers, summed over the seconds.
    workers: u64,
    requests: u64,
    /// Those that waited for longer than a request takes.
    late: u64,
    turned_away: u64,
    /// Changes of direction in each phase, and the last step of it.
    turns: [usize; 4],
    last: [Option<Resize>; 4],
}

/// A pool at work: who comes first is answered first.
#[derive(Debug)]
struct Site {
    /// When each worker is free again.
    free: Vec<f64>,
    /// When those came who wait.
    waiting: VecDeque<f64>,
}

impl Site {
    /// Has workers that are free by now take what waits.
    fn serve(&mut self, now: f64, request: f64, chance: &mut Chance, outcome: &mut Outcome) {
        while let Some(came) = self.waiting.front().copied() {
            let next = self.free.iter_mut().min_by(|one, other| one.total_cmp(other));
            let Some(next) = next.filter(|free| **free <= now) else { return };
            let start = next.max(came);
            *next = start + chance.time(request);
            outcome.late += u64::from(start - came > request);
            self.waiting.pop_front();
        }
    }

    /// How it looks from outside.
    fn seen(&self, second: u64) -> Seen {
        let now = second as f64;
        // Who has not started yet is there, and does not wait for a client.
        let idle = self.free.iter().filter(|free| **free <= now).count();
        Seen {
            now_ns: second * SECOND,
            workers: u32::try_from(self.free.len()).unwrap_or(u32::MAX),
            idle: u32::try_from(idle).unwrap_or(u32::MAX),
            waiting: self.waiting.len() as u64,
            least: 1,
            has_room: true,
            is_tight: false,
            strands: false,
        }
    }
}

/// A pool over a day; without a sizer it is one of fixed size.
fn play(day: &Day, chance: &mut Chance, mut sizer: Option<Sizer>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut site = Site { free: vec![0.0; SIZING.max_workers as usize], waiting: VecDeque::new() };
    let mut come = 0.0;
    for second in 0..DAY {
        let now = second as f64;
        while come < now {
            site.serve(come, day.request, chance, &mut outcome);
            outcome.requests += 1;
            if site.waiting.len() < BACKLOG {
                site.waiting.push_back(come);
            } else {
                outcome.turned_away += 1;
            }
            come += chance.time(day.request / day.demand(come));
        }
        site.serve(now, day.request, chance, &mut outcome);
        outcome.workers += site.free.len() as u64;
        let due = sizer.as_mut().and_then(|sizer| sizer.look(&SIZING, &site.seen(second)));
        let Some(due) = due else { continue };
        let phase = day.phase(now);
        let last = outcome.last[phase].replace(due.step);
        outcome.turns[phase] += usize::from(last.is_some_and(|last| last != due.step));
        match due.step {
            Resize::Grow => site.free.push(now + START),
            Resize::Shrink => {
                let idle = site.free.iter().position(|free| *free <= now);
                site.free.swap_remove(idle.expect("an idle worker"));
            }
        }
        assert!((1..=SIZING.max_workers as usize).contains(&site.free.len()), "{site:?}");
    }
    outcome
}

/// The value below which a share of all lie.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place.min(sorted.len() - 1)).copied().unwrap_or(0.0)
}

fn summary() -> String {
    let mut chance = Chance(42);
    let (mut spared, mut turns) = (Vec::new(), [0_u64; 4]);
    let (mut requests, mut late, mut late_fixed, mut turned_away) = (0, 0, 0, 0);
    for number in 0..DAYS {
        let day = Day::new(&mut chance);
        let fixed = play(&day, &mut Chance(number), None);
        let sized = play(&day, &mut Chance(number), Some(Sizer::default()));
        spared.push(1.0 - sized.workers as f64 / fixed.workers as f64);
        turns[sized.turns.into_iter().max().unwrap_or(0).min(3)] += 1;
        requests += sized.requests;
        late += sized.late;
        late_fixed += fixed.late;
        turned_away += sized.turned_away;
    }
    spared.sort_by(f64::total_cmp);
    let mean = spared.iter().sum::<f64>() / spared.len() as f64;
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let of = |count: u64, all: u64| format!("{:.3} %", count as f64 / all as f64 * 100.0);
    let mut text = String::from("| figure | value |\n|---|---|\n");
    let rows = [
        ("days", format!("{DAYS}, of {DAY} s each; {} requests", requests)),
        ("workers fewer than in a fixed pool, on average", percent(mean)),
        ("… in the worst hundredth of the days", percent(quantile(&spared, 0.01))),
        ("… in the best hundredth", percent(quantile(&spared, 0.99))),
        ("requests that wait longer than they take, fixed pool", of(late_fixed, requests)),
        ("… pool that follows", of(late, requests)),
        ("requests turned away", of(turned_away, requests)),
        (
            "days by the most changes of direction in one phase: 0, 1, 2, more",
            turns.map(|days| days.to_string()).join(", "),
        ),
    ];
    for (name, value) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "| {name} | {value} |");
    }
    text
}

#[test]
fn the_summary_in_the_documentation_is_what_comes_out() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/pools.md");
    let (begin, end) = ("<!-- simulation -->\n", "<!-- end of simulation -->\n");
    let page = std::fs::read_to_string(path).expect("docs/pools.md");
    let (head, rest) = page.split_once(begin).expect("where it begins");
    let (committed, tail) = rest.split_once(end).expect("where it ends");
    let made = summary();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, format!("{head}{begin}{made}{end}{tail}")).expect("a writable docs/");
    } else {
        assert!(
            committed == made,
            "docs/pools.md differs from the simulation: run `cargo xtask docs`\n{made}"
        );
    }
}
