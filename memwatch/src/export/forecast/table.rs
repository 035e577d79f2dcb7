//! The forecast for people: for each pool what was seen, the worst case, what bears it and the settings that follow, each
//! with the arithmetic.

use std::fmt::Write;

use super::nanos;
use crate::core::forecast::conclude::{Room, RoomOf, Served};
use crate::core::forecast::rate::LEAST;
use crate::core::forecast::syntax::Syntax;
use crate::core::forecast::{Checked, Forecast, PoolForecast};
use crate::core::quantity::{Bytes, Counted, Nanos};
use crate::export::escape;

/// The forecast as text.
#[must_use]
pub fn text(forecast: &Forecast) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail, here as below.
    let _ = writeln!(
        text,
        "watched for {}: {} of workers",
        Nanos(forecast.seen_ns),
        Counted(forecast.pools.len() as u64, "pool")
    );
    if let Some(host) = &forecast.host {
        let _ = writeln!(text, "host: {}", room(host));
        let _ = writeln!(text, "      {}", reaching(host));
    }
    for pool in &forecast.pools {
        of_pool(pool, &mut text);
    }
    text
}

/// What forecasts from parts of a recording were worth.
#[must_use]
pub fn checked(all: &[Checked]) -> String {
    let mut text = String::from("forecasts from the first part of the recording, and what came after:\n");
    for Checked { percent, looks, pools, host, .. } in all {
        if pools.is_empty() {
            let _ = writeln!(text, "  after {percent} %: no pool had been looked at that was seen again");
        }
        for pool in pools {
            let _ = writeln!(
                text,
                "  after {percent} %: pool of {} {}: worst case {}, came {}: {:+.1} %",
                pool.server.unwrap_or("workers"),
                pool.master,
                Bytes(pool.worst),
                Bytes(pool.highest),
                pool.error_percent()
            );
        }
        let Some(host) = host else {
            let _ = writeln!(
                text,
                "  after {percent} %: host: too short to tell how fast its use grows: {}, and {LEAST} are needed",
                Counted(*looks as u64, "look")
            );
            continue;
        };
        let (expected, low, high) = host.used;
        let _ = writeln!(
            text,
            "  after {percent} %: host at the end {} [{} .. {}], came {}: {}",
            Bytes(expected),
            Bytes(low),
            Bytes(high),
            Bytes(host.came),
            if host.holds() { "inside" } else { "outside" }
        );
        let [expected, soonest, latest] = host.reaches_s;
        if let Some(soonest) = soonest.and_then(nanos) {
            let _ = writeln!(
                text,
                "  after {percent} %: memory used up in {} [{} .. {}], came {}",
                expected.and_then(nanos).map_or("never".into(), |ns| Nanos(ns).to_string()),
                Nanos(soonest),
                latest.and_then(nanos).map_or("perhaps never".into(), |ns| Nanos(ns).to_string()),
                host.reached_s
                    .and_then(nanos)
                    .map_or("not in the recording".into(), |ns| Nanos(ns).to_string())
            );
        }
    }
    text
}

fn room(room: &Room) -> String {
    let kept = room.limit - room.usable;
    format!(
        "{} in use of {} ({} less {} to keep free)",
        Bytes(room.used),
        Bytes(room.usable),
        Bytes(room.limit),
        Bytes(kept)
    )
}

/// How fast it grows, and when it is used up.
fn reaching(room: &Room) -> String {
    let (Some(rate), Some(reached)) = (room.rate, room.reached) else {
        return "not watched long enough to tell how fast it grows".into();
    };
    let per_minute = rate.bytes_per_s * 60.0;
    let sign = if per_minute < 0.0 { '-' } else { '+' };
    let speed = format!("{sign}{} a minute", Bytes(per_minute.abs() as u64));
    let time = |seconds: Option<f64>| seconds.and_then(nanos).map(|ns| Nanos(ns).to_string());
    match (time(reached.expected_s), time(reached.soonest_s), time(reached.latest_s)) {
        (None, None, _) => format!("{speed}: not used up at this rate"),
        (None, Some(soonest), _) => format!("{speed}: perhaps used up, in {soonest} at the soonest"),
        (Some(expected), soonest, latest) => format!(
            "{speed}: used up in {expected} [{} .. {}]",
            soonest.unwrap_or_else(|| "?".into()),
            latest.unwrap_or_else(|| "perhaps never".into())
        ),
    }
}

fn of_pool(pool: &PoolForecast, text: &mut String) {
    let name = pool.server.map_or("workers", |server| server.name.as_str());
    let _ = write!(text, "\n{name}, master {}: {}", pool.master.key.tgid, Counted(pool.living, "worker"));
    if pool.ended > 0 {
        let _ = write!(text, ", {} ended", pool.ended);
    }
    if let Some(place) = pool.master.unit.as_ref().or(pool.master.cgroup.as_ref()) {
        let _ = write!(text, ", {}", shown(place));
    }
    text.push('\n');
    seen(pool, text);
    worst(pool, text);
    settings(pool, text);
}

fn seen(pool: &PoolForecast, text: &mut String) {
    let past = &pool.past;
    line(
        text,
        "now",
        format!(
            "{}, of which {} is common to all (the master, shared pages)",
            Bytes(pool.now),
            Bytes(pool.common)
        ),
    );
    let largest = past.largest.map_or(String::new(), |key| format!(" (process {})", key.tgid));
    line(
        text,
        "worker",
        format!(
            "private memory: {} at rest, {} at most{largest}: grew by {}, {} in one step",
            Bytes(pool.least),
            Bytes(past.highest),
            Bytes(pool.growth),
            Bytes(past.step)
        ),
    );
    let mut growth = Vec::new();
    if let Some(bytes) = pool.per_hour {
        growth.push(format!("{} an hour and worker", Bytes(bytes)));
    }
    if let Some(bytes) = pool.per_request {
        growth.push(match pool.served {
            Some(Served::Connections(count)) => {
                format!("{} a request, with {} for requests", Bytes(bytes), Counted(count, "connection"))
            }
            Some(Served::Told(_)) | None => format!("{} a request", Bytes(bytes)),
        });
    }
    if !growth.is_empty() {
        line(text, "growth", growth.join(", "));
    }
}

fn worst(pool: &PoolForecast, text: &mut String) {
    let verdict = match (pool.fits(), pool.past.steady) {
        (false, _) => "does not fit",
        (true, None) => "fits",
        (true, Some(_)) => "fits, but workers still grow",
    };
    line(
        text,
        "worst",
        format!(
            "{} common + {} x {} = {}: {verdict}",
            Bytes(pool.common),
            Counted(pool.workers, "worker"),
            Bytes(pool.past.highest),
            Bytes(pool.worst)
        ),
    );
    let of = match &pool.room.of {
        RoomOf::Host => "host".to_owned(),
        RoomOf::Cgroup(path) => format!("cgroup {}", shown(path)),
        RoomOf::Given => "given".to_owned(),
    };
    line(
        text,
        "room",
        format!(
            "{of}: {} usable - {} others - {} common = {} for workers",
            Bytes(pool.room.usable),
            Bytes(pool.others),
            Bytes(pool.common),
            Bytes(pool.for_workers)
        ),
    );
    if let Some(bears) = pool.bears {
        line(
            text,
            "bears",
            format!(
                "({} - {} x {} at rest) / {} = {} at once",
                Bytes(pool.for_workers),
                pool.workers,
                Bytes(pool.least),
                Bytes(pool.growth),
                Counted(bears, "largest growth")
            ),
        );
    }
    line(text, "time", reaching(&pool.room));
}

fn settings(pool: &PoolForecast, text: &mut String) {
    let advice = &pool.advice;
    line(
        text,
        "advice",
        format!(
            "{}: {} / {} = {} fit, {} each",
            Counted(advice.workers, "worker"),
            Bytes(pool.for_workers),
            Bytes(pool.past.highest),
            advice.fit,
            Bytes(advice.share)
        ),
    );
    line(
        text,
        "",
        format!(
            "recycle a worker at {} - {} step = {} private, {} with shared pages",
            Bytes(advice.share),
            Bytes(pool.past.step),
            Bytes(advice.recycle_at),
            Bytes(advice.recycle_at_rss)
        ),
    );
    if let (Some(requests), Some(each)) = (advice.requests, pool.per_request) {
        let growth = Bytes(advice.recycle_at - pool.least);
        let times = Counted(requests, "request");
        line(text, "", format!("that is {growth} of growth / {} a request = {times}", Bytes(each)));
    }
    if let (Some(lifetime_s), Some(rate)) = (advice.lifetime_s, pool.past.steady) {
        let growth = Bytes(advice.recycle_at - pool.least);
        let (each, time) = (Bytes((rate * 3600.0) as u64), Nanos(lifetime_s.saturating_mul(1_000_000_000)));
        line(
            text,
            "",
            format!("that is {growth} of growth / {each} an hour, as the fastest steadily grew = {time}"),
        );
    }
    let Some(syntax) = pool.server.and_then(|server| Syntax::of(&server.kind)) else { return };
    for (file, settings) in syntax.files(advice) {
        let _ = writeln!(text, "    {file}");
        settings.into_iter().for_each(|setting| line(text, "", setting));
    }
    line(text, "note", syntax.note.clone());
}

fn line(text: &mut String, label: &str, what: String) {
    let _ = writeln!(text, "    {label:<7} {what}");
}

fn shown(text: &str) -> String {
    let mut out = Vec::new();
    escape::terminal(text.as_bytes(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn the_arithmetic_is_shown() {
        let text = text(&samples::gunicorn());
        for part in [
            "gunicorn, master 10: 4 workers",
            "60.0 MiB at rest, 260.0 MiB at most (process 12): grew by 200.0 MiB",
            "80.0 MiB common + 4 workers x 260.0 MiB = 1.1 GiB: does not fit",
            "given: 921.6 MiB usable - 0 B others - 80.0 MiB common = 841.6 MiB for workers",
            "(841.6 MiB - 4 x 60.0 MiB at rest) / 200.0 MiB = 3 largest growths at once",
            "workers = 3",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
}
