//! The observer, and its text.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus::{Registry, TextEncoder};
use tinpot_core::Result;
use tinpot_core::observer::{Measure, Observer};

use crate::coordinator::CoordinatorSeries;
use crate::descriptions::Program;
use crate::http::HttpSeries;
use crate::link::LinkSeries;
use crate::series::Maker;
use crate::worker::WorkerSeries;

/// Counts what a coordinator or a worker does, for Prometheus.
///
/// The metrics are in a registry of its own, so that one process may have several observers. The
/// README has an example.
pub struct PrometheusObserver {
    registry: Registry,
    link: LinkSeries,
    of: Series,
    #[cfg(target_os = "linux")]
    process: crate::process::ProcessSeries,
    /// Held by the scrape that sets the gauges of the present state.
    scrape: Mutex<()>,
}

enum Series {
    Coordinator(Box<(CoordinatorSeries, HttpSeries)>),
    Worker(Box<WorkerSeries>),
}

impl PrometheusObserver {
    /// Creates the observer of a coordinator and its API. `transport` is the name of its transport
    /// in labels, such as `mqtt`.
    ///
    /// # Errors
    /// `Other` if a metric cannot be registered, which is a bug.
    pub fn of_coordinator(transport: &str) -> Result<Self> {
        Self::new(Program::Coordinator, transport)
    }

    /// Creates the observer of a worker. `transport` is the name of its transport in labels, such as
    /// `mqtt`.
    ///
    /// # Errors
    /// `Other` if a metric cannot be registered, which is a bug.
    pub fn of_worker(transport: &str) -> Result<Self> {
        Self::new(Program::Worker, transport)
    }

    fn new(program: Program, transport: &str) -> Result<Self> {
        let registry = Registry::new();
        let maker = Maker(&registry);
        let link = LinkSeries::new(&maker, transport)?;
        let of = match program {
            Program::Worker => Series::Worker(Box::new(WorkerSeries::new(&maker)?)),
            _ => {
                let series = (CoordinatorSeries::new(&maker)?, HttpSeries::new(&maker)?);
                Series::Coordinator(Box::new(series))
            }
        };
        let info = maker.gauge("tinpot_build_info")?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            #[cfg(target_os = "linux")]
            process: crate::process::ProcessSeries::new(&maker)?,
            registry,
            link,
            of,
            scrape: Mutex::default(),
        })
    }

    /// Sets the size of the store's files and the free space of their file system, in bytes. The
    /// host knows both; it sets them before [`render`](Self::render).
    pub fn set_store(&self, bytes: u64, free_bytes: u64) {
        if let Series::Coordinator(series) = &self.of {
            series.0.state.set_store(bytes, free_bytes);
        }
    }

    /// Returns all metrics in the text format of Prometheus, version 0.0.4. Those of the present
    /// state are as of the last [`Coordinator::measure`](tinpot_core::Coordinator::measure).
    pub fn render(&self) -> String {
        let _scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        if let Series::Coordinator(series) = &self.of {
            series.0.state.show();
        }
        #[cfg(target_os = "linux")]
        self.process.show();
        // Fails only for a metric without series, which `gather` leaves out.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

impl Observer for PrometheusObserver {
    fn observe(&self, measure: &Measure<'_>) {
        if self.link.take(measure) {
            return;
        }
        match &self.of {
            Series::Worker(series) => series.take(measure),
            Series::Coordinator(series) => {
                let (series, http) = &**series;
                if !series.take(measure) && !http.take(measure) {
                    series.take_state(measure);
                }
            }
        }
    }
}

impl fmt::Debug for PrometheusObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = match &self.of {
            Series::Coordinator(_) => Program::Coordinator,
            Series::Worker(_) => Program::Worker,
        };
        f.debug_struct("PrometheusObserver").field("program", &program).finish_non_exhaustive()
    }
}
