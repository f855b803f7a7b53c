//! Makes the series of metrics from their descriptions, in a registry.

use prometheus::{
    CounterVec, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};
use tinpot_core::{Error, ErrorKind, Result};

use crate::descriptions::{Description, Kind, description};
use crate::error;

/// Makes series in a registry.
pub(crate) struct Maker<'a>(pub(crate) &'a Registry);

impl Maker<'_> {
    pub(crate) fn counter(&self, name: &str) -> Result<IntCounterVec> {
        let metric = described(name)?;
        let made = IntCounterVec::new(Opts::new(metric.name, metric.help), metric.labels);
        self.add(made)
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn float_counter(&self, name: &str) -> Result<CounterVec> {
        let metric = described(name)?;
        self.add(CounterVec::new(Opts::new(metric.name, metric.help), metric.labels))
    }

    pub(crate) fn gauge(&self, name: &str) -> Result<IntGaugeVec> {
        let metric = described(name)?;
        self.add(IntGaugeVec::new(Opts::new(metric.name, metric.help), metric.labels))
    }

    pub(crate) fn float_gauge(&self, name: &str) -> Result<GaugeVec> {
        let metric = described(name)?;
        self.add(GaugeVec::new(Opts::new(metric.name, metric.help), metric.labels))
    }

    pub(crate) fn histogram(&self, name: &str) -> Result<HistogramVec> {
        let metric = described(name)?;
        let Kind::Histogram(buckets) = metric.kind else { return Err(unknown(name)) };
        let options = HistogramOpts::new(metric.name, metric.help).buckets(buckets.to_vec());
        self.add(HistogramVec::new(options, metric.labels))
    }

    fn add<M: prometheus::core::Collector + Clone + 'static>(
        &self,
        made: prometheus::Result<M>,
    ) -> Result<M> {
        let metric = made.map_err(error::of)?;
        self.0.register(Box::new(metric.clone())).map_err(error::of)?;
        Ok(metric)
    }
}

fn described(name: &str) -> Result<&'static Description> {
    description(name).ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Error {
    Error::new(ErrorKind::Other, format!("no metric {name:?} is described"))
}

/// The labels of a metric without labels.
pub(crate) const NO_LABELS: &[&str] = &[];
