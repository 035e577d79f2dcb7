//! JSON lines: one flat object a line. docs/forecast.md describes every key.

use super::keys::{self, Line};
use super::nanos;
use crate::core::forecast::conclude::Served;
use crate::core::forecast::conclude::{Room, RoomOf};
use crate::core::forecast::syntax::Syntax;
use crate::core::forecast::{Checked, Forecast, PoolForecast};
use crate::export::clock::Clock;
use crate::export::flat::Object;

/// Appends every line of a forecast; times are those of this clock, or left out.
pub fn write(forecast: &Forecast, clock: Option<Clock>, out: &mut Vec<u8>) {
    let time = clock.map(|clock| (clock, forecast.time_ns));
    let mut line = Object::begin(Line::Summary, time, out);
    line.number(&keys::SEEN, forecast.seen_ns);
    line.number(&keys::POOLS, forecast.pools.len() as u64);
    if let Some(host) = &forecast.host {
        line.room(host);
    }
    line.end();
    for pool in &forecast.pools {
        let mut line = Object::begin(Line::Pool, time, out);
        line.pool(pool);
        line.end();
        let Some(syntax) = pool.server.and_then(|server| Syntax::of(&server.kind)) else { continue };
        for (file, settings) in syntax.files(&pool.advice) {
            for text in settings {
                let mut line = Object::begin(Line::Setting, time, out);
                line.whose(pool.master.key.tgid, pool.server.map(|server| server.name.as_str()));
                line.text(&keys::FILE, file.as_bytes());
                line.text(&keys::TEXT, text.as_bytes());
                line.end();
            }
        }
    }
}

/// Appends what forecasts from parts of a recording were worth.
pub fn write_checked(checked: &[Checked], out: &mut Vec<u8>) {
    for of_part in checked {
        let mut line = Object::begin(Line::Check, None, out);
        line.number(&keys::CUT, of_part.percent);
        line.number(&keys::LOOKS, of_part.looks as u64);
        line.flag(&keys::TOO_SHORT, of_part.host.is_none());
        if let Some(host) = &of_part.host {
            let (foretold, low, high) = host.used;
            line.number(&keys::FORETOLD, foretold);
            line.number(&keys::FORETOLD_LOW, low);
            line.number(&keys::FORETOLD_HIGH, high);
            line.number(&keys::CAME, host.came);
            line.flag(&keys::HOLDS, host.holds());
            line.reaches(host.reaches_s);
            line.maybe(&keys::PASSED, host.reached_s.and_then(nanos));
        }
        line.end();
        for pool in &of_part.pools {
            let mut line = Object::begin(Line::CheckPool, None, out);
            line.number(&keys::CUT, of_part.percent);
            line.whose(pool.master, pool.server);
            line.number(&keys::FORETOLD, pool.worst);
            line.number(&keys::CAME, pool.highest);
            line.signed(&keys::ERROR, pool.error_percent() as i64);
            line.end();
        }
    }
}

impl Object<'_, Line> {
    fn whose(&mut self, master: u32, server: Option<&str>) {
        self.number(&keys::MASTER, master.into());
        if let Some(name) = server {
            self.text(&keys::SERVER, name.as_bytes());
        }
    }

    fn pool(&mut self, pool: &PoolForecast) {
        self.whose(pool.master.key.tgid, pool.server.map(|server| server.name.as_str()));
        let who = &pool.master;
        let places = [
            (&keys::CGROUP, &who.cgroup),
            (&keys::UNIT, &who.unit),
            (&keys::CONTAINER, &who.container),
            (&keys::POD, &who.pod),
        ];
        for (key, text) in places {
            if let Some(text) = text {
                self.text(key, text.as_bytes());
            }
        }
        self.number(&keys::WORKERS, pool.workers);
        self.number(&keys::LIVING, pool.living);
        self.number(&keys::ENDED, pool.ended);
        self.number(&keys::NOW, pool.now);
        self.number(&keys::COMMON, pool.common);
        self.number(&keys::LEAST, pool.least);
        self.number(&keys::HIGH_WATER, pool.past.highest);
        self.maybe(&keys::LARGEST, pool.past.largest.map(|key| key.tgid.into()));
        self.number(&keys::GROWTH, pool.growth);
        self.number(&keys::STEP, pool.past.step);
        self.maybe(&keys::PER_HOUR, pool.per_hour);
        self.maybe(&keys::SERVED, pool.served.map(Served::count));
        if let Some(served) = pool.served {
            let by: &[u8] = match served {
                Served::Told(_) => b"operator",
                Served::Connections(_) => b"connections",
            };
            self.text(&keys::SERVED_BY, by);
        }
        self.maybe(&keys::PER_REQUEST, pool.per_request);
        self.number(&keys::WORST, pool.worst);
        self.flag(&keys::FITS, pool.fits());
        self.maybe(&keys::BEARS, pool.bears);
        self.room(&pool.room);
        if let RoomOf::Cgroup(path) = &pool.room.of {
            self.text(&keys::ROOM_CGROUP, path.as_bytes());
        }
        self.number(&keys::OTHERS, pool.others);
        self.number(&keys::FOR_WORKERS, pool.for_workers);
        let advice = &pool.advice;
        self.number(&keys::FIT, advice.fit);
        self.number(&keys::ADVISED, advice.workers);
        self.number(&keys::SHARE, advice.share);
        self.number(&keys::RECYCLE_AT, advice.recycle_at);
        self.number(&keys::RECYCLE_AT_RSS, advice.recycle_at_rss);
        self.maybe(&keys::REQUESTS, advice.requests);
        self.maybe(&keys::LIFETIME, advice.lifetime_s);
        self.number(&keys::POOL_LIMIT, advice.limit);
    }

    fn room(&mut self, room: &Room) {
        let of = match room.of {
            RoomOf::Host => "host",
            RoomOf::Cgroup(_) => "cgroup",
            RoomOf::Given => "given",
        };
        self.text(&keys::ROOM_OF, of.as_bytes());
        self.number(&keys::LIMIT, room.limit);
        self.number(&keys::USABLE, room.usable);
        self.number(&keys::USED, room.used);
        if let Some(rate) = room.rate {
            self.signed(&keys::PER_SECOND, rate.bytes_per_s as i64);
        }
        if let Some(reached) = room.reached {
            self.reaches([reached.expected_s, reached.soonest_s, reached.latest_s]);
        }
    }

    fn reaches(&mut self, seconds: [Option<f64>; 3]) {
        for (key, seconds) in [&keys::REACHED, &keys::SOONEST, &keys::LATEST].into_iter().zip(seconds) {
            self.maybe(key, seconds.and_then(nanos));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn every_line_is_an_object_and_settings_follow_their_pool() {
        let mut out = Vec::new();
        write(&samples::gunicorn(), None, &mut out);
        let lines = out.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let lines: Vec<serde_json::Map<String, serde_json::Value>> =
            lines.map(|line| serde_json::from_slice(line).expect("a JSON object")).collect();
        assert_eq!(lines[0]["event.name"], "memwatch.forecast");
        assert_eq!(lines[1]["event.name"], "memwatch.forecast.pool");
        assert_eq!(lines[1]["memwatch.server"], "gunicorn");
        assert_eq!(lines[2]["memwatch.forecast.setting.line"], "workers = 3");
        let last = lines.last().expect("lines");
        let limit = format!("MemoryMax={}M", samples::gunicorn().pools[0].advice.limit >> 20);
        assert_eq!(last["memwatch.forecast.setting.line"], limit);
        assert!(!lines[1].contains_key("timestamp"), "the recording's host may be another");
    }
}
