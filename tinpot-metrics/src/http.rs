//! The metrics of an API.

use prometheus::{HistogramVec, IntCounterVec, IntGauge};
use tinpot_core::Result;
use tinpot_core::observer::{AuthFailure, Measure};

use crate::bounded::Bounded;
use crate::series::{Maker, NO_LABELS};

/// The maximum number of routes: twice as many as there are, for those of the host's own.
const ROUTES: usize = 200;
/// The kinds of failures.
const KINDS: [&str; 5] = ["missing", "refused", "expired", "malformed", "password"];

#[derive(Debug)]
pub(crate) struct HttpSeries {
    requests: IntCounterVec,
    seconds: HistogramVec,
    streams: IntGauge,
    auth_failures: IntCounterVec,
    routes: Bounded,
}

impl HttpSeries {
    pub(crate) fn new(maker: &Maker<'_>) -> Result<Self> {
        let auth_failures = maker.counter("tinpot_auth_failures_total")?;
        // From zero on, so that the first one is seen as an increase.
        for kind in KINDS {
            auth_failures.with_label_values(&[kind]);
        }
        Ok(Self {
            requests: maker.counter("tinpot_http_requests_total")?,
            seconds: maker.histogram("tinpot_http_request_seconds")?,
            streams: maker.gauge("tinpot_http_streams")?.with_label_values(NO_LABELS),
            auth_failures,
            routes: Bounded::new(ROUTES),
        })
    }

    /// Returns true if the measure is one of these.
    pub(crate) fn take(&self, measure: &Measure<'_>) -> bool {
        match measure {
            Measure::Request { method, route, code, took, .. } => {
                let route = self.routes.label(route);
                self.requests.with_label_values(&[method, route, &code.to_string()]).inc();
                self.seconds.with_label_values(&[method, route]).observe(took.as_secs_f64());
            }
            Measure::StreamOpened => self.streams.inc(),
            Measure::StreamClosed => self.streams.dec(),
            Measure::AuthFailed(why) => {
                let kind = match why {
                    AuthFailure::Missing => "missing",
                    AuthFailure::Refused => "refused",
                    AuthFailure::Expired => "expired",
                    AuthFailure::Malformed => "malformed",
                    AuthFailure::Password => "password",
                    _ => crate::bounded::OTHER,
                };
                self.auth_failures.with_label_values(&[kind]).inc();
            }
            _ => return false,
        }
        true
    }
}
