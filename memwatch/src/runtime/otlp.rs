//! Speaks to a receiver of OTLP: one request at a time over one connection, which is opened anew when it is gone.
//!
//! What an answer means for the data is the protocol's (OTLP, "Failures"): taken, taken in part, refused for good, or to be sent again.

mod connection;
mod grpc;
mod http;
mod signal;

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::time::Duration;

use tokio::time::timeout;

use crate::export::otlp::Endpoint;
use connection::Connection;
pub(super) use signal::Signal;

/// How long a receiver may take for an answer, the connection included.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const LONGEST_ANSWER: usize = 64 << 10;

/// What a receiver says of data that it does not take in part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Records or data points that it refused.
    pub(super) refused: u64,
    /// Why, or another remark.
    pub(super) message: String,
}

/// Why data was not taken.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no connection, or it broke before an answer was there.
    Broken(io::Error),
    /// The receiver is busy: it may be sent again, where it says so after some time.
    Later(String, Option<Duration>),
    /// The receiver will never take it.
    Never(String),
}

impl Failure {
    fn broken(problem: impl Display) -> Self {
        Self::Broken(io::Error::other(problem.to_string()))
    }
}

/// An error and what caused it.
fn causes(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        next = cause.source();
    }
    words
}

/// The client of one receiver. Its connection lives in the runtime that it is used in.
#[derive(Debug)]
pub(super) struct Client {
    endpoint: Endpoint,
    connection: Option<Connection>,
}

impl Client {
    /// A client, without a connection yet.
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        Self { endpoint: endpoint.clone(), connection: None }
    }

    /// Forgets the connection.
    pub(super) fn hang_up(&mut self) {
        self.connection = None;
    }

    /// Sends a request, and waits for what the receiver says. When that is given up, the connection goes.
    ///
    /// # Errors
    /// Why it was not taken.
    pub(super) async fn send<S: Signal>(&mut self, request: &S) -> Result<Verdict, Failure> {
        let was_open = self.connection.is_some();
        let answer = timeout(PATIENCE, async {
            match self.attempt(request).await {
                // A connection that lay idle may have been closed: that is no trouble of the receiver's.
                Err(Failure::Broken(_)) if was_open => self.attempt(request).await,
                result => result,
            }
        });
        answer.await.unwrap_or_else(|_| {
            let endpoint = &self.endpoint;
            Err(Failure::broken(format_args!("{endpoint} does not answer within {} s", PATIENCE.as_secs())))
        })
    }

    async fn attempt<S: Signal>(&mut self, request: &S) -> Result<Verdict, Failure> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => Connection::open(&self.endpoint).await?,
        };
        let result = connection.call(&self.endpoint, request).await;
        // An answer, whatever it says, shows that it can be used again.
        if !matches!(result, Err(Failure::Broken(_))) {
            self.connection = Some(connection);
        }
        result
    }
}
