//! The two servers, and what they answer.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message;
use tokio::task::JoinSet;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _, pb};
use tower::ServiceExt as _;

use super::{Mood, Protocol, REASON, Requests, State};

type Shared = Arc<Mutex<State>>;

/// Serves each that connects; all are cut off when this is dropped.
pub(super) async fn each(protocol: Protocol, listener: TcpListener, state: &Shared) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let mut peers = JoinSet::new();
    while let Ok((peer, _)) = listener.accept().await {
        let (peer, state) = (TokioIo::new(peer), Arc::clone(state));
        match protocol {
            Protocol::Grpc => peers.spawn(async move {
                let service = service_fn(move |request| grpc(Arc::clone(&state), request));
                // A peer that goes away is none of its worries.
                let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(peer, service).await;
            }),
            Protocol::Http => peers.spawn(async move {
                let service = service_fn(move |request| http(Arc::clone(&state), request));
                let _ = http1::Builder::new().serve_connection(peer, service).await;
            }),
        };
    }
}

/// What is answered; `None`: nothing, ever.
enum Answer<T> {
    Taken(T),
    Refused,
    Busy,
    Stalled,
}

/// A kind of request, and the answer to it.
trait Signal: Message + Default + Clone {
    type Answer: Message + Default;

    /// Puts it where a test finds it.
    fn keep(self, requests: &mut Requests);

    /// Says that one of its items was refused.
    fn in_part() -> Self::Answer;
}

impl Signal for ExportLogsServiceRequest {
    type Answer = ExportLogsServiceResponse;

    fn keep(self, requests: &mut Requests) {
        requests.logs.push(self);
    }

    fn in_part() -> Self::Answer {
        let part = ExportLogsPartialSuccess { rejected_log_records: 1, error_message: REASON.to_owned() };
        ExportLogsServiceResponse { partial_success: Some(part) }
    }
}

impl Signal for ExportMetricsServiceRequest {
    type Answer = ExportMetricsServiceResponse;

    fn keep(self, requests: &mut Requests) {
        requests.metrics.push(self);
    }

    fn in_part() -> Self::Answer {
        let part = ExportMetricsPartialSuccess { rejected_data_points: 1, error_message: REASON.to_owned() };
        ExportMetricsServiceResponse { partial_success: Some(part) }
    }
}

fn judge<S: Signal>(state: &Shared, request: S) -> Answer<S::Answer> {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.asked += 1;
    match state.mood {
        Mood::Take => {
            request.keep(&mut state.taken);
            Answer::Taken(S::Answer::default())
        }
        Mood::TakePart => {
            request.keep(&mut state.taken);
            Answer::Taken(S::in_part())
        }
        Mood::Refuse => {
            request.keep(&mut state.refused);
            Answer::Refused
        }
        Mood::Busy => Answer::Busy,
        Mood::Stall => Answer::Stalled,
    }
}

/// The services of gRPC.
#[derive(Clone)]
struct Services(Shared);

impl Services {
    async fn answer<S: Signal>(&self, request: S) -> Result<tonic::Response<S::Answer>, Status> {
        match judge(&self.0, request) {
            Answer::Taken(answer) => Ok(tonic::Response::new(answer)),
            Answer::Refused => Err(Status::invalid_argument(REASON)),
            Answer::Busy => {
                let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(1)));
                Err(Status::with_error_details(Code::ResourceExhausted, REASON, details))
            }
            Answer::Stalled => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl LogsService for Services {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        self.answer(request.into_inner()).await
    }
}

#[tonic::async_trait]
impl MetricsService for Services {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        self.answer(request.into_inner()).await
    }
}

async fn grpc(state: Shared, request: Request<Incoming>) -> Result<Response<tonic::body::Body>, Infallible> {
    let services = Services(state);
    if request.uri().path().starts_with("/opentelemetry.proto.collector.metrics") {
        MetricsServiceServer::new(services).oneshot(request).await
    } else {
        LogsServiceServer::new(services).oneshot(request).await
    }
}

async fn http(state: Shared, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let is_protobuf = head.headers.get(CONTENT_TYPE).is_some_and(|it| it == "application/x-protobuf");
    let plain = |status| {
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        Ok(response)
    };
    match head.uri.path() {
        _ if head.method != hyper::Method::POST => plain(StatusCode::METHOD_NOT_ALLOWED),
        _ if !is_protobuf => plain(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        "/v1/logs" => Ok(written::<ExportLogsServiceRequest>(&state, body).await),
        "/v1/metrics" => Ok(written::<ExportMetricsServiceRequest>(&state, body).await),
        _ => plain(StatusCode::NOT_FOUND),
    }
}

async fn written<S: Signal>(state: &Shared, body: Bytes) -> Response<Full<Bytes>> {
    let answer = S::decode(body).map_or(Answer::Refused, |request| judge(state, request));
    let status = || pb::Status { message: REASON.to_owned(), ..pb::Status::default() }.encode_to_vec();
    let (code, body) = match answer {
        Answer::Taken(answer) => (StatusCode::OK, answer.encode_to_vec()),
        Answer::Refused => (StatusCode::BAD_REQUEST, status()),
        Answer::Busy => (StatusCode::SERVICE_UNAVAILABLE, status()),
        Answer::Stalled => std::future::pending().await,
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static("application/x-protobuf"));
    if code == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, 1.into());
    }
    response
}
