//! What holds whatever the load is.

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

const SIZING: Sizing = Sizing {
    max_workers: 8,
    idle_min: 2,
    idle_for_ns: 5 * SECOND,
    waiting: 1,
    waiting_for_ns: SECOND,
    spare: 0,
    turn_ns: 30 * SECOND,
};

/// A second in which so many workers have so much to do.
fn second(now_ns: u64, workers: u32, demand: u32, least: u32) -> Seen {
    Seen {
        now_ns,
        workers,
        idle: workers.saturating_sub(demand),
        waiting: u64::from(demand.saturating_sub(workers)) * 4,
        least,
        has_room: true,
        is_tight: false,
        strands: false,
    }
}

/// Plays demands, one a second, to a pool that follows at once; gives each step and the size after it.
fn play(
    sizing: &Sizing,
    mut workers: u32,
    least: u32,
    demands: impl Iterator<Item = u32>,
) -> Vec<(Resize, u32)> {
    let mut sizer = Sizer::default();
    let mut steps = Vec::new();
    for (now_ns, demand) in (1..).map(|second| second * SECOND).zip(demands) {
        if let Some(due) = sizer.look(sizing, &second(now_ns, workers, demand, least)) {
            workers = match due.step {
                Resize::Grow => workers + 1,
                Resize::Shrink => workers - 1,
            };
            steps.push((due.step, workers));
        }
    }
    steps
}

fn turns(steps: &[(Resize, u32)]) -> usize {
    steps.windows(2).filter(|pair| pair[0].0 != pair[1].0).count()
}

#[test]
fn a_queue_that_stays_long_adds_one_worker_after_the_other_up_to_the_most() {
    let steps = play(&SIZING, 2, 1, std::iter::repeat_n(20, 60));
    assert_eq!(steps.iter().map(|(_, workers)| *workers).collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8]);
}

#[test]
fn workers_that_stay_idle_go_one_after_the_other_until_few_are() {
    let steps = play(&SIZING, 8, 1, std::iter::repeat_n(3, 60));
    assert_eq!(steps.iter().map(|(_, workers)| *workers).collect::<Vec<_>>(), [7, 6, 5, 4]);
    assert_eq!(
        play(&SIZING, 8, 6, std::iter::repeat_n(0, 60)).last(),
        Some(&(Resize::Shrink, 6)),
        "min_alive"
    );
}

#[test]
fn a_reserve_is_kept_before_anybody_waits() {
    let sizing = Sizing { spare: 1, ..SIZING };
    let steps = play(&sizing, 3, 1, std::iter::repeat_n(3, 60));
    assert_eq!(steps, [(Resize::Grow, 4)]);
    assert_eq!(play(&sizing, 8, 1, std::iter::repeat_n(3, 60)).last(), Some(&(Resize::Shrink, 4)));
}

#[test]
fn a_moment_is_no_reason() {
    let spikes = (0..600).map(|second| if second % 10 == 0 { 30 } else { 3 });
    assert_eq!(play(&SIZING, 4, 1, spikes), []);
    let pauses = (0..600).map(|second| if second % 3 == 0 { 8 } else { 0 });
    assert_eq!(play(&SIZING, 8, 1, pauses), []);
}

#[test]
fn without_room_nothing_grows_and_above_the_bound_one_idle_worker_is_enough() {
    let mut sizer = Sizer::default();
    for now in 1..100 {
        let seen = Seen { has_room: false, is_tight: true, ..second(now * SECOND, 4, 20, 1) };
        assert_eq!(sizer.look(&SIZING, &seen), None);
    }
    let seen = |now| Seen { has_room: false, is_tight: true, ..second(now * SECOND, 4, 3, 1) };
    let due = (100..110).find_map(|now| sizer.look(&SIZING, &seen(now)));
    assert_eq!(due.map(|due| due.step), Some(Resize::Shrink));
}

#[test]
fn a_worker_that_goes_anyway_needs_no_successor_while_others_are_idle() {
    let mut sizer = Sizer::default();
    let idle = second(SECOND, 4, 2, 1);
    assert_eq!(sizer.look(&SIZING, &idle), None, "not for long enough for a step of its own");
    assert!(sizer.can_spare(&SIZING, &idle));
    sizer.shrunk(SECOND);
    assert!(!sizer.can_spare(&SIZING, &idle), "it has gone, and nothing was seen since");
    for needed in [second(SECOND, 4, 4, 1), second(SECOND, 4, 2, 4)] {
        let mut sizer = Sizer::default();
        assert_eq!(sizer.look(&SIZING, &needed), None);
        assert!(!sizer.can_spare(&SIZING, &needed));
    }
}

#[test]
fn nobody_goes_for_whom_alone_a_connection_waits() {
    let sizing = Sizing { waiting: 4, ..SIZING };
    let seen = |now, strands| Seen { waiting: 1, strands, ..second(now * SECOND, 4, 1, 1) };
    let mut sizer = Sizer::default();
    assert!((1..60).all(|now| sizer.look(&sizing, &seen(now, true)).is_none()));
    assert!(!sizer.can_spare(&sizing, &seen(60, true)));
    let due = (60..70).find_map(|now| sizer.look(&sizing, &seen(now, false)));
    assert_eq!(due.map(|due| due.step), Some(Resize::Shrink));
}

#[test]
fn a_step_that_was_taken_back_is_made_later_each_time() {
    // One worker too few brings a queue at once, and with one more nobody has anything to do.
    let mut sizer = Sizer::default();
    let (mut workers, mut shrunk) = (5, Vec::new());
    for now in 1..2_000 {
        let demand = if workers == 5 { 0 } else { 9 };
        match sizer.look(&SIZING, &second(now * SECOND, workers, demand, 1)) {
            Some(Due { step: Resize::Grow, .. }) => workers += 1,
            Some(Due { step: Resize::Shrink, .. }) => {
                workers -= 1;
                shrunk.push(now);
            }
            None => {}
        }
    }
    let pauses: Vec<u64> = shrunk.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((2..8).contains(&pauses.len()) && pauses.is_sorted(), "{pauses:?}");
}

#[test]
fn what_was_learned_of_a_load_is_forgotten_when_nothing_grows_for_long() {
    let mut sizer = Sizer { grown_ns: Some(SECOND), swings: SWINGS, ..Sizer::default() };
    let steps = (2..4_000).filter_map(|now| sizer.look(&SIZING, &second(now * SECOND, 5, 3, 1)));
    assert_eq!(steps.map(|due| due.step).next(), Some(Resize::Shrink));
}

fn any_sizing() -> impl Strategy<Value = (Sizing, u32, u32)> {
    (1..6_u32, 1..12_u32, 1..5_u32, 0..8_u32, 0..20_u64, (0..5_u64, 0..4_u32), 0..60_u64).prop_flat_map(
        |(least, more, idle_min, waiting, idle_for, (waiting_for, spare), turn)| {
            let sizing = Sizing {
                max_workers: least + more,
                idle_min,
                idle_for_ns: idle_for * SECOND,
                waiting,
                waiting_for_ns: waiting_for * SECOND,
                spare: spare.min(idle_min - 1),
                turn_ns: turn * SECOND,
            };
            (Just(sizing), Just(least), least..=least + more)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bounds_are_never_broken(
        (sizing, least, workers) in any_sizing(),
        demands in prop::collection::vec(0..24_u32, 1..120),
    ) {
        for (step, workers) in play(&sizing, workers, least, demands.into_iter()) {
            prop_assert!((least..=sizing.max_workers).contains(&workers), "{step:?} to {workers}");
        }
    }

    #[test]
    fn a_constant_load_is_reached_from_one_side_and_kept(
        (sizing, least, workers) in any_sizing(),
        demand in 0..24_u32,
    ) {
        let steps = play(&sizing, workers, least, std::iter::repeat_n(demand, 900));
        prop_assert_eq!(turns(&steps), 0, "{:?}", steps);
        let late = play(&sizing, steps.last().map_or(workers, |(_, workers)| *workers), least, std::iter::repeat_n(demand, 120));
        prop_assert!(late.len() <= steps.len(), "it goes on: {:?}", late);
    }

    #[test]
    fn a_step_needs_what_it_is_for(
        (sizing, least, workers) in any_sizing(),
        looks in prop::collection::vec((0..16_u32, 0..12_u64, any::<bool>(), any::<bool>()), 1..120),
    ) {
        let mut sizer = Sizer::default();
        let mut workers = workers;
        for (now, (idle, waiting, has_room, is_tight)) in (1..).zip(looks) {
            let seen = Seen { now_ns: now * SECOND, workers, idle: idle.min(workers), waiting, least, has_room, is_tight, strands: false };
            match sizer.look(&sizing, &seen).map(|due| due.step) {
                Some(Resize::Grow) => {
                    prop_assert!(has_room && (waiting > u64::from(sizing.waiting) || seen.idle < sizing.spare) && workers < sizing.max_workers);
                    workers += 1;
                }
                Some(Resize::Shrink) => {
                    prop_assert!(seen.idle >= 1 && waiting <= u64::from(sizing.waiting / 2) && workers > least);
                    workers -= 1;
                }
                None => {}
            }
        }
    }
}
