//! The end of a worker.

mod connect;
mod connection;
mod download;
mod join;
mod tls;
mod upload;
mod url;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use tinpot_core::transport::{Address, Channel, Lane, Received, Reconnecting};
use tinpot_core::{Error, ErrorKind, Link, Result, Transport, Watcher, WorkerId};

use self::connect::LinkConnect;
pub use self::download::Downloads;
pub use self::join::join;
pub(crate) use self::url::ServerUrl;

/// The namespace of [`Reconnecting`]: the beginning of its topics, which the wire leaves out.
const NAMESPACE: &str = "link";

/// A [`Transport`] of a worker that reaches its coordinator by HTTP or HTTPS.
///
/// It has a stream of frames down and one request at a time up, on each lane. It reconnects by
/// itself. A link whose peer has vanished shows as `Down` within 20 s. Where a proxy holds the
/// stream back, it polls instead. Dropping it ends the connections at once;
/// [`close`](Transport::close) first sends what was handed over.
///
/// It bounds what waits as [`Reconnecting`] does, and holds 1 MiB and one frame of requests per
/// lane. It has no address for those that join: [`join`] asks the server.
///
/// ```no_run
/// use tinpot_core::{Worker, WorkerId};
/// use tinpot_http_transport::HttpTransport;
///
/// # async fn example() -> tinpot_core::Result<()> {
/// let id = WorkerId::generate("web");
/// let transport = HttpTransport::builder("https://tinpot.example.org", &id)
///     .login("web", "the password")
///     .connect()
///     .await?;
/// let worker = Worker::builder(transport).id(id).start().await?;
/// # worker.shutdown(std::time::Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HttpTransport {
    id: WorkerId,
    link: Reconnecting<LinkConnect>,
}

/// Sets up an [`HttpTransport`]; made by [`HttpTransport::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing before `connect`"]
pub struct HttpTransportBuilder {
    url: String,
    id: WorkerId,
    login: Option<(String, String)>,
    ca: Option<Vec<u8>>,
    heartbeat: Duration,
    max_frame_bytes: usize,
}

impl HttpTransport {
    /// Returns a builder for a worker of this id and the server at `url`: `https://host/path` or
    /// `http://host:port`. Without TLS, others on the network can read the password.
    pub fn builder(url: impl Into<String>, id: &WorkerId) -> HttpTransportBuilder {
        HttpTransportBuilder {
            url: url.into(),
            id: id.clone(),
            login: None,
            ca: None,
            heartbeat: Duration::from_secs(10),
            max_frame_bytes: 16 * 1024 * 1024,
        }
    }
}

impl HttpTransportBuilder {
    /// Sets the user and the password of the worker.
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some((user.into(), password.into()));
        self
    }

    /// Trusts this CA certificate, or several, in PEM, and not those of the system.
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// Sets the interval at which a connection is checked; 10 s by default, which is also the
    /// longest that servers expect, and at least 100 ms.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// Sets the size of the largest frame, in bytes; 16 MiB by default, from 4 MiB to 64 MiB.
    pub fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.max_frame_bytes = bytes;
        self
    }

    /// Starts to connect, and waits until the link is up or the first attempt has failed, for at
    /// most 6 s.
    ///
    /// A failed attempt is no error: the transport goes on trying, and its
    /// [`status`](Transport::status) says why it is down. Must be called within a Tokio runtime
    /// with time and I/O enabled.
    ///
    /// # Errors
    /// `InvalidInput` for a URL or a certificate that cannot be used, and for a heartbeat or a size
    /// out of bounds.
    pub async fn connect(self) -> Result<HttpTransport> {
        let url = ServerUrl::parse(&self.url)?;
        let tls = match url.is_encrypted() {
            true => Some(Arc::new(tls::client_config(self.ca.as_deref())?)),
            false => None,
        };
        let connect = LinkConnect::new(url, tls, &self.id, self.login, self.max_frame_bytes);
        let link = Reconnecting::builder(connect)
            .namespace(NAMESPACE)
            .heartbeat(self.heartbeat)
            .max_frame_bytes(self.max_frame_bytes);
        Ok(HttpTransport { id: self.id, link: link.connect().await? })
    }
}

impl fmt::Debug for HttpTransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the login. The URL has none.
        f.debug_struct("HttpTransportBuilder")
            .field("url", &self.url)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

fn check(address: &Address) -> Result<()> {
    match address {
        Address::Joins | Address::Joiner(_) => {
            let message = format!("there is no {address} on a link over HTTP");
            Err(Error::new(ErrorKind::InvalidInput, message))
        }
        _ => Ok(()),
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, to: &Address, lane: Lane, frame: Bytes) -> Result<()> {
        check(to)?;
        self.link.send(to, lane, frame).await
    }

    async fn listen(&self, at: &Address, lane: Lane) -> Result<BoxStream<'static, Received>> {
        check(at)?;
        self.link.listen(at, lane).await
    }

    fn speaks_for(&self) -> Channel {
        Channel::of(&Address::Worker(self.id.clone()))
    }

    fn status(&self) -> Watcher<Link> {
        self.link.status()
    }

    async fn close(&self) {
        self.link.close().await;
    }
}
