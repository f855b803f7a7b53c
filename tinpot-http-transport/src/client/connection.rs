//! Connections to a server, and the requests on them.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, LOCATION};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tinpot_core::{Error, ErrorKind, Json, Result, WorkerId};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::ServerUrl;
use crate::record::WORKER_HEADER;

/// The time for TCP and TLS.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// The part of a refusal that is shown.
const REASON_BYTES: usize = 1024;

/// A task that ends with its owner.
#[derive(Debug)]
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) fn unavailable(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

/// The server, and the headers of every request.
pub(super) struct Server {
    url: ServerUrl,
    tls: Option<Arc<ClientConfig>>,
    host: HeaderValue,
    worker: Option<HeaderValue>,
    login: Option<HeaderValue>,
}

impl Server {
    pub(super) fn new(
        url: ServerUrl,
        tls: Option<Arc<ClientConfig>>,
        worker: Option<&WorkerId>,
        login: Option<(String, String)>,
    ) -> Self {
        // The authority of a URL, an id and base64 have no bytes that a header cannot have.
        let header = |text: &str| {
            HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
        };
        let login = login.map(|(user, password)| {
            let encoded = STANDARD.encode(format!("{user}:{password}"));
            let mut value = header(&format!("Basic {encoded}"));
            value.set_sensitive(true);
            value
        });
        let host = header(url.authority());
        let worker = worker.map(|worker| header(worker.as_str()));
        Self { url, tls, host, worker, login }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        // The base is part of a URL that was parsed, and the rest is written here.
        *request.uri_mut() = self.url.path(path).parse().unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        if let Some(worker) = &self.worker {
            headers.insert(WORKER_HEADER, worker.clone());
        }
        if let Some(login) = &self.login {
            headers.insert(AUTHORIZATION, login.clone());
        }
        request
    }

    /// Opens a connection.
    pub(super) async fn connect(&self) -> Result<HttpConnection> {
        match timeout(CONNECT_PATIENCE, self.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(unavailable(format!("no answer within {CONNECT_PATIENCE:?}"))),
        }
    }

    async fn open(&self) -> Result<HttpConnection> {
        let (host, port) = (self.url.host(), self.url.port());
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.map_err(|e| unavailable(format!("{host}:{port}: {e}")))?;
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return HttpConnection::over(stream).await;
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|e| unavailable(format!("{host} is no name for TLS: {e}")))?;
        let stream = TlsConnector::from(tls.clone()).connect(name, stream).await;
        HttpConnection::over(stream.map_err(|e| unavailable(format!("TLS with {host}: {e}")))?)
            .await
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("url", &self.url).finish_non_exhaustive()
    }
}

/// A connection, for one request after the other. Dropping it closes it.
#[derive(Debug)]
pub(super) struct HttpConnection {
    requests: SendRequest<Full<Bytes>>,
    _task: Task,
}

impl HttpConnection {
    async fn over<S>(stream: S) -> Result<Self>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let failed = |error: hyper::Error| unavailable(reason(&error));
        let (requests, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let task = Task::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the server broke");
            }
        });
        Ok(Self { requests, _task: task })
    }
}

/// Requests to one server on a connection that is opened again when the server has closed it.
#[derive(Debug)]
pub(super) struct Requests {
    server: Arc<Server>,
    connection: Option<HttpConnection>,
}

impl Requests {
    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server, connection: None }
    }

    /// Opens the connection, if there is none.
    pub(super) async fn open(&mut self) -> Result<&mut HttpConnection> {
        let is_usable = match &mut self.connection {
            // Servers close connections that were idle, or that had many requests.
            Some(connection) => connection.requests.ready().await.is_ok(),
            None => false,
        };
        if !is_usable {
            self.connection = None;
        }
        match &mut self.connection {
            Some(connection) => Ok(connection),
            empty => Ok(empty.insert(self.server.connect().await?)),
        }
    }

    /// Sends a request, and returns its answer if that is a good one.
    pub(super) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        let answer = self.send_with(method, path, HeaderMap::new(), body).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(unavailable(refusal(answer).await))
    }

    /// Sends a request with more headers, and returns its answer, whatever that is.
    pub(super) async fn send_with(
        &mut self,
        method: Method,
        path: &str,
        more: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>> {
        let server = self.server.clone();
        let mut request = server.request(method, path, body);
        request.headers_mut().extend(more);
        let mut sent = self.open().await?.requests.try_send_request(request).await;
        // A request that was not sent at all is sent again: the server closed the connection just
        // now.
        if let Err(error) = &mut sent
            && let Some(request) = error.take_message()
        {
            self.connection = None;
            sent = self.open().await?.requests.try_send_request(request).await;
        }
        sent.map_err(|error| {
            self.connection = None;
            unavailable(reason(error.error()))
        })
    }
}

/// Returns the reason of an answer that is a refusal.
pub(super) async fn refusal(answer: Response<Incoming>) -> String {
    let status = answer.status();
    if let Some(to) = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()) {
        return format!("the server redirects to {to}: use that URL");
    }
    let body = Limited::new(answer.into_body(), REASON_BYTES).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let text = match detail(&body) {
        Some(detail) => detail,
        None => String::from_utf8_lossy(&body).into_owned(),
    };
    let is_plain = !text.is_empty() && !text.trim_start().starts_with(['<', '{']);
    match status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            format!("the server answers {status}: it takes no workers at this URL")
        }
        _ if is_plain => format!("the server answers {status}: {text}"),
        _ => format!("the server answers {status}"),
    }
}

/// Returns the text for people of a problem of the API.
fn detail(body: &[u8]) -> Option<String> {
    let problem = Json::parse(std::str::from_utf8(body).ok()?).ok()?;
    let problem: HashMap<String, Json> = problem.deserialize().ok()?;
    problem.get("detail")?.deserialize().ok()
}

/// Returns an error with its causes.
pub(super) fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
