//! The metrics of a worker.

use prometheus::{HistogramVec, IntCounterVec, IntGauge, IntGaugeVec};
use tinpot_core::Result;
use tinpot_core::observer::{Cached, Measure};

use crate::bounded::Bounded;
use crate::coordinator::ACTIONS;
use crate::series::{Maker, NO_LABELS};

const HIT: &str = "hit";
const MISS: &str = "miss";

#[derive(Debug)]
pub(crate) struct WorkerSeries {
    attempts: IntGauge,
    slots: IntGauge,
    run_seconds: HistogramVec,
    cache_requests: IntCounterVec,
    cache_bytes: IntGaugeVec,
    setup_seconds: HistogramVec,
    actions: Bounded,
}

impl WorkerSeries {
    pub(crate) fn new(maker: &Maker<'_>) -> Result<Self> {
        let slots = maker.gauge("tinpot_worker_slots_configured")?;
        let cache_requests = maker.counter("tinpot_cache_requests_total")?;
        let setup_seconds = maker.histogram("tinpot_setup_seconds")?;
        for kind in Cached::ALL.map(Cached::as_str) {
            // From zero on, so that the first one is seen as an increase.
            cache_requests.with_label_values(&[kind, HIT]);
            cache_requests.with_label_values(&[kind, MISS]);
            setup_seconds.with_label_values(&[kind]);
        }
        Ok(Self {
            cache_requests,
            cache_bytes: maker.gauge("tinpot_cache_bytes")?,
            setup_seconds,
            attempts: maker.gauge("tinpot_worker_attempts")?.with_label_values(NO_LABELS),
            slots: slots.with_label_values(NO_LABELS),
            run_seconds: maker.histogram("tinpot_worker_run_seconds")?,
            actions: Bounded::new(ACTIONS),
        })
    }

    pub(crate) fn take(&self, measure: &Measure<'_>) {
        match measure {
            Measure::Held { attempts, slots } => {
                self.attempts.set(i64::try_from(*attempts).unwrap_or(i64::MAX));
                self.slots.set((*slots).into());
            }
            Measure::Ran { action, status, took, .. } => {
                let action = self.actions.label(action);
                let series = self.run_seconds.with_label_values(&[action, status.as_str()]);
                series.observe(took.as_secs_f64());
            }
            Measure::CacheRequest { kind, is_hit } => {
                let result = if *is_hit { HIT } else { MISS };
                self.cache_requests.with_label_values(&[kind.as_str(), result]).inc();
            }
            Measure::CacheBytes { kind, bytes } => {
                let series = self.cache_bytes.with_label_values(&[kind.as_str()]);
                series.set(i64::try_from(*bytes).unwrap_or(i64::MAX));
            }
            Measure::SetUp { kind, took } => {
                let series = self.setup_seconds.with_label_values(&[kind.as_str()]);
                series.observe(took.as_secs_f64());
            }
            _ => {}
        }
    }
}
