//! A database that receives OpenTelemetry's protocol, for the test that sends metrics to a real receiver.

use std::path::PathBuf;

use anyhow::Result;

use crate::{archive::Suite, report, rootfs};

/// The first suite of Debian whose VictoriaMetrics does. Its Prometheus is built without, and its syslog-ng without gRPC.
const SUITE: &str = "trixie";

/// The program, unpacked when it is not there yet: it needs the C library and zstd, as dpkg does. Where it cannot be had the test
/// is skipped.
pub(super) fn ensure() -> Option<PathBuf> {
    unpacked()
        .inspect_err(|error| {
            report::step(&format!(
                "no test will send metrics to a real receiver, VictoriaMetrics of {SUITE} is missing: {error:#}"
            ));
        })
        .ok()
}

fn unpacked() -> Result<PathBuf> {
    let _lock = rootfs::lock()?;
    let guest = rootfs::guest_dir()?;
    let folder = guest.join("tools/victoria-metrics");
    if !folder.is_dir() {
        let suite = Suite::open(&guest, SUITE)?;
        report::step(&format!("unpacking VictoriaMetrics of {SUITE} in {}", folder.display()));
        suite.unpack_alone("victoria-metrics", &folder)?;
    }
    Ok(folder.join("usr/bin/victoria-metrics"))
}
