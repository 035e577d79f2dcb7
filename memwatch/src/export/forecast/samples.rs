//! A forecast for tests of its forms.

use crate::core::fact::ProcessKey;
use crate::core::forecast::{Assumed, Forecast, History, forecast};
use crate::core::policy::{Figures, Host, Input, Who};

const MIB: u64 = 1 << 20;
const SECOND: u64 = 1_000_000_000;

/// A process of gunicorn.
fn who(tgid: u32, parent: u32) -> Who {
    Who {
        parent: Some(parent),
        comm: "gunicorn".into(),
        exe: Some("/usr/bin/python3.11".into()),
        args: vec!["gunicorn: worker [app]".into()],
        cgroup: Some("/system.slice/app.service".into()),
        unit: Some("app.service".into()),
        ..Who::unknown(ProcessKey { tgid, start_ns: 1 })
    }
}

/// A master with 16 MiB, four workers of 60 MiB that share 64 MiB, one of which grows by 200; a GiB for it all.
pub(super) fn gunicorn() -> Forecast {
    let mut history = History::new(None);
    history.take(SECOND, &Input::Runs(Box::new(who(10, 1))));
    for tgid in 11..15 {
        history.take(SECOND, &Input::Runs(Box::new(who(tgid, 10))));
    }
    for second in 10..30 {
        for tgid in 10..15 {
            let private = match tgid {
                10 => 16,
                12 if second >= 20 => 260,
                _ => 60,
            };
            let shared = if tgid == 10 { 0 } else { 64 };
            let figures = Figures {
                resident: Some((private + shared) * MIB),
                private: Some(private * MIB),
                proportional: Some((private + shared / 4) * MIB),
                ..Figures::default()
            };
            let key = ProcessKey { tgid, start_ns: 1 };
            history.take(second * SECOND, &Input::Figures { key, figures });
        }
        let host = Host { total: 8192 * MIB, available: 6000 * MIB, ..Host::default() };
        history.take(second * SECOND, &Input::Host(host));
    }
    forecast(&history, Assumed { memory: Some(1024 * MIB), ..Assumed::default() })
}
