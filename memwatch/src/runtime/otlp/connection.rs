//! A connection to a receiver, in either protocol.

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::grpc::Grpc;
use super::http::Http;
use super::{Failure, Signal, Verdict};
use crate::export::otlp::{Endpoint, Protocol};
use crate::runtime::exporters::unreachable;

#[derive(Debug)]
pub(super) enum Connection {
    Grpc(Grpc),
    Http(Http),
}

impl Connection {
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Self, Failure> {
        let address = endpoint.address;
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| Failure::Broken(unreachable(&address, error)))?;
        // A request is written whole: nothing is won by waiting for more.
        stream.set_nodelay(true).map_err(Failure::Broken)?;
        let stream = TokioIo::new(stream);
        Ok(match endpoint.protocol {
            Protocol::Grpc => Self::Grpc(Grpc::open(endpoint, stream).await?),
            Protocol::Http => Self::Http(Http::open(stream).await?),
        })
    }

    pub(super) async fn call<S: Signal>(
        &mut self,
        endpoint: &Endpoint,
        request: &S,
    ) -> Result<Verdict, Failure> {
        match self {
            Self::Grpc(grpc) => grpc.call(endpoint, request).await,
            Self::Http(http) => http.call(endpoint, request).await,
        }
    }
}
