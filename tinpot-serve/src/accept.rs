//! The loop that accepts connections, and the task of each.
//!
//! Not `axum::serve`: it waits for clients without an end, and takes every file that the process may
//! open.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::STRICT_TRANSPORT_SECURITY;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tinpot_http::{OverTls, PeerAddress};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tower::Service;

use crate::ConnectionLimits;
use crate::activity::{Activity, Arriving, Leaving, Noted};
use crate::limits::Places;
use crate::tls::{Stream, Tls};

/// The wait after an error of the listener: most are shortages that end.
const SHORTAGE: Duration = Duration::from_millis(100);
/// The time between two log lines about clients that are sent away.
const QUIET: Duration = Duration::from_secs(60);

/// Serves `app` until `end` resolves, then answers the open requests.
pub(super) async fn run(
    listener: TcpListener,
    app: Router,
    limits: ConnectionLimits,
    tls: Option<Arc<Tls>>,
    end: impl Future<Output = ()>,
) {
    let _fresh = tls.clone().map(|tls| AbortOnDrop(tokio::spawn(tls.keep_fresh())));
    let places = Places::new(&limits);
    let limits = Arc::new(limits);
    // The receivers of `ending` are the connections, which drop them when they are closed.
    let (ending, receiver) = watch::channel(false);
    drop(receiver);
    let mut refusals = Refusals::default();
    let mut end = pin!(end);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_client(&error) => continue,
            Err(error) => {
                refusals.log(&format!("cannot accept connections: {error}"));
                tokio::time::sleep(SHORTAGE).await;
                continue;
            }
        };
        let activity = Activity::new();
        match places.take(peer.ip(), &activity) {
            Ok(place) => {
                let acceptor = tls.as_ref().map(|tls| tls.acceptor());
                let (app, limits, ending) = (app.clone(), limits.clone(), ending.subscribe());
                tokio::spawn(async move {
                    let stream = tokio::select! {
                        stream = shake_hands(stream, acceptor, &limits) => stream,
                        () = activity.given_up() => None,
                    };
                    if let Some(stream) = stream {
                        serve((stream, peer), activity, app, limits, ending).await;
                    }
                    drop(place);
                });
            }
            Err(why) => refusals.log(&format!("closed a connection from {}: {why}", peer.ip())),
        }
    }
    drop(listener);
    ending.send_replace(true);
    ending.closed().await;
}

/// Returns true if an error of the listener is about one client, which is gone.
fn is_of_client(error: &std::io::Error) -> bool {
    let gone = [
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionAborted,
        ErrorKind::ConnectionReset,
        ErrorKind::Interrupted,
    ];
    gone.contains(&error.kind())
}

/// Returns the stream of a connection; `None` if TLS could not be agreed on in time.
async fn shake_hands(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    limits: &ConnectionLimits,
) -> Option<Stream> {
    // With Nagle's algorithm, the second event of a stream waits for the client's delayed
    // acknowledgement: a run of a no-op took either 7 or 50 ms (November 2026).
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else { return Some(Stream::Plain(stream)) };
    match tokio::time::timeout(limits.head, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(Stream::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::debug!("closed a connection: no TLS: {error}");
            None
        }
        Err(_) => {
            tracing::debug!("closed a connection: TLS handshake is incomplete");
            None
        }
    }
}

/// Marks a request that came by HTTPS, as a proxy does. What the client says of that is replaced.
fn mark_secure(request: &mut hyper::Request<Body>) {
    request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
    request.extensions_mut().insert(OverTls);
}

/// Answers the requests of one connection, until either side closes it or a time is over.
async fn serve(
    (stream, peer): (Stream, SocketAddr),
    activity: Arc<Activity>,
    app: Router,
    limits: Arc<ConnectionLimits>,
    mut ending: watch::Receiver<bool>,
) {
    let is_secure = matches!(stream, Stream::Tls(_));
    let certificate = stream.client_certificate();
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let in_progress = activity.request();
        let mut request = request.map(|body| Body::new(Arriving::new(body, limits.body)));
        request.extensions_mut().insert(PeerAddress(peer));
        if let Some(certificate) = &certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        if is_secure {
            mark_secure(&mut request);
        }
        let answering = app.clone().call(request);
        async move {
            let mut answer = answering.await.unwrap_or_else(|never: Infallible| match never {});
            if is_secure {
                // Two years: browsers use no plain HTTP for this host any more.
                let always = HeaderValue::from_static("max-age=63072000");
                answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, always);
            }
            Ok::<_, Infallible>(answer.map(|body| Leaving { body, _request: in_progress }))
        }
    });
    let io = Noted::new(TokioIo::new(stream), activity.clone());
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            // The times are those of `Activity`, which knows idle connections.
            .header_read_timeout(None)
            .max_header_size(limits.head_bytes)
            .serve_connection(io, service)
    );
    let mut ended = pin!(async {
        // The server may be gone, too.
        let _ = ending.wait_for(|ending| *ending).await;
    });
    let mut given_up = pin!(activity.given_up());
    let mut is_given_up = false;
    let mut is_ending = false;
    let mut timer: Option<Pin<Box<tokio::time::Sleep>>> = None;
    poll_fn(|cx| {
        if !is_ending && ended.as_mut().poll(cx).is_ready() {
            is_ending = true;
            connection.as_mut().graceful_shutdown();
        }
        if !is_given_up && given_up.as_mut().poll(cx).is_ready() {
            is_given_up = true;
            if activity.is_waiting() {
                tracing::debug!("closed a connection: others need its place");
                return Poll::Ready(());
            }
            // A request has just arrived.
            connection.as_mut().graceful_shutdown();
        }
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let Some((deadline, late)) = activity.deadline(&limits) else {
                return Poll::Pending;
            };
            let timer =
                timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
            // A timer that is early wakes this task once for nothing, which is cheaper than to set
            // it again for each request.
            if timer.deadline().into_std() > deadline {
                timer.as_mut().reset(deadline.into());
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= deadline {
                tracing::debug!("closed a connection: {late}");
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline.into());
        }
    })
    .await;
}

/// A task that ends with its owner.
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The log lines about clients that are sent away: one at a time.
#[derive(Debug, Default)]
struct Refusals {
    logged: Option<Instant>,
    more: u64,
}

impl Refusals {
    fn log(&mut self, message: &str) {
        if self.logged.is_some_and(|logged| logged.elapsed() < QUIET) {
            self.more += 1;
            return;
        }
        self.logged = Some(Instant::now());
        let more = std::mem::take(&mut self.more);
        tracing::warn!(more, "{message}");
    }
}
