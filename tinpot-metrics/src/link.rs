//! The metrics that coordinators and workers share: the transport, its frames, and incomplete logs.

use std::sync::atomic::{AtomicBool, Ordering};

use prometheus::{IntCounter, IntCounterVec, IntGauge};
use tinpot_core::observer::{Direction, LogCut, Measure};
use tinpot_core::transport::Lane;
use tinpot_core::{Refusal, Result};

use crate::series::Maker;

#[derive(Debug)]
pub(crate) struct LinkSeries {
    up: IntGauge,
    reconnects: IntCounter,
    /// If true, the transport was connected before.
    was_up: AtomicBool,
    /// The frames by lane, each sent and received.
    frames: [[IntCounter; 2]; 2],
    refused: IntCounterVec,
    cut: IntCounterVec,
}

impl LinkSeries {
    pub(crate) fn new(maker: &Maker<'_>, transport: &str) -> Result<Self> {
        let frames = maker.counter("tinpot_frames_total")?;
        let of_lane = |lane: &str| {
            ["sent", "received"]
                .map(|direction| frames.with_label_values(&[transport, lane, direction]))
        };
        let refused = maker.counter("tinpot_frames_refused_total")?;
        // From zero on, so that the first one is seen as an increase.
        for reason in Refusal::ALL {
            refused.with_label_values(&[reason.as_str()]);
        }
        let cut = maker.counter("tinpot_log_cut_total")?;
        for reason in [LogCut::Limit, LogCut::Lost] {
            cut.with_label_values(&[label_of(reason)]);
        }
        let reconnects = maker.counter("tinpot_transport_reconnects_total")?;
        Ok(Self {
            up: maker.gauge("tinpot_transport_up")?.with_label_values(&[transport]),
            reconnects: reconnects.with_label_values(&[transport]),
            was_up: AtomicBool::new(false),
            frames: [of_lane("control"), of_lane("logs")],
            refused,
            cut,
        })
    }

    /// Returns true if the measure is one of these.
    pub(crate) fn take(&self, measure: &Measure<'_>) -> bool {
        match measure {
            Measure::Frame { lane, direction } => {
                let of_lane = match lane {
                    Lane::Control => &self.frames[0],
                    Lane::Logs => &self.frames[1],
                };
                match direction {
                    Direction::Sent => of_lane[0].inc(),
                    Direction::Received => of_lane[1].inc(),
                }
            }
            Measure::Refused(reason) => self.refused.with_label_values(&[reason.as_str()]).inc(),
            Measure::Link(link) => {
                self.up.set(i64::from(link.is_up()));
                if link.is_up() && self.was_up.swap(true, Ordering::Relaxed) {
                    self.reconnects.inc();
                }
            }
            Measure::LogCut(reason) => self.cut.with_label_values(&[label_of(*reason)]).inc(),
            _ => return false,
        }
        true
    }
}

fn label_of(reason: LogCut) -> &'static str {
    match reason {
        LogCut::Limit => "limit",
        LogCut::Lost => "lost",
    }
}
