//! Measures what metrics cost: a scrape of a large site, and `sync_execute` with an observer and
//! without one, in alternating rounds.
//!
//! ```sh
//! metrics --actions 1000 --workers 100
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use clap::Parser;
use futures::future::try_join_all;
use tinpot_core::{Coordinator, FunctionExecutor, MemoryNetwork, Worker};
use tinpot_http::{Anonymous, HttpConfig};
use tinpot_metrics::PrometheusObserver;
use tower::ServiceExt;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(about)]
struct Arguments {
    /// The number of actions.
    #[arg(long, default_value_t = 1000)]
    actions: usize,
    /// The number of workers.
    #[arg(long, default_value_t = 100)]
    workers: usize,
    /// The number of scrapes.
    #[arg(long, default_value_t = 200)]
    scrapes: usize,
    /// The number of rounds with and without an observer.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// The number of requests in a round.
    #[arg(long, default_value_t = 2000)]
    requests: usize,
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let arguments = Arguments::parse();
    scrape(&arguments).await?;
    execute(&arguments).await
}

/// A coordinator with its API and its workers.
struct Site {
    coordinator: Coordinator,
    router: Router,
    workers: Vec<Worker>,
}

impl Site {
    /// Starts workers that offer `actions` in equal shares.
    async fn start(workers: usize, actions: usize, observed: bool) -> Result<Self, AnyError> {
        let network = MemoryNetwork::new();
        let mut builder = Coordinator::builder(network.transport());
        let mut config = HttpConfig::default().authenticator(Anonymous::default());
        if observed {
            let metrics = Arc::new(PrometheusObserver::of_coordinator("memory")?);
            builder = builder.observer(metrics.clone());
            config = config.observer(metrics.clone()).metrics(move || metrics.render());
        }
        let coordinator = builder.start().await?;
        let started = (0..workers).map(async |worker| -> Result<Worker, AnyError> {
            let mut executor = FunctionExecutor::builder();
            for number in (worker..actions).step_by(workers) {
                executor = executor
                    .action(&format!("action-{number}"), |_, ()| async { Ok::<_, String>(()) });
            }
            let builder = Worker::builder(network.transport()).executor(executor.build()?);
            Ok(builder.name(format!("worker-{worker}")).start().await?)
        });
        let workers = try_join_all(started).await?;
        for number in 0..actions {
            coordinator.action_available(&format!("action-{number}")).await?;
        }
        let router = tinpot_http::router(coordinator.clone(), config);
        Ok(Self { coordinator, router, workers })
    }

    async fn ask(&self, method: &str, path: &str) -> Result<usize, AnyError> {
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.header("content-type", "application/json").body(Body::empty())?;
        let answer = self.router.clone().oneshot(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{path}: {}", answer.status()).into());
        }
        Ok(to_bytes(answer.into_body(), usize::MAX).await?.len())
    }

    async fn shutdown(self) {
        for worker in self.workers {
            worker.shutdown(Duration::ZERO).await;
        }
        self.coordinator.shutdown().await;
    }
}

async fn scrape(arguments: &Arguments) -> Result<(), AnyError> {
    let site = Site::start(arguments.workers, arguments.actions, true).await?;
    for number in 0..arguments.actions {
        site.coordinator.call::<()>(&format!("action-{number}"), ()).await?;
    }
    let (mut times, mut bytes) = (Vec::with_capacity(arguments.scrapes), 0);
    for _ in 0..arguments.scrapes {
        let begin = Instant::now();
        bytes = site.ask("GET", "/metrics").await?;
        times.push(begin.elapsed());
    }
    let (half, most) = (percentile(&mut times, 50), percentile(&mut times, 95));
    println!(
        "/metrics with {} actions and {} workers: {half:.2?} (95 %: {most:.2?}), {} KB",
        arguments.actions,
        arguments.workers,
        bytes / 1_000
    );
    site.shutdown().await;
    Ok(())
}

async fn execute(arguments: &Arguments) -> Result<(), AnyError> {
    let sites = [Site::start(1, 1, false).await?, Site::start(1, 1, true).await?];
    let mut times = [const { Vec::new() }, const { Vec::new() }];
    for _ in 0..arguments.rounds {
        for (site, times) in sites.iter().zip(&mut times) {
            for _ in 0..arguments.requests {
                let begin = Instant::now();
                site.ask("POST", "/api/actions/action-0/sync_execute").await?;
                times.push(begin.elapsed());
            }
        }
    }
    for (name, times) in ["without", "with"].iter().zip(&mut times) {
        let (half, most) = (percentile(times, 50), percentile(times, 95));
        println!("sync_execute {name} an observer: {half:.2?} (95 %: {most:.2?})");
    }
    for site in sites {
        site.shutdown().await;
    }
    Ok(())
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    times.get(last * percent / 100).copied().unwrap_or_default()
}
