//! The requests of clients.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream;
use tinpot_core::transport::Lane;
use tinpot_core::{Error, ErrorKind, WorkerId};
use tokio::time::timeout;

use super::admission::{Login, Peer};
use super::hub::Hub;
use super::session::{Reader, Session};
use crate::record::{ALIVE, WORKER_HEADER};

/// The time that a request for one answer waits for a frame: less than proxies wait.
const POLL: Duration = Duration::from_secs(15);
/// The bytes that such an answer may have beyond its first frame.
const POLL_BYTES: usize = 1024 * 1024;
/// The time that a client may pause within a body.
const BODY_PAUSE: Duration = Duration::from_secs(20);
/// The length of a link's id.
const ID_LENGTH: usize = 32;
/// The longest header with a login.
const LOGIN_BYTES: usize = 1024;

pub(super) fn router(hub: Arc<Hub>) -> Router {
    Lane::ALL.into_iter().fold(Router::new(), |router, lane| {
        let (read, write) = (hub.clone(), hub.clone());
        let route = get(async move |request: Request| {
            answered(down(&read, lane, &request.into_parts().0).await)
        })
        .post(async move |request: Request| answered(up(&write, lane, request).await));
        let path = match lane {
            Lane::Control => "/api/link/control",
            Lane::Logs => "/api/link/logs",
        };
        router.route(path, route)
    })
}

/// A refusal: the status and the reason, for people.
struct Refusal(StatusCode, String);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Forbidden => StatusCode::FORBIDDEN,
            ErrorKind::Overloaded | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self(status, error.to_string())
    }
}

fn answered(result: std::result::Result<Response, Refusal>) -> Response {
    let mut response = match result {
        Ok(response) => response,
        Err(Refusal(status, reason)) => (status, reason).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // nginx holds answers back otherwise.
    let name = HeaderName::from_static("x-accel-buffering");
    headers.insert(name, HeaderValue::from_static("no"));
    response
}

/// A client that was admitted, and the link that it names.
struct Client {
    worker: WorkerId,
    login: Option<Login>,
    peer: Peer,
    id: String,
}

impl Client {
    fn of(hub: &Hub, request: &Parts) -> std::result::Result<Self, Refusal> {
        let bad = |message: &str| Refusal(StatusCode::BAD_REQUEST, message.to_owned());
        let headers = &request.headers;
        let worker = headers.get(WORKER_HEADER).and_then(|value| value.to_str().ok());
        let worker = worker.ok_or_else(|| bad("the header tinpot-worker must name the worker"))?;
        let worker = WorkerId::new(worker)?;
        let login = login(headers);
        let peer = hub.admission.admit(login.as_ref(), &worker).map_err(|error| {
            let status = match login {
                None => StatusCode::UNAUTHORIZED,
                Some(_) => StatusCode::FORBIDDEN,
            };
            Refusal(status, error.to_string())
        })?;
        let id = query(request, "session").unwrap_or_default();
        if id.len() != ID_LENGTH || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(bad("session must be 32 hexadecimal digits"));
        }
        Ok(Self { worker, login, peer, id: id.to_owned() })
    }

    /// Returns the link of this client; `None` if there is none.
    fn session(&self, hub: &Hub, lane: Lane) -> std::result::Result<Option<Arc<Session>>, Refusal> {
        match hub.session(lane, &self.id) {
            Some(session) if session.worker != self.worker || session.peer != self.peer => {
                let message = "this link belongs to another worker";
                Err(Refusal(StatusCode::FORBIDDEN, message.to_owned()))
            }
            session => Ok(session),
        }
    }
}

fn login(headers: &HeaderMap) -> Option<Login> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let encoded = text.strip_prefix("Basic ").filter(|text| text.len() <= LOGIN_BYTES)?;
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some(Login::new(user, password))
}

fn query<'a>(request: &'a Parts, name: &str) -> Option<&'a str> {
    let pairs = request.uri.query()?.split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, v)| v)
}

/// Sends frames to a client.
async fn down(
    hub: &Arc<Hub>,
    lane: Lane,
    request: &Parts,
) -> std::result::Result<Response, Refusal> {
    let client = Client::of(hub, request)?;
    let session = match client.session(hub, lane)? {
        Some(session) => session,
        None => hub.open(lane, &client.id, client.worker, client.login, client.peer)?,
    };
    let reader = session.reader().ok_or_else(|| {
        let message = "another request reads from this link".to_owned();
        Refusal(StatusCode::CONFLICT, message)
    })?;
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))];
    if query(request, "once").is_some() {
        // The first request of a link only opens it.
        let answer = match query(request, "open") {
            Some(_) => Bytes::from_static(ALIVE),
            None => once(&reader).await?,
        };
        return Ok((kind, Body::from(answer)).into_response());
    }
    let ending = Ending { hub: hub.clone(), reader };
    // At once, so that the client sees whether a proxy holds the answer back.
    let first = stream::once(async { Ok(Bytes::from_static(ALIVE)) });
    let rest = stream::unfold(ending, async |ending| {
        let chunk = ending.reader.0.outbox.next().await?;
        Some((Ok::<_, std::convert::Infallible>(chunk), ending))
    });
    Ok((kind, Body::from_stream(first.chain(rest))).into_response())
}

/// Ends the link with the answer that it is read by.
struct Ending {
    hub: Arc<Hub>,
    reader: Reader,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.hub.end(&self.reader.0);
    }
}

/// Returns what waits, or what comes within some seconds.
async fn once(reader: &Reader) -> std::result::Result<Bytes, Refusal> {
    let outbox = &reader.0.outbox;
    let first = match timeout(POLL, outbox.next()).await {
        Ok(Some(first)) => first,
        Ok(None) => return Err(gone()),
        Err(_) => return Ok(Bytes::from_static(ALIVE)),
    };
    let mut body = BytesMut::from(&*first);
    while body.len() < POLL_BYTES
        && let Some(more) = outbox.try_next()
    {
        body.extend_from_slice(&more);
    }
    Ok(body.freeze())
}

fn gone() -> Refusal {
    Refusal(StatusCode::GONE, "there is no such link: open one with GET first".to_owned())
}

/// Takes records from a client.
async fn up(
    hub: &Arc<Hub>,
    lane: Lane,
    request: Request,
) -> std::result::Result<Response, Refusal> {
    let (request, body) = request.into_parts();
    let client = Client::of(hub, &request)?;
    let session = client.session(hub, lane)?.ok_or_else(gone)?;
    let number = query(&request, "n").and_then(|text| text.parse::<u64>().ok());
    let number = number.ok_or_else(|| {
        Refusal(StatusCode::BAD_REQUEST, "n must be the number of the request".to_owned())
    })?;
    let mut upstream = session.upstream.try_lock().map_err(|_| {
        let message = "another request sends on this link".to_owned();
        Refusal(StatusCode::CONFLICT, message)
    })?;
    if session.outbox.is_closed() {
        return Err(gone());
    }
    session.heard();
    if number < upstream.next {
        // A proxy repeated the request.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    if number > upstream.next {
        let message = format!("request {} is missing", upstream.next);
        hub.end(&session);
        return Err(Refusal(StatusCode::CONFLICT, message));
    }
    // From here on, a request that is cut or refused ends the link: part of it was taken.
    let unless_whole = EndUnlessWhole { hub, session: Some(session.clone()) };
    let mut body = body.into_data_stream();
    while let Some(piece) = timeout(BODY_PAUSE, body.next()).await.map_err(|_| slow())? {
        let piece = piece.map_err(|error| {
            Refusal(StatusCode::BAD_REQUEST, format!("the body was cut: {error}"))
        })?;
        upstream.decoder.push(&piece);
        while let Some(record) = upstream.decoder.next().map_err(malformed)? {
            hub.take(&session, record)?;
        }
    }
    upstream.next += 1;
    unless_whole.spare();
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn slow() -> Refusal {
    Refusal(StatusCode::REQUEST_TIMEOUT, format!("nothing was sent for {BODY_PAUSE:?}"))
}

fn malformed(why: crate::record::Malformed) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, why.to_string())
}

struct EndUnlessWhole<'a> {
    hub: &'a Hub,
    session: Option<Arc<Session>>,
}

impl EndUnlessWhole<'_> {
    fn spare(mut self) {
        self.session = None;
    }
}

impl Drop for EndUnlessWhole<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            self.hub.end(&session);
        }
    }
}
