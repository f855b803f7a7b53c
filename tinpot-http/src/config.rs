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
    shutdown: Shared<BoxFuture<'static, ()>>,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            heartbeat: Duration::from_secs(15),
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
            .finish_non_exhaustive()
    }
}
