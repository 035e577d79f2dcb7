//! OTLP over gRPC.

use std::error::Error as _;
use std::io;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint as Target};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tower::service_fn;

use super::{Failure, Signal, Verdict, causes};
use crate::export::otlp::Endpoint;

#[derive(Debug)]
pub(super) struct Grpc(Channel);

impl Grpc {
    pub(super) async fn open(endpoint: &Endpoint, stream: TokioIo<TcpStream>) -> Result<Self, Failure> {
        let target = Target::from_shared(format!("http://{}", endpoint.address));
        let target = target.map_err(|error| Failure::broken(causes(&error)))?;
        let mut stream = Some(stream);
        // This connection and no other: who asked for it opens the next one.
        let connector = service_fn(move |_| {
            let stream = stream.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
            std::future::ready(stream)
        });
        let channel = target.connect_with_connector(connector).await;
        channel.map(Self).map_err(|error| Failure::broken(causes(&error)))
    }

    pub(super) async fn call<S: Signal>(&self, endpoint: &Endpoint, request: &S) -> Result<Verdict, Failure> {
        S::call(self.0.clone(), request.clone()).await.map_err(|status| failure(endpoint, &status))
    }
}

fn failure(endpoint: &Endpoint, status: &Status) -> Failure {
    // The receiver's own words have no cause here.
    if let Some(cause) = status.source() {
        return Failure::broken(format_args!("no answer of {endpoint}: {}", causes(cause)));
    }
    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let words = format!("{endpoint} answers {:?}: {}", status.code(), status.message());
    let is_passing = matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    );
    // One that has no room says when it will have; one that does not never takes so much.
    if is_passing || (status.code() == Code::ResourceExhausted && wait.is_some()) {
        Failure::Later(words, wait)
    } else {
        Failure::Never(words)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::ErrorDetails;

    use super::*;
    use crate::export::otlp::Protocol;

    #[test]
    fn codes_say_whether_to_send_again() {
        let endpoint = Endpoint::parse("http://127.0.0.1", Protocol::Grpc).expect("an endpoint");
        let failure = |status: &Status| failure(&endpoint, status);
        let bare = |code| failure(&Status::new(code, "no"));
        for code in [Code::Unavailable, Code::Aborted, Code::DataLoss] {
            assert!(matches!(bare(code), Failure::Later(_, None)), "{code:?}");
        }
        for code in [Code::InvalidArgument, Code::Unimplemented, Code::Unknown, Code::ResourceExhausted] {
            assert!(matches!(bare(code), Failure::Never(_)), "{code:?}");
        }
        let second = Duration::from_secs(1);
        let details = ErrorDetails::with_retry_info(Some(second));
        let full = Status::with_error_details(Code::ResourceExhausted, "full", details);
        assert!(matches!(failure(&full), Failure::Later(_, Some(wait)) if wait == second));
        let broken = Status::from_error(io::Error::from(io::ErrorKind::BrokenPipe).into());
        assert!(matches!(failure(&broken), Failure::Broken(_)));
    }
}
