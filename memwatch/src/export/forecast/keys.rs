//! The keys of the lines that `memwatch forecast` writes: one table, which the writer takes its keys from and
//! docs/forecast.md is made of.

use crate::export::flat::{Key, Kind, keys};

/// A kind of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// About the host and the whole run.
    Summary,
    /// About a pool.
    Pool,
    /// A line of a server's configuration.
    Setting,
    /// What a forecast from a part of a recording said of the host, and what came.
    Check,
    /// The same of a pool.
    CheckPool,
}

impl Kind for Line {
    const ALL: &'static [Self] = &[Self::Summary, Self::Pool, Self::Setting, Self::Check, Self::CheckPool];

    const HEAD: [&'static Key<Self>; 3] = [&EVENT_NAME, &SCHEMA_VERSION, &TIMESTAMP];

    fn name(self) -> &'static str {
        match self {
            Self::Summary => "memwatch.forecast",
            Self::Pool => "memwatch.forecast.pool",
            Self::Setting => "memwatch.forecast.setting",
            Self::Check => "memwatch.forecast.check",
            Self::CheckPool => "memwatch.forecast.check_pool",
        }
    }

    fn doc(self) -> &'static str {
        match self {
            Self::Summary => "First line: the host.",
            Self::Pool => "A pool: what its workers showed, its worst case, and what that leaves.",
            Self::Setting => "A line for the configuration of the pool's server, after the line of the pool.",
            Self::Check => {
                "With `--check`: what a forecast from the first part of the recording said of the host, and what came."
            }
            Self::CheckPool => {
                "With `--check`: the worst case that it said of a pool, and the most that the pool took."
            }
        }
    }
}

const EVERY: &[Line] = Line::ALL;
const SUMMARY: &[Line] = &[Line::Summary];
const POOL: &[Line] = &[Line::Pool];
const SETTING: &[Line] = &[Line::Setting];
const CHECK: &[Line] = &[Line::Check];
const CHECK_POOL: &[Line] = &[Line::CheckPool];
/// Those that speak of a pool.
const OF_POOL: &[Line] = &[Line::Pool, Line::Setting, Line::CheckPool];
/// Those that tell when memory is used up.
const REACHING: &[Line] = &[Line::Summary, Line::Pool, Line::Check];
/// Those of memory that has an end.
const OF_ROOM: &[Line] = &[Line::Summary, Line::Pool];
/// Those of a check.
const OF_CHECK: &[Line] = &[Line::Check, Line::CheckPool];

keys! {
    EVENT_NAME: "event.name" Text "" EVERY => "What the line says; the sections below are named after it.";
    SCHEMA_VERSION: "memwatch.schema_version" Integer "" EVERY => "Version of this document; a key that changes its meaning or goes raises it.";
    TIMESTAMP: "timestamp" Text "" EVERY => "When the forecast was made, RFC 3339 in UTC. Left out of what comes from a recording, whose host may be another.";

    SEEN: "memwatch.forecast.seen" Integer "ns" SUMMARY => "How long was watched.";
    POOLS: "memwatch.forecast.pools" Integer "" SUMMARY => "Lines `memwatch.forecast.pool` that follow.";

    MASTER: "memwatch.master.pid" Integer "" OF_POOL => "Process id of the master.";
    SERVER: "memwatch.server" Text "" OF_POOL => "The server, as data/servers.toml names it; left out of a pool that `--master` names.";
    CGROUP: "memwatch.cgroup.path" Text "" POOL => "Cgroup of the master.";
    UNIT: "memwatch.unit" Text "" POOL => "Systemd unit that the cgroup names.";
    CONTAINER: "container.id" Text "" POOL => "Container that the cgroup names.";
    POD: "k8s.pod.uid" Text "" POOL => "Kubernetes pod that the cgroup names.";
    WORKERS: "memwatch.forecast.workers" Integer "" POOL => "Workers that are reckoned with: the most that lived at once, or what `--workers` says.";
    LIVING: "memwatch.forecast.workers_living" Integer "" POOL => "Workers that live.";
    ENDED: "memwatch.forecast.workers_ended" Integer "" POOL => "Workers that ended while it was watched.";
    NOW: "memwatch.forecast.now" Integer "bytes" POOL => "What the pool takes now, pages shared within it counted once.";
    COMMON: "memwatch.forecast.common" Integer "bytes" POOL => "What of it is no worker's alone: the master, and shared pages.";
    LEAST: "memwatch.forecast.worker.least" Integer "bytes" POOL => "The least private memory that a worker had when it had settled: what one takes that has done nothing.";
    HIGH_WATER: "memwatch.forecast.worker.highest" Integer "bytes" POOL => "The most private memory that a worker ever had, also before it was watched.";
    LARGEST: "memwatch.forecast.worker.largest_pid" Integer "" POOL => "Process id of that worker.";
    GROWTH: "memwatch.forecast.worker.growth" Integer "bytes" POOL => "The largest growth: `highest` without `least`.";
    STEP: "memwatch.forecast.worker.step" Integer "bytes" POOL => "The most that a worker gained in ten seconds: what one request takes.";
    PER_HOUR: "memwatch.forecast.worker.per_hour" Integer "bytes" POOL => "Growth of one worker in an hour, as seen; left out when workers were watched for less than five seconds together.";
    SERVED: "memwatch.forecast.requests" Integer "" POOL => "Requests that it served while it was watched, where the kernel or `--requests` told how many there were.";
    SERVED_BY: "memwatch.forecast.requests_by" Text "" POOL => "Who told: `operator`, or `connections`, of which each may have carried several.";
    PER_REQUEST: "memwatch.forecast.worker.per_request" Integer "bytes" POOL => "Growth for each request, where the kernel or `--requests` told how many there were.";
    WORST: "memwatch.forecast.worst" Integer "bytes" POOL => "Worst case: common memory, and every worker as large as the largest one ever was.";
    FITS: "memwatch.forecast.fits" Flag "" POOL => "Whether the worst case fits beside what others take.";
    BEARS: "memwatch.forecast.bears" Integer "" POOL => "Largest growths that the workers together bear at once; left out when none has grown.";

    ROOM_OF: "memwatch.forecast.room" Text "" OF_ROOM => "Whose memory bounds it: `host`, `cgroup`, or `given` by `--memory`.";
    ROOM_CGROUP: "memwatch.forecast.room.cgroup.path" Text "" POOL => "The cgroup with the limit.";
    LIMIT: "memwatch.forecast.room.limit" Integer "bytes" OF_ROOM => "The memory there is.";
    USABLE: "memwatch.forecast.room.usable" Integer "bytes" OF_ROOM => "What of it may be used: without what `--keep-free` says.";
    USED: "memwatch.forecast.room.used" Integer "bytes" OF_ROOM => "What is used now and cannot be dropped.";
    OTHERS: "memwatch.forecast.room.others" Integer "bytes" POOL => "What of that is not the pool's.";
    FOR_WORKERS: "memwatch.forecast.room.for_workers" Integer "bytes" POOL => "What is left for workers: usable, without others and common memory.";
    PER_SECOND: "memwatch.forecast.room.bytes_per_second" Integer "bytes/s" OF_ROOM => "How fast `used` grows; negative where it falls. Left out when it was watched too briefly.";
    REACHED: "memwatch.forecast.reached_in" Integer "ns" REACHING => "Time until all that is usable will be used, at this rate; left out: never.";
    SOONEST: "memwatch.forecast.reached_soonest" Integer "ns" REACHING => "Begin of the interval that holds it in 95 of 100 cases; left out: never.";
    LATEST: "memwatch.forecast.reached_latest" Integer "ns" REACHING => "End of that interval; left out: perhaps never.";

    FIT: "memwatch.forecast.advice.fit" Integer "" POOL => "Workers that fit when each is as large as the largest one was.";
    ADVISED: "memwatch.forecast.advice.workers" Integer "" POOL => "Workers to have.";
    SHARE: "memwatch.forecast.advice.share" Integer "bytes" POOL => "What each of them may take in private memory.";
    RECYCLE_AT: "memwatch.forecast.advice.recycle_at" Integer "bytes" POOL => "Private memory at which to recycle a worker: one more `step` stays within its share.";
    RECYCLE_AT_RSS: "memwatch.forecast.advice.recycle_at_rss" Integer "bytes" POOL => "The same as resident memory, in which servers measure.";
    REQUESTS: "memwatch.forecast.advice.requests" Integer "" POOL => "Requests after which that is reached, where it is known how many there were.";
    LIFETIME: "memwatch.forecast.advice.lifetime" Integer "s" POOL => "Time after which that is reached, where a worker grew steadily: by at least four times its largest step.";
    POOL_LIMIT: "memwatch.forecast.advice.limit" Integer "bytes" POOL => "A limit for the pool as a whole.";

    FILE: "memwatch.forecast.setting.file" Text "" SETTING => "The file that the line belongs to, as it is commonly called.";
    TEXT: "memwatch.forecast.setting.line" Text "" SETTING => "The line.";

    TOO_SHORT: "memwatch.forecast.check.too_short" Flag "" CHECK => "`true` when too little was recorded by then to tell how fast the host's use grows; then nothing is foretold.";
    LOOKS: "memwatch.forecast.check.looks" Integer "" CHECK => "Looks at the host until then.";
    CUT: "memwatch.forecast.check.part" Integer "%" OF_CHECK => "The part of the recording that the forecast was made from.";
    FORETOLD: "memwatch.forecast.check.foretold" Integer "bytes" OF_CHECK => "What was foretold: the host's use at the end, or the pool's worst case.";
    FORETOLD_LOW: "memwatch.forecast.check.foretold_low" Integer "bytes" CHECK => "Begin of its interval.";
    FORETOLD_HIGH: "memwatch.forecast.check.foretold_high" Integer "bytes" CHECK => "End of its interval.";
    CAME: "memwatch.forecast.check.came" Integer "bytes" OF_CHECK => "What came: the host's use at the end, or the most that the pool took.";
    HOLDS: "memwatch.forecast.check.holds" Flag "" CHECK => "Whether the interval holds it.";
    PASSED: "memwatch.forecast.check.reached_after" Integer "ns" CHECK => "Time until all that is usable was used; left out: it was not, in the recording.";
    ERROR: "memwatch.forecast.check.error_percent" Integer "%" CHECK_POOL => "How far what was foretold is above what came; a worst case that did not come to pass is above.";
}
