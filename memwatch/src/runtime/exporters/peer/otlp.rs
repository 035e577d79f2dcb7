//! Log records to a receiver of OTLP: a collector of OpenTelemetry, or whoever else takes them.
//!
//! An event is delivered when the receiver says so. Where it was taken but the answer was lost, the receiver gets it twice.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use tokio::runtime::{Builder, Runtime};

use super::{Peer, Trouble};
use crate::export::event::Event;
use crate::export::otlp::{self, Endpoint};
use crate::export::route::Route;
use crate::runtime::otlp::{Client, Failure};
use crate::runtime::outlet::Progress;

/// Bytes of a request, unless one event has more: receivers refuse those of more than 4 MiB as gRPC has it.
const LARGEST: usize = 1 << 20;

pub(super) struct Otlp {
    route: Arc<Route>,
    resource: Resource,
    client: Client,
    progress: Arc<Progress>,
    reactor: Option<Runtime>,
    refused: Option<(u64, String)>,
}

impl Otlp {
    pub(super) fn new(route: &Arc<Route>, endpoint: &Endpoint, progress: Arc<Progress>) -> Self {
        Self {
            route: Arc::clone(route),
            resource: otlp::resource(),
            client: Client::new(endpoint),
            progress,
            reactor: None,
            refused: None,
        }
    }

    /// The first events of a batch, and how many they are.
    fn request(&self, batch: &VecDeque<Arc<Event>>) -> (ExportLogsServiceRequest, usize) {
        let observed = SystemTime::now();
        let (mut records, mut bytes) = (Vec::with_capacity(batch.len()), 0);
        for event in batch {
            let record = otlp::record(&self.route, event, observed);
            bytes += record.encoded_len();
            if bytes > LARGEST && !records.is_empty() {
                break;
            }
            records.push(record);
        }
        let events = records.len();
        (otlp::logs(&self.resource, records), events)
    }

    fn refuse(&mut self, events: u64, reason: String) {
        let before = self.refused.take().map_or(0, |(events, _)| events);
        self.refused = Some((before + events, reason));
    }
}

impl Peer for Otlp {
    fn deliver(&mut self, batch: &mut VecDeque<Arc<Event>>) -> Result<(), Trouble> {
        let reactor = match self.reactor.take() {
            Some(reactor) => reactor,
            None => Builder::new_current_thread().enable_all().build()?,
        };
        let result = self.deliver_in(&reactor, batch);
        self.reactor = Some(reactor);
        result
    }

    fn refused(&mut self) -> Option<(u64, String)> {
        self.refused.take()
    }

    fn reopen(&mut self) {
        self.client.hang_up();
    }
}

impl Otlp {
    fn deliver_in(&mut self, reactor: &Runtime, batch: &mut VecDeque<Arc<Event>>) -> Result<(), Trouble> {
        while !batch.is_empty() {
            let (request, events) = self.request(batch);
            let answer = reactor.block_on(async {
                tokio::select! {
                    biased;
                    answer = self.client.send(&request) => Ok(answer),
                    stopped = self.progress.stopped() => Err(stopped),
                }
            });
            match answer {
                Ok(Ok(verdict)) => {
                    batch.drain(..events);
                    if verdict.refused > 0 {
                        self.refuse(verdict.refused, verdict.message);
                    }
                }
                Ok(Err(Failure::Never(reason))) => {
                    batch.drain(..events);
                    self.refuse(events as u64, reason.clone());
                    // The next ones may fare alike: it is not asked again at once.
                    return Err(io::Error::other(reason).into());
                }
                Ok(Err(Failure::Later(reason, wait))) => {
                    return Err(Trouble { error: io::Error::other(reason), wait });
                }
                Ok(Err(Failure::Broken(error))) => return Err(error.into()),
                Err(stopped) => {
                    stopped?;
                    return Err(io::Error::other("it takes longer than there is time to end").into());
                }
            }
        }
        Ok(())
    }
}
