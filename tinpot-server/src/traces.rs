//! The export of traces of a program, if its settings ask for it.

use std::sync::Arc;
#[cfg(feature = "otel")]
use std::time::Duration;

use tinpot_core::observer::{Measure, Observer};
use tinpot_core::{CoordinatorBuilder, WorkerBuilder};
#[cfg(feature = "otel")]
use tinpot_core::{Result, Sampling};
use tinpot_http::HttpConfig;
#[cfg(feature = "otel")]
use tinpot_otel::SpanExporter;

#[cfg(feature = "otel")]
use crate::settings::TraceSettings;

/// The time that the last spans have at the end.
#[cfg(feature = "otel")]
const PATIENCE: Duration = Duration::from_secs(3);

/// The export of traces. Without the feature `otel`, there is none.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    #[cfg(feature = "otel")]
    running: Option<(SpanExporter, Sampling)>,
}

/// Observes for metrics and for traces.
#[derive(Debug)]
struct Both(Arc<dyn Observer>, Arc<dyn Observer>);

impl Observer for Both {
    fn observe(&self, measure: &Measure<'_>) {
        self.0.observe(measure);
        self.1.observe(measure);
    }
}

/// Returns an observer for traces, too, if there is one.
fn both(metrics: Arc<dyn Observer>, traces: Option<Arc<dyn Observer>>) -> Arc<dyn Observer> {
    match traces {
        Some(traces) => Arc::new(Both(metrics, traces)),
        None => metrics,
    }
}

#[cfg(feature = "otel")]
impl Traces {
    /// Starts the export of a program.
    ///
    /// # Errors
    /// `InvalidInput` for settings that cannot be used.
    pub(crate) fn start(settings: &TraceSettings, program: &str) -> Result<Self> {
        Ok(Self { running: settings.start(program, |name| std::env::var(name).ok())? })
    }

    pub(crate) fn sampling(&self) -> Option<Sampling> {
        self.running.as_ref().map(|(_, sampling)| *sampling)
    }

    pub(crate) fn observer(&self) -> Option<Arc<dyn Observer>> {
        let (exporter, sampling) = self.running.as_ref()?;
        Some(Arc::new(exporter.observer(*sampling)))
    }

    /// Sends what is left.
    pub(crate) async fn end(self) {
        if let Some((exporter, _)) = self.running {
            let _ = tokio::task::spawn_blocking(move || exporter.shutdown(PATIENCE)).await;
        }
    }
}

#[cfg(not(feature = "otel"))]
impl Traces {
    pub(crate) fn sampling(&self) -> Option<tinpot_core::Sampling> {
        None
    }

    pub(crate) fn observer(&self) -> Option<Arc<dyn Observer>> {
        None
    }

    #[expect(clippy::unused_async, reason = "with the feature, it waits")]
    pub(crate) async fn end(self) {}
}

impl Traces {
    /// Lets a coordinator be observed for metrics and traces.
    pub(crate) fn of_coordinator(
        &self,
        builder: CoordinatorBuilder,
        metrics: Arc<dyn Observer>,
    ) -> CoordinatorBuilder {
        let builder = builder.observer(both(metrics, self.observer()));
        match self.sampling() {
            Some(sampling) => builder.traces(sampling),
            None => builder,
        }
    }

    /// Lets an API be observed for metrics and traces.
    pub(crate) fn of_api(&self, config: HttpConfig, metrics: Arc<dyn Observer>) -> HttpConfig {
        let config = config.observer(both(metrics, self.observer()));
        match self.sampling() {
            Some(sampling) => config.traces(sampling),
            None => config,
        }
    }

    /// Lets a worker be observed for traces, and for metrics if something reads them.
    pub(crate) fn of_worker(
        &self,
        builder: WorkerBuilder,
        metrics: Option<Arc<dyn Observer>>,
    ) -> WorkerBuilder {
        let observer = match (metrics, self.observer()) {
            (Some(metrics), traces) => Some(both(metrics, traces)),
            (None, traces) => traces,
        };
        let builder = match observer {
            Some(observer) => builder.observer(observer),
            None => builder,
        };
        match self.sampling() {
            Some(sampling) => builder.traces(sampling),
            None => builder,
        }
    }
}
