//! What a host may choose.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

/// How the API behaves; the defaults suit a server for people and programs alike.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpConfig {
    /// The largest request body, in bytes; larger ones are refused with 413. 1 MiB.
    pub max_body_bytes: usize,
    /// How long a stream may be silent before a comment says that it lives; zero for never. 15 s, which is less than what proxies allow.
    pub heartbeat: Duration,
    /// Whether the web UI is served beside the API, when this crate has its feature `ui`. Yes.
    pub ui: bool,
    /// The origins of pages that may show `/embed/executions/{id}` in a frame, as in `https://wiki.example.org`. None.
    pub embed_parents: Vec<String>,
    /// The origins of other sites whose pages may change something here, as in `https://wiki.example.org`; a host that answers their browsers'
    /// questions (CORS) names them here too. None.
    pub allow_origins: Vec<String>,
    shutdown: Shared<BoxFuture<'static, ()>>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            heartbeat: Duration::from_secs(15),
            ui: true,
            embed_parents: Vec::new(),
            allow_origins: Vec::new(),
            shutdown: futures::future::pending().boxed().shared(),
        }
    }
}

impl HttpConfig {
    /// Sets the largest request body, in bytes.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sets how long a stream may be silent before a comment says that it lives; zero for never.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = interval;
        self
    }

    /// Sets whether the web UI is served beside the API. A host that merges the router and has a page of its own at `/` says no.
    #[must_use]
    pub fn ui(mut self, served: bool) -> Self {
        self.ui = served;
        self
    }

    /// Sets the origins of pages that may show `/embed/executions/{id}` in a frame, as in `https://wiki.example.org`.
    #[must_use]
    pub fn embed_parents(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.embed_parents = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the origins of other sites whose pages may change something here, as in `https://wiki.example.org`.
    #[must_use]
    pub fn allow_origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allow_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// Ends open streams, and answers requests that wait for an execution with 503, once `signal` resolves.
    ///
    /// Give the signal of the server's graceful shutdown: a server waits for its open responses, and a stream is open for as long as its
    /// execution takes. Executions are not touched.
    #[must_use]
    pub fn shutdown_signal(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Self {
        self.shutdown = signal.boxed().shared();
        self
    }

    /// Resolves when the host shuts down.
    pub(crate) fn shutdown(&self) -> Shared<BoxFuture<'static, ()>> {
        self.shutdown.clone()
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpConfig")
            .field("max_body_bytes", &self.max_body_bytes)
            .field("heartbeat", &self.heartbeat)
            .field("ui", &self.ui)
            .field("embed_parents", &self.embed_parents)
            .field("allow_origins", &self.allow_origins)
            .finish_non_exhaustive()
    }
}
