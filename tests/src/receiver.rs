//! A receiver of OpenTelemetry's protocol, made from the protocol's own definitions: gRPC and HTTP, and as moody as a test wants it.

mod serve;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use tokio::sync::oneshot;

/// By which protocol it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP/1.1.
    Http,
}

impl Protocol {
    /// Its word in the configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http",
        }
    }
}

/// What it does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes all.
    Take,
    /// Refuses one record or data point of each.
    TakePart,
    /// Refuses all for good.
    Refuse,
    /// Asks to be left alone for a second.
    Busy,
    /// Never answers.
    Stall,
}

/// Text that says why something is refused.
pub const REASON: &str = "the receiver is in a mood";

/// What it was sent, and how it answers.
#[derive(Debug)]
pub struct State {
    /// How it answers.
    pub mood: Mood,
    /// Requests, whatever was answered.
    pub asked: u64,
    /// What was taken, at least in part.
    pub taken: Requests,
    /// What was refused as a whole.
    pub refused: Requests,
}

/// Requests of each kind, in order.
#[derive(Debug, Default)]
pub struct Requests {
    /// Of records.
    pub logs: Vec<ExportLogsServiceRequest>,
    /// Of metrics.
    pub metrics: Vec<ExportMetricsServiceRequest>,
}

impl Requests {
    /// Every record.
    pub fn records(&self) -> impl Iterator<Item = &LogRecord> {
        let scopes =
            self.logs.iter().flat_map(|request| &request.resource_logs).flat_map(|of| &of.scope_logs);
        scopes.flat_map(|of| &of.log_records)
    }
}

/// The receiver; it ends when dropped.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Receiver {
    /// Starts it at a free port.
    ///
    /// # Errors
    /// There is none.
    pub fn new(protocol: Protocol, mood: Mood) -> anyhow::Result<Self> {
        let state = State { mood, asked: 0, taken: Requests::default(), refused: Requests::default() };
        let listener = TcpListener::bind("127.0.0.1:0").context("find a port")?;
        let address = listener.local_addr()?;
        let mut receiver = Self { address, state: Arc::new(Mutex::new(state)), running: None };
        receiver.run(protocol, listener)?;
        Ok(receiver)
    }

    /// Stops it: whoever is connected is cut off, and nobody listens.
    pub fn stop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            // It may have ended.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }

    /// Starts it again where it was.
    ///
    /// # Errors
    /// The port is taken.
    pub fn start_again(&mut self, protocol: Protocol) -> anyhow::Result<()> {
        let listener = TcpListener::bind(self.address).context("listen again")?;
        self.run(protocol, listener)
    }

    fn run(&mut self, protocol: Protocol, listener: TcpListener) -> anyhow::Result<()> {
        listener.set_nonblocking(true)?;
        let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let state = Arc::clone(&self.state);
        let thread = std::thread::spawn(move || {
            reactor.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = serve::each(protocol, listener, &state) => {}
                }
            });
        });
        self.running = Some((stop, thread));
        Ok(())
    }

    /// What it was sent, for a moment.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers otherwise from now on.
    pub fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// Every record that was taken, in order.
    #[must_use]
    pub fn records(&self) -> Vec<LogRecord> {
        self.state().taken.records().cloned().collect()
    }

    /// The metrics of the last request.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metric> {
        let state = self.state();
        let scopes = state.taken.metrics.last().into_iter().flat_map(|request| &request.resource_metrics);
        scopes.flat_map(|of| &of.scope_metrics).flat_map(|of| &of.metrics).cloned().collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The value of an attribute.
#[must_use]
pub fn attribute<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

/// The text of an attribute; empty when it has none.
#[must_use]
pub fn text<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    let Some(Value::StringValue(text)) = attribute(attributes, key) else { return "" };
    text
}

/// The whole number of an attribute.
#[must_use]
pub fn number(attributes: &[KeyValue], key: &str) -> Option<i64> {
    let Value::IntValue(number) = attribute(attributes, key)? else { return None };
    Some(*number)
}
