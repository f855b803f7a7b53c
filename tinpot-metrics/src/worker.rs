//! The metrics of a worker.

use prometheus::{HistogramVec, IntGauge};
use tinpot_core::Result;
use tinpot_core::observer::Measure;

use crate::bounded::Bounded;
use crate::coordinator::ACTIONS;
use crate::series::{Maker, NO_LABELS};

#[derive(Debug)]
pub(crate) struct WorkerSeries {
    attempts: IntGauge,
    slots: IntGauge,
    run_seconds: HistogramVec,
    actions: Bounded,
}

impl WorkerSeries {
    pub(crate) fn new(maker: &Maker<'_>) -> Result<Self> {
        let slots = maker.gauge("tinpot_worker_slots_configured")?;
        Ok(Self {
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
            Measure::Ran { action, status, took } => {
                let action = self.actions.label(action);
                let series = self.run_seconds.with_label_values(&[action, status.as_str()]);
                series.observe(took.as_secs_f64());
            }
            _ => {}
        }
    }
}
