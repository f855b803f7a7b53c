//! The outermost layer: the host of a request, its id, panics, and the headers of every answer.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use tinpot_core::observer::Observer;
use tinpot_core::{ExecutionId, Sampling};

use crate::config::HttpConfig;
use crate::error::ApiError;
use crate::gate::{self, Gate};
use crate::hosts::Hosts;
use crate::measured::Asked;
use crate::proxies::Proxies;
use crate::{cors, csrf, unread_body};

/// The header with the id of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id of a client that is logged.
const CLIENT_ID_BYTES: usize = 64;
/// The headers of every answer that does not set them itself. Data is never a page, a frame or a file
/// that another site can load.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// The header that keeps pages of other sites from holding a window of ours.
const OPENERS: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const PROTOCOL: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The id of a request, which its answer has in a header.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// The state of the layer.
#[derive(Debug)]
pub(crate) struct Front {
    hosts: Hosts,
    proxies: Proxies,
    /// The origins whose pages may read answers.
    cors: Vec<String>,
    /// The origins whose pages may change something, those of `cors` included.
    origins: Vec<String>,
    gate: Arc<Gate>,
    observer: Option<Arc<dyn Observer>>,
    traces: Option<Sampling>,
    /// The first part of every id, which differs between starts.
    start: String,
    requests: AtomicU64,
}

impl Front {
    pub(crate) fn new(config: &HttpConfig, gate: Arc<Gate>) -> Self {
        // The end of a random id: its beginning is the time.
        let start: String = ExecutionId::generate().to_string().chars().rev().take(8).collect();
        Self {
            hosts: Hosts::new(config.hosts.clone()),
            proxies: Proxies::new(config.proxies.clone(), config.public_url.clone()),
            cors: config.cors_origins.clone(),
            origins: config.allow_origins.iter().chain(&config.cors_origins).cloned().collect(),
            gate,
            observer: config.observer.clone(),
            traces: config.traces,
            start,
            requests: AtomicU64::new(0),
        }
    }

    fn next_id(&self) -> HeaderValue {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        // Hexadecimal digits and a hyphen, so this never fails.
        HeaderValue::try_from(format!("{}-{number:x}", self.start))
            .unwrap_or(HeaderValue::from_static("0"))
    }
}

/// Answers requests to hosts that are not allowed, before anything of them is read, and gives every
/// answer its id and its headers.
pub(crate) async fn layer(
    State(front): State<Arc<Front>>,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = front.observer.as_ref();
    let asked = asked.map(|observer| Asked::of(observer, front.traces, &mut request));
    let client_id = request.headers_mut().remove(REQUEST_ID);
    let id = front.next_id();
    front.proxies.settle(&mut request);
    let is_trustworthy = is_trustworthy(request.headers());
    let mut response = if front.hosts.admit(request.uri(), request.headers()) {
        handled(&front, request, next, &id, client_id.as_ref()).await
    } else {
        // No more: the client may be a page of another site.
        ApiError::new(StatusCode::MISDIRECTED_REQUEST, "misdirected request").into_response()
    };
    let headers = response.headers_mut();
    headers.reserve(HEADERS.len() + 2);
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if is_trustworthy {
        headers.insert(OPENERS, HeaderValue::from_static("same-origin"));
    }
    headers.insert(REQUEST_ID, id);
    if let Some(asked) = asked {
        asked.answered(&response);
    }
    response
}

/// Returns true if browsers trust the origin: a loopback name, or HTTPS in front of a proxy. They
/// ignore the policy of openers elsewhere, and complain about it.
fn is_trustworthy(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(host) = text(&header::HOST) else { return false };
    let name = host.rfind(':').filter(|colon| !host[*colon..].contains(']'));
    let name = name.map_or(host, |colon| &host[..colon]);
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    let last = name.rsplit('.').next().unwrap_or_default();
    text(&PROTOCOL) == Some("https")
        || last.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.is_loopback())
}

/// Runs the rest. A bug in one request, or in a store of the host's, is answered in the API's own form
/// and ends nothing else.
async fn handled(
    front: &Front,
    mut request: Request,
    next: Next,
    id: &HeaderValue,
    client_id: Option<&HeaderValue>,
) -> Response {
    request.extensions_mut().insert(RequestId(id.clone()));
    let uri = request.uri().clone();
    let client_id = client_id.and_then(printable);
    let answer = cors::allow(&front.cors, request, |request| {
        unread_body::read_on(request, |request| {
            csrf::guard(&front.origins, request, |request| {
                gate::authenticate(&front.gate, request, |request| next.run(request))
            })
        })
    });
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(response) => {
            if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::error!(request_id = ?id, client_id, path = uri.path(), "request answered with 500");
            }
            response
        }
        Err(panic) => {
            let message = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            tracing::error!(request_id = ?id, client_id, path = uri.path(), message, "a request panicked");
            let detail =
                "internal error, which the server logged; the request may have had an effect";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
        }
    }
}

/// Returns an id that may stand in a log line.
fn printable(id: &HeaderValue) -> Option<&str> {
    id.to_str().ok().filter(|id| id.len() <= CLIENT_ID_BYTES)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};

    use super::{PROTOCOL, is_trustworthy};

    #[test]
    fn loopback_names_and_https_are_trustworthy() {
        let headers = |host: &str, protocol: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_str(host).expect("a host"));
            headers.insert(PROTOCOL, HeaderValue::from_str(protocol).expect("a protocol"));
            is_trustworthy(&headers)
        };
        for host in
            ["localhost", "LOCALHOST:80", "a.localhost:1", "127.0.0.2:8000", "[::1]:8000", "[::1]"]
        {
            assert!(headers(host, "http"), "{host}");
        }
        for host in ["example.org", "localhost.example.org", "192.0.2.1:80", "[2001:db8::1]:80"] {
            assert!(!headers(host, "http") && headers(host, "https"), "{host}");
        }
    }
}
