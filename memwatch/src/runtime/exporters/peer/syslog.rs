//! Messages of syslog (RFC 5424), a line each (RFC 6587, 3.4.2).

use std::io::Write as _;

use rustix::system::uname;

use crate::export::event::{Event, Severity, fields};

/// Facility `daemon`.
const FACILITY: u8 = 3;

/// Appends what stands before the text of a message; its id is the event's kind.
pub(super) fn header(event: &Event, text: &mut Vec<u8>) {
    let timestamp = fields(&event.object)
        .into_iter()
        .find(|(key, _)| *key == "timestamp")
        .map_or("-", |(_, value)| value.get().trim_matches('"'));
    let host = uname();
    let host = host.nodename().to_str().ok().filter(|host| !host.is_empty()).unwrap_or("-");
    let (priority, pid) = (FACILITY * 8 + severity(event.severity), std::process::id());
    // Into memory: it cannot fail.
    let _ =
        write!(text, "<{priority}>1 {} {host} memwatch {pid} {} - ", microseconds(timestamp), event.kind());
}

/// `…:13.123456789Z` as `…:13.123456Z`: a second has six digits there at most.
fn microseconds(timestamp: &str) -> String {
    match timestamp.split_once('.') {
        Some((seconds, part)) => {
            let digits: String = part.chars().take_while(char::is_ascii_digit).take(6).collect();
            format!("{seconds}.{digits}Z")
        }
        None => timestamp.to_owned(),
    }
}

/// Number of a severity.
pub(super) const fn severity(severity: Severity) -> u8 {
    match severity {
        Severity::Error => 3,
        Severity::Warning => 4,
        Severity::Notice => 5,
        Severity::Info => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_the_parts_of_rfc_5424() {
        let event = Event {
            name: "memwatch.decision",
            severity: Severity::Warning,
            object: b"{\"timestamp\":\"2026-01-02T03:04:05.123456789Z\"}\n".to_vec(),
            sentence: None,
        };
        let mut text = Vec::new();
        header(&event, &mut text);
        let text = String::from_utf8(text).expect("UTF-8");
        assert!(text.starts_with("<28>1 2026-01-02T03:04:05.123456Z "), "{text}");
        assert!(text.ends_with(&format!(" memwatch {} decision - ", std::process::id())), "{text}");
    }
}
