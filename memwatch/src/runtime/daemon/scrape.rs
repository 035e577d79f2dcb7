//! The HTTP server of `/metrics`, on a thread of its own: it asks the loop how things stand, and writes that down by itself.
//!
//! Peers are bounded in number and time, and the loop is asked once a second at most: who asks more often gets the same answer.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Registry, TEXT_FORMAT};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::export::metrics::{self, State};

/// Peers at the same time; others are turned away.
const PEERS: usize = 16;
/// How long a peer may stay, and take for its question.
const STAY: Duration = Duration::from_secs(60);
const HEADER: Duration = Duration::from_secs(5);
/// Time in which an answer stays as it is.
const FRESH: Duration = Duration::from_secs(1);
/// Pause when no descriptor is left for a peer.
const PAUSE: Duration = Duration::from_millis(100);

/// What the thread hands the loop: where to tell how things stand.
pub(super) type Question = oneshot::Sender<State>;

/// The loop's end. The server ends with it.
#[derive(Debug)]
pub(super) struct Scrapes {
    _alive: oneshot::Sender<Infallible>,
}

impl Scrapes {
    /// Begins to listen; the loop is asked there.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub(super) fn open(
        address: SocketAddr,
        asked: mpsc::Sender<Question>,
        counters: Registry,
    ) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (alive, ended) = oneshot::channel();
        let clerk = Arc::new(Clerk { asked, counters, last: Mutex::new(None) });
        std::thread::Builder::new().name("memwatch-metrics".into()).spawn(move || {
            crate::sys::usual_priority();
            reactor.block_on(async {
                tokio::select! {
                    _ = ended => {}
                    () = take_each(listener, clerk) => {}
                }
            });
        })?;
        Ok(Self { _alive: alive })
    }
}

/// What those who serve the peers share.
struct Clerk {
    asked: mpsc::Sender<Question>,
    counters: Registry,
    /// The last answer, and when it was made.
    last: Mutex<Option<(Instant, Bytes)>>,
}

async fn take_each(listener: std::net::TcpListener, clerk: Arc<Clerk>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!("nobody can ask for metrics: {error}");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(PEERS));
    loop {
        let Ok((peer, _)) = listener.accept().await else {
            // No descriptor is left; later there may be one.
            sleep(PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let clerk = Arc::clone(&clerk);
        tokio::spawn(async move {
            let _place = place;
            if let Ok(Err(error)) = timeout(STAY, serve(peer, &clerk)).await {
                tracing::debug!("a peer that asked for metrics went: {error}");
            }
        });
    }
}

async fn serve(peer: TcpStream, clerk: &Clerk) -> hyper::Result<()> {
    let answer = service_fn(|request| async move { Ok::<_, Infallible>(clerk.answer(&request).await) });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .serve_connection(TokioIo::new(peer), answer)
        .await
}

impl Clerk {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() != "/metrics" {
            return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
        }
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let Some(text) = self.text().await else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "the daemon is about to end\n");
        };
        let mut response = Response::new(Full::new(text));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
        response
    }

    /// The metrics as they are, or were a moment ago.
    async fn text(&self) -> Option<Bytes> {
        let mut last = self.last.lock().await;
        if let Some((_, text)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Some(text.clone());
        }
        let (answer, answered) = oneshot::channel();
        self.asked.send(answer).await.ok()?;
        let state = answered.await.ok()?;
        let text = metrics::text(&self.counters, &state)
            .inspect_err(|error| tracing::warn!("metrics cannot be written down: {error}"))
            .ok()?;
        let text = Bytes::from(text);
        *last = Some((Instant::now(), text.clone()));
        Some(text)
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
}
