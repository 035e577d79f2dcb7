//! OTLP over HTTP/1.1, in protobuf.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, RETRY_AFTER, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use prost::Message as _;
use tokio::net::TcpStream;
use tonic_types::pb;

use super::{Failure, LONGEST_ANSWER, Signal, Verdict, causes};
use crate::export::otlp::Endpoint;

const PROTOBUF: &str = "application/x-protobuf";
const AGENT: &str = concat!("memwatch/", env!("CARGO_PKG_VERSION"));

#[derive(Debug)]
pub(super) struct Http(SendRequest<Full<Bytes>>);

impl Http {
    pub(super) async fn open(stream: TokioIo<TcpStream>) -> Result<Self, Failure> {
        let (sender, connection) =
            handshake(stream).await.map_err(|error| Failure::broken(causes(&error)))?;
        // It ends with the other half, and what broke it is told there.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self(sender))
    }

    pub(super) async fn call<S: Signal>(
        &mut self,
        endpoint: &Endpoint,
        request: &S,
    ) -> Result<Verdict, Failure> {
        let broken = |cause: String| Failure::broken(format_args!("no answer of {endpoint}: {cause}"));
        let request = Request::post(format!("{}{}", endpoint.path, S::PATH))
            .header(HOST, endpoint.address.to_string())
            .header(CONTENT_TYPE, PROTOBUF)
            .header(USER_AGENT, AGENT)
            .body(Full::new(Bytes::from(request.encode_to_vec())))
            .map_err(|error| broken(causes(&error)))?;
        self.0.ready().await.map_err(|error| broken(causes(&error)))?;
        let answer = self.0.send_request(request).await.map_err(|error| broken(causes(&error)))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LONGEST_ANSWER).collect().await;
        let body = body.map_err(|error| broken(causes(error.as_ref())))?.to_bytes();
        verdict::<S>(endpoint, head.status, &head.headers, &body)
    }
}

fn verdict<S: Signal>(
    endpoint: &Endpoint,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Verdict, Failure> {
    if status.is_success() {
        return S::Answer::decode(body).map(S::verdict).map_err(|_| {
            Failure::broken(format_args!(
                "{endpoint} answers with something else than OTLP; name the address of a receiver"
            ))
        });
    }
    let said = pb::Status::decode(body).map(|status| status.message).unwrap_or_default();
    let words = format!("{endpoint} answers {status}: {said}");
    let words = words.trim_end_matches(": ").to_owned();
    let is_passing = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    if !is_passing {
        return Err(Failure::Never(words));
    }
    let wait = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Err(Failure::Later(words, wait.map(Duration::from_secs)))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
    };

    use super::*;
    use crate::export::otlp::Protocol;

    fn answer(status: u16, retry: Option<&str>, body: &[u8]) -> Result<Verdict, Failure> {
        let endpoint = Endpoint::parse("http://127.0.0.1", Protocol::Http).expect("an endpoint");
        let headers = retry.map(|retry| (RETRY_AFTER, retry.parse().expect("a header")));
        let status = StatusCode::from_u16(status).expect("a status");
        verdict::<ExportLogsServiceRequest>(&endpoint, status, &headers.into_iter().collect(), body)
    }

    #[test]
    fn what_is_taken_in_part_is_counted() {
        assert_eq!(answer(200, None, b"").expect("taken"), Verdict::default());
        let part = ExportLogsPartialSuccess { rejected_log_records: 3, error_message: "too old".to_owned() };
        let body = ExportLogsServiceResponse { partial_success: Some(part) }.encode_to_vec();
        let expected = Verdict { refused: 3, message: "too old".to_owned() };
        assert_eq!(answer(200, None, &body).expect("taken"), expected);
        assert!(matches!(answer(200, None, b"<html>"), Err(Failure::Broken(_))));
    }

    #[test]
    fn statuses_say_whether_to_send_again() {
        assert!(matches!(answer(503, None, b""), Err(Failure::Later(_, None))));
        assert!(matches!(
            answer(503, Some("Wed, 21 Oct 2026 07:28:00 GMT"), b""),
            Err(Failure::Later(_, None))
        ));
        let wait = Duration::from_secs(7);
        assert!(matches!(answer(429, Some("7"), b""), Err(Failure::Later(_, Some(asked))) if asked == wait));
        let body =
            pb::Status { message: "no such tenant".to_owned(), ..pb::Status::default() }.encode_to_vec();
        let Err(Failure::Never(words)) = answer(400, None, &body) else { panic!("to be sent again") };
        assert!(words.ends_with("answers 400 Bad Request: no such tenant"), "{words}");
    }
}
