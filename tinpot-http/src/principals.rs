//! The limits of each principal: the rate of its requests, and what it may have open.
//!
//! Implements a token bucket with one atomic number for each principal. The crate governor does the
//! same with 28 crates, and does not count what is open.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use axum::response::Response;
use futures::StreamExt;
use tokio::time::Instant;

use crate::error::ApiError;

/// The maximum number of principals in memory. Further ones share one entry.
const PRINCIPALS: usize = 100_000;
/// The interval at which idle principals are removed.
const SWEEP: Duration = Duration::from_secs(60);
/// The time after which a client with too many open requests may retry.
const RETRY: Duration = Duration::from_secs(1);

/// The limits of each principal: a user, or a program. All tokens and sign-ins of a principal count
/// together. Requests beyond them are answered with 429.
///
/// ```
/// use tinpot_http::PrincipalLimits;
///
/// let limits = PrincipalLimits::default().requests_per_second(100).burst(200);
/// assert_eq!(limits.streams, 200);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrincipalLimits {
    /// The number of requests per second; zero for no limit. Default: 1,000.
    pub requests_per_second: u32,
    /// The number of requests in a burst. Default: 5,000.
    pub burst: u32,
    /// The number of requests that are answered at the same time. Default: 500.
    pub concurrent: u32,
    /// The number of open streams. Default: 200.
    pub streams: u32,
    /// The number of searches of logs at the same time. Default: 4.
    pub searches: u32,
    /// The number of requests that wait for the end of an execution. Default: 200.
    pub waiting: u32,
}

impl Default for PrincipalLimits {
    fn default() -> Self {
        Self {
            requests_per_second: 1_000,
            burst: 5_000,
            concurrent: 500,
            streams: 200,
            searches: 4,
            waiting: 200,
        }
    }
}

impl PrincipalLimits {
    /// Returns limits that refuse nothing.
    pub fn none() -> Self {
        let (most, requests_per_second) = (u32::MAX, 0);
        Self {
            requests_per_second,
            burst: most,
            concurrent: most,
            streams: most,
            searches: most,
            waiting: most,
        }
    }

    /// Sets the number of requests per second; zero for no limit.
    #[must_use]
    pub fn requests_per_second(mut self, number: u32) -> Self {
        self.requests_per_second = number;
        self
    }

    /// Sets the number of requests in a burst.
    #[must_use]
    pub fn burst(mut self, number: u32) -> Self {
        self.burst = number;
        self
    }

    /// Sets the number of requests that are answered at the same time.
    #[must_use]
    pub fn concurrent(mut self, number: u32) -> Self {
        self.concurrent = number;
        self
    }

    /// Sets the number of open streams.
    #[must_use]
    pub fn streams(mut self, number: u32) -> Self {
        self.streams = number;
        self
    }

    /// Sets the number of searches of logs at the same time.
    #[must_use]
    pub fn searches(mut self, number: u32) -> Self {
        self.searches = number;
        self
    }

    /// Sets the number of requests that wait for the end of an execution.
    #[must_use]
    pub fn waiting(mut self, number: u32) -> Self {
        self.waiting = number;
        self
    }

    fn of(&self, what: Open) -> u32 {
        match what {
            Open::Request => self.concurrent,
            Open::Stream => self.streams,
            Open::Search => self.searches,
            Open::Wait => self.waiting,
        }
    }
}

/// A kind of open request, of which a principal may have a limited number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Request,
    Stream,
    Search,
    Wait,
}

impl Open {
    /// Returns the kind by which a request counts in addition to `Request`.
    fn by(method: &Method, path: &str) -> Option<Self> {
        let is_post = method == Method::POST;
        if !is_post && path.ends_with("/stream") {
            Some(Self::Stream)
        } else if !is_post && path.ends_with("/logs/search") {
            Some(Self::Search)
        } else if is_post && path.ends_with("/sync_execute") {
            Some(Self::Wait)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Request => "requests at the same time",
            Self::Stream => "open streams",
            Self::Search => "searches at the same time",
            Self::Wait => "requests that wait for an execution",
        }
    }
}

/// The use that a principal makes of the server.
#[derive(Debug, Default)]
struct Used {
    /// The time at which the bucket is full again, in nanoseconds.
    full_at: AtomicU64,
    open: [AtomicU32; 4],
}

impl Used {
    fn is_idle(&self, now: u64) -> bool {
        self.full_at.load(Ordering::Relaxed) <= now
            && self.open.iter().all(|open| open.load(Ordering::Relaxed) == 0)
    }
}

/// An open request, which counts until this is dropped.
#[derive(Debug)]
struct Permit {
    used: Arc<Used>,
    what: Open,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.used.open[self.what as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request that was admitted. It counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    _request: Option<Permit>,
    more: Option<Permit>,
}

impl Admitted {
    /// Counts a stream until its last byte is sent, and everything else until now.
    pub(crate) fn until_sent(self, response: Response) -> Response {
        let is_stream = self.more.as_ref().is_some_and(|permit| permit.what == Open::Stream);
        let Some(permit) = self.more.filter(|_| is_stream) else { return response };
        response.map(|body| {
            Body::from_stream(body.into_data_stream().map(move |bytes| {
                let _held = &permit;
                bytes
            }))
        })
    }
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<Arc<str>, Arc<Used>>,
    swept: Duration,
}

/// The principals of a server, and what each of them uses.
#[derive(Debug)]
pub(crate) struct Principals {
    limits: PrincipalLimits,
    start: Instant,
    table: RwLock<Table>,
}

impl Principals {
    pub(crate) fn new(limits: PrincipalLimits) -> Self {
        Self { limits, start: Instant::now(), table: RwLock::default() }
    }

    /// Admits a request of a principal.
    ///
    /// # Errors
    /// The answer to a request beyond a limit.
    pub(crate) fn admit(
        &self,
        id: &Arc<str>,
        method: &Method,
        path: &str,
    ) -> Result<Admitted, ApiError> {
        if self.limits == PrincipalLimits::none() {
            return Ok(Admitted { _request: None, more: None });
        }
        let now = self.start.elapsed();
        let used = self.used(id, now);
        self.take(&used, now)?;
        let request = self.open(&used, Open::Request)?;
        let more = Open::by(method, path).map(|what| self.open(&used, what)).transpose()?;
        Ok(Admitted { _request: Some(request), more })
    }

    fn used(&self, id: &Arc<str>, now: Duration) -> Arc<Used> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = table.by_id.get(id) {
            return used.clone();
        }
        drop(table);
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(table.swept) >= SWEEP {
            table.swept = now;
            let now = nanos(now);
            // A principal that a request refers to will soon have something open.
            table.by_id.retain(|_, used| Arc::strong_count(used) > 1 || !used.is_idle(now));
        }
        let is_full = table.by_id.len() >= PRINCIPALS;
        let id = if is_full { "".into() } else { id.clone() };
        table.by_id.entry(id).or_default().clone()
    }

    /// Takes one request from the bucket.
    fn take(&self, used: &Used, now: Duration) -> Result<(), ApiError> {
        let PrincipalLimits { requests_per_second, burst, .. } = self.limits;
        let Some(interval) = 1_000_000_000_u64.checked_div(requests_per_second.into()) else {
            return Ok(());
        };
        let (now, room) = (nanos(now), interval.saturating_mul(burst.into()));
        let next = |full_at: u64| {
            let next = full_at.max(now) + interval;
            (next - now <= room).then_some(next)
        };
        let taken = used.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        taken.map(drop).map_err(|full_at| {
            let wait = Duration::from_nanos((full_at + interval).saturating_sub(now + room));
            let detail = format!(
                "too many requests: a user or program may send {burst} at once, and \
                 {requests_per_second} in a second"
            );
            ApiError::too_many(detail, wait)
        })
    }

    fn open(&self, used: &Arc<Used>, what: Open) -> Result<Permit, ApiError> {
        let most = self.limits.of(what);
        let count = &used.open[what as usize];
        let more = |open: u32| (open < most).then(|| open + 1);
        match count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more) {
            Ok(_) => Ok(Permit { used: used.clone(), what }),
            Err(_) => {
                let name = what.name();
                let detail = format!("too many {name}: a user or program may have {most}");
                Err(ApiError::too_many(detail, RETRY))
            }
        }
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_bucket_fills_again_and_idle_principals_are_forgotten() {
        let principals =
            Principals::new(PrincipalLimits::default().requests_per_second(2).burst(3));
        let (ada, eve): (Arc<str>, Arc<str>) = ("ada".into(), "eve".into());
        let admits = |id| principals.admit(id, &Method::GET, "/api/version").is_ok();
        assert_eq!(
            [admits(&ada), admits(&ada), admits(&ada), admits(&ada)],
            [true, true, true, false]
        );
        assert!(admits(&eve));
        tokio::time::advance(Duration::from_millis(499)).await;
        assert!(!admits(&ada));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(admits(&ada) && !admits(&ada));
        tokio::time::advance(SWEEP * 2).await;
        assert!(admits(&"zoe".into()));
        assert_eq!(principals.table.read().expect("not poisoned").by_id.len(), 1);
    }

    #[test]
    fn what_a_request_opens_is_known_by_its_path() {
        let by = |method: Method, path| Open::by(&method, path);
        assert_eq!(by(Method::GET, "/api/stream"), Some(Open::Stream));
        assert_eq!(by(Method::GET, "/api/executions/1.1/stream"), Some(Open::Stream));
        assert_eq!(by(Method::GET, "/api/executions/1.1/logs/search"), Some(Open::Search));
        assert_eq!(by(Method::POST, "/api/actions/a/sync_execute"), Some(Open::Wait));
        assert_eq!(by(Method::POST, "/api/actions/stream/execute"), None);
        assert_eq!(by(Method::GET, "/api/executions"), None);
    }
}
