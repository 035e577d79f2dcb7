//! Where a receiver of OTLP is, as its URL says.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use hyper::Uri;
use hyper::http::uri::Scheme;

/// How a receiver is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC, over HTTP/2.
    #[default]
    Grpc,
    /// Protobuf in requests of HTTP/1.1.
    Http,
}

impl Protocol {
    /// The port where the URL names none (OTLP, "Default port").
    const fn port(self) -> u16 {
        match self {
            Self::Grpc => 4317,
            Self::Http => 4318,
        }
    }
}

/// A receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Where it listens.
    pub address: SocketAddr,
    /// What the paths of signals begin with, without a slash at the end.
    pub path: String,
}

/// Why a URL is none of a receiver: what is wrong, and what to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misplaced(pub &'static str, pub &'static str);

const EXAMPLE: &str = "write for example \"http://127.0.0.1:4317\" or \"http://[::1]:4318/otlp\"";

impl Endpoint {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is none of a receiver that can be spoken to.
    pub fn parse(url: &str, protocol: Protocol) -> Result<Self, Misplaced> {
        let uri: Uri = url.parse().map_err(|_| Misplaced("this is no URL", EXAMPLE))?;
        if uri.scheme() == Some(&Scheme::HTTPS) {
            return Err(Misplaced(
                "memwatch speaks no TLS",
                "write http:// and the address of a collector on this host, which sends on by TLS",
            ));
        }
        if uri.scheme() != Some(&Scheme::HTTP) {
            return Err(Misplaced("this is no URL of http", EXAMPLE));
        }
        let authority = uri.authority().map(hyper::http::uri::Authority::as_str).unwrap_or_default();
        if authority.contains('@') || uri.query().is_some() {
            return Err(Misplaced("a receiver has neither a user nor a query", EXAMPLE));
        }
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let ip: IpAddr = host.parse().map_err(|_| {
            Misplaced(
                "its host is no address, and names are not looked up",
                "write the address of the host, without its name",
            )
        })?;
        let port = uri.port_u16().unwrap_or(protocol.port());
        if port == 0 || (uri.port().is_none() && authority.ends_with(':')) {
            return Err(Misplaced("it names no port", EXAMPLE));
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        if protocol == Protocol::Grpc && !path.is_empty() {
            return Err(Misplaced("gRPC has no path", "take the path out, or write protocol = \"http\""));
        }
        Ok(Self { protocol, address: SocketAddr::new(ip, port), path })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, address, path } = self;
        let words = match protocol {
            Protocol::Grpc => "gRPC",
            Protocol::Http => "HTTP",
        };
        write!(f, "http://{address}{path} by {words}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_receivers() {
        let told = |url, protocol| Endpoint::parse(url, protocol).map(|endpoint| endpoint.to_string());
        assert_eq!(told("http://127.0.0.1", Protocol::Grpc).as_deref(), Ok("http://127.0.0.1:4317 by gRPC"));
        assert_eq!(told("http://[::1]/", Protocol::Http).as_deref(), Ok("http://[::1]:4318 by HTTP"));
        let path = told("http://10.0.0.1:9090/api/v1/otlp/", Protocol::Http);
        assert_eq!(path.as_deref(), Ok("http://10.0.0.1:9090/api/v1/otlp by HTTP"));
        for url in [
            "127.0.0.1:4317",
            "http://collector:4317",
            "https://127.0.0.1:4317",
            "ftp://127.0.0.1",
            "http://me@127.0.0.1",
            "http://127.0.0.1/?a=b",
            "http://127.0.0.1:0",
            "http://127.0.0.1:",
            "http://127.0.0.1/v1",
            "http://",
            "",
        ] {
            assert!(Endpoint::parse(url, Protocol::Grpc).is_err(), "{url}");
        }
    }
}
