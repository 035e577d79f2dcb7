//! Where events go, in words.

use super::{Paragraph, duration};
use crate::core::quantity::Bytes;
use crate::enrich::cri::Sockets;
use crate::export::metrics::Offer;
use crate::export::route::{Destination, Form, Rate, Rotation, Route};

pub(super) fn all(routes: &[Route]) -> Vec<Paragraph> {
    if routes.is_empty() {
        let says = "events go to standard output, in the form that --output says".to_owned();
        return vec![Paragraph::unnamed("export", vec![says])];
    }
    routes.iter().map(export).collect()
}

pub(super) fn metrics(Offer { listen, push, max_cgroups }: &Offer) -> Paragraph {
    let mut says = Vec::new();
    if let Some(address) = listen {
        says.push(format!("Prometheus asks for them at http://{address}/metrics"));
    }
    if let Some(push) = push {
        let every_ns = u64::try_from(push.every.as_nanos()).unwrap_or(u64::MAX);
        says.push(format!("every {} they are sent to {}", duration(every_ns), push.to));
    }
    says.push(if says.is_empty() {
        "are told to nobody".to_owned()
    } else {
        format!("{max_cgroups} cgroups have a label of their own, all others share one")
    });
    Paragraph::unnamed("metrics", says)
}

pub(super) fn containers(sockets: &Sockets) -> Paragraph {
    let says = match sockets {
        Sockets::Usual => {
            "names of containers are asked for where a runtime listens at its usual socket".to_owned()
        }
        Sockets::At(paths) if paths.is_empty() => "nobody is asked for names of containers".to_owned(),
        Sockets::At(paths) => {
            let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            format!("names of containers are asked for at {}", paths.join(", "))
        }
    };
    Paragraph::unnamed("containers", vec![says])
}

fn export(route: &Route) -> Paragraph {
    let mut says = vec![format!("{} go to {}", events(route), destination(&route.to))];
    if let Destination::File { rotation, .. } = &route.to {
        says.push(self::rotation(*rotation));
    }
    if let Some(Rate { events, per_ns }) = route.at_most {
        says.push(format!(
            "of each kind {events} in {} at most; the others are held back and counted",
            duration(per_ns)
        ));
    }
    says.push(format!("{} wait while it takes none; then the oldest are shed and counted", route.queue));
    if route.has_arguments {
        says.push("they carry the arguments of processes, which may hold secrets".to_owned());
    }
    if !route.redact.is_empty() {
        let keys: Vec<_> = route.redact.iter().map(|key| key.text()).collect();
        says.push(format!("left out of them: {}", keys.join(", ")));
    }
    Paragraph::new("export", &route.name, says)
}

fn events(route: &Route) -> String {
    let kinds: Vec<_> = route.kinds.iter().map(|kind| kind.text()).collect();
    let kinds =
        if kinds.is_empty() { "all events".to_owned() } else { format!("events of {}", kinds.join(", ")) };
    match route.min_severity.name() {
        "info" => kinds,
        name => format!("{kinds} of severity {name} or more"),
    }
}

fn destination(to: &Destination) -> String {
    match to {
        Destination::StandardOutput(None) => "standard output, in the form that --output says".to_owned(),
        Destination::File { path, rotation: _, form } => {
            format!("the file {}, {}", path.display(), lines(*form))
        }
        Destination::Journald { path } => format!("the journal at {}, a field for each key", path.display()),
        Destination::Syslog { address, form } => {
            format!("the syslog server at {address}, as RFC 5424 over TCP, {}", lines(*form))
        }
        Destination::Otlp(endpoint) => format!("the receiver of OTLP at {endpoint}, a log record each"),
        Destination::Unix { path, form } => {
            format!("who listens at the Unix socket {}, {}", path.display(), lines(*form))
        }
        Destination::StandardOutput(Some(form)) => format!("standard output, {}", lines(*form)),
    }
}

fn rotation(Rotation { max_bytes, max_age_ns, keep }: Rotation) -> String {
    let age = max_age_ns.map(|age_ns| format!(" or {} old", duration(age_ns))).unwrap_or_default();
    format!("moved away before it is larger than {}{age}; {keep} are kept", Bytes(max_bytes))
}

const fn lines(form: Form) -> &'static str {
    match form {
        Form::Json => "an object a line",
        Form::Text => "a sentence a line",
    }
}
