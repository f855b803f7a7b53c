//! The thread that sends spans to a collector.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tinpot_core::{Error, ErrorKind, Result, Sampling};
use ureq::http::{HeaderName, HeaderValue, Uri};

use crate::http::{Collector, NotTaken};
use crate::json;
use crate::observer::SpanObserver;
use crate::queue::Queue;
use crate::span::Span;

/// The pauses between two attempts at a request: the first one, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// The time between two warnings about the same collector.
const QUIET: Duration = Duration::from_secs(600);
/// The extra time in which the thread ends after its deadline.
const LAST: Duration = Duration::from_millis(500);

/// Sends spans to a collector by OTLP/HTTP, on a thread of its own.
///
/// The thread gathers spans for a while, sends them in batches, and tries again while the collector
/// is away. Spans that find its queue full are lost, and so are those that are left when it is dropped
/// without [`shutdown`](Self::shutdown). The log says how many.
#[derive(Debug)]
pub struct SpanExporter {
    queue: Arc<Queue>,
}

/// Configures a [`SpanExporter`].
#[derive(Clone)]
pub struct SpanExporterBuilder {
    url: String,
    headers: Vec<(String, String)>,
    resource: Vec<(String, String)>,
    timeout: Duration,
    interval: Duration,
}

impl fmt::Debug for SpanExporterBuilder {
    /// Leaves out the values of headers, which may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("SpanExporterBuilder")
            .field("url", &self.url)
            .field("headers", &names)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

impl SpanExporter {
    /// Returns a builder for an exporter to this URL, which has the path for traces, such as
    /// `http://127.0.0.1:4318/v1/traces`.
    pub fn builder(url: impl Into<String>) -> SpanExporterBuilder {
        SpanExporterBuilder {
            url: url.into(),
            headers: Vec::new(),
            resource: Vec::new(),
            timeout: Duration::from_secs(10),
            interval: Duration::from_secs(5),
        }
    }

    /// Returns an observer whose spans it sends. `sampling` is that of the coordinator or worker that
    /// is observed.
    pub fn observer(&self, sampling: Sampling) -> SpanObserver {
        SpanObserver::new(self.queue.clone(), sampling)
    }

    /// Sends what is left, for at most `patience`. Blocks the thread.
    pub fn shutdown(self, patience: Duration) {
        self.queue.end_within(patience);
        self.queue.wait_for_end(patience + LAST);
    }
}

impl Drop for SpanExporter {
    fn drop(&mut self) {
        // After a shutdown, it has no effect.
        self.queue.end_within(Duration::ZERO);
    }
}

impl SpanExporterBuilder {
    /// Sets the name of the service, as `service.name`. The default is `unknown_service`, that of
    /// OpenTelemetry.
    #[must_use]
    pub fn service(self, name: impl Into<String>) -> Self {
        self.attribute("service.name", name)
    }

    /// Sets an attribute of the resource, such as `deployment.environment.name`.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.resource.retain(|(other, _)| *other != name);
        self.resource.push((name, value.into()));
        self
    }

    /// Adds a header to every request, such as one with a credential.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the time limit of a request; 10 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the longest time for which spans are gathered; 5 s by default.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Starts the thread. The collector need not be there yet.
    ///
    /// # Errors
    /// `InvalidInput` for a URL that is none of HTTP or HTTPS, or that has a password, and for a header
    /// that HTTP does not allow; `Unavailable` if the thread cannot be started.
    pub fn start(mut self) -> Result<SpanExporter> {
        check_url(&self.url)?;
        for (name, value) in &self.headers {
            if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
                let message = format!("a header for traces is malformed: {name:?}");
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
        }
        let has_name = self.resource.iter().any(|(name, _)| name == "service.name");
        if !has_name {
            self = self.service("unknown_service");
        }
        let own = [
            ("telemetry.sdk.name", "tinpot"),
            ("telemetry.sdk.language", "rust"),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ];
        let all = own.into_iter().fold(self, |all, (name, value)| all.attribute(name, value));
        let queue = Arc::new(Queue::default());
        let of_thread = queue.clone();
        // Requests block. A thread of its own sends until the end, also when the runtime is busy.
        let thread = std::thread::Builder::new().name("traces".to_owned());
        let started = thread.spawn(move || {
            let collector = Collector::new(all.url, all.headers, all.timeout);
            let mut sending = Sending {
                queue: of_thread,
                collector,
                resource: all.resource,
                warned_at: None,
                is_outage: false,
                lost: 0,
            };
            sending.run(all.interval);
        });
        started.map_err(|error| {
            let message = format!("cannot start the thread that exports traces: {error}");
            Error::new(ErrorKind::Unavailable, message)
        })?;
        Ok(SpanExporter { queue })
    }
}

fn check_url(url: &str) -> Result<()> {
    let parsed = url.parse::<Uri>().ok();
    let is_usable = parsed.is_some_and(|uri| {
        let has_scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let host = uri.authority().filter(|host| !host.as_str().contains('@'));
        has_scheme && host.is_some()
    });
    if is_usable {
        return Ok(());
    }
    // It may have a password.
    let shown = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
    let message = format!(
        "the URL of a collector must start with http:// or https:// and have no password, which goes \
         into a header (got {shown:?})"
    );
    Err(Error::new(ErrorKind::InvalidInput, message))
}

struct Sending {
    queue: Arc<Queue>,
    collector: Collector,
    resource: Vec<(String, String)>,
    /// The time of the last warning.
    warned_at: Option<Instant>,
    /// If true, the log says that spans are not taken.
    is_outage: bool,
    /// The number of lost spans that the log does not have yet.
    lost: u64,
}

impl Sending {
    fn run(&mut self, interval: Duration) {
        while let Some(batch) = self.queue.batch(interval) {
            if !batch.is_empty() {
                self.deliver(&batch);
            }
        }
        self.lost += self.queue.take_lost();
        if self.lost > 0 {
            tracing::warn!(lost = self.lost, "spans were not exported");
        }
        self.queue.set_ended();
    }

    fn deliver(&mut self, batch: &[Span]) {
        let body = json::request(&self.resource, batch);
        let mut pause = PAUSES.0;
        loop {
            let left = self.queue.left();
            if left.is_some_and(|left| left.is_zero()) {
                return self.queue.lose(batch.len());
            }
            match self.collector.send(&body, left) {
                Ok(()) => return self.succeeded(),
                Err(NotTaken::Refused(why)) => {
                    self.queue.lose(batch.len());
                    return self.failed(&why);
                }
                Err(NotTaken::ForNow(why)) => self.failed(&why),
            }
            if self.queue.pause(pause).is_some() && left.is_some() {
                // It was the last attempt.
                return self.queue.lose(batch.len());
            }
            pause = PAUSES.1.min(pause * 2);
        }
    }

    fn succeeded(&mut self) {
        self.lost += self.queue.take_lost();
        let url = &self.collector.url;
        if std::mem::take(&mut self.is_outage) {
            let lost = std::mem::take(&mut self.lost);
            tracing::info!(lost, "traces are exported to {url} again");
        } else if self.lost > 0 && is_due(&mut self.warned_at) {
            let lost = std::mem::take(&mut self.lost);
            tracing::warn!(lost, "spans are lost: {url} takes them too slowly");
        }
    }

    /// Warns about a request that was not taken, now and then.
    fn failed(&mut self, why: &str) {
        self.lost += self.queue.take_lost();
        if is_due(&mut self.warned_at) {
            self.is_outage = true;
            let (url, lost) = (&self.collector.url, self.lost);
            tracing::warn!(lost, "traces cannot be exported to {url}: {why}; trying again");
        }
    }
}

/// Returns true if the last warning is long ago, and takes the next one down.
fn is_due(warned_at: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    let is_due = warned_at.is_none_or(|at| now.duration_since(at) >= QUIET);
    if is_due {
        *warned_at = Some(now);
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::SpanExporter;

    #[test]
    fn only_urls_and_headers_that_can_be_used_are_taken() {
        for wrong in ["127.0.0.1:4318", "grpc://host:4317", "http://", "/v1/traces", ""] {
            let error = SpanExporter::builder(wrong).start().expect_err(wrong);
            assert!(error.message().contains("must start with http://"), "{error}");
        }
        let secret = SpanExporter::builder("https://user:secret@host/v1/traces").start();
        let error = secret.expect_err("a password").to_string();
        assert!(error.contains("host/v1/traces") && !error.contains("secret@"), "{error}");
        let builder = SpanExporter::builder("http://127.0.0.1:1/").header("x-key", "secret\n");
        assert!(!format!("{builder:?}").contains("secret"), "{builder:?}");
        let error = builder.start().expect_err("a header").to_string();
        assert!(error.contains("x-key") && !error.contains("secret"), "{error}");
    }
}
