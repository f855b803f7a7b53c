//! Metrics: the observer of a coordinator with its store, and the listener of a worker.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use tinpot_core::{Error, ErrorKind, Result};
use tinpot_http::HttpConfig;
use tinpot_metrics::PrometheusObserver;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::serve::ConnectionLimits;
use crate::shutdown::Shutdown;

/// The text format of Prometheus.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Lets the router serve the metrics, with the sizes of the store at `store`, if it is a file.
pub(crate) fn serve_metrics(
    config: HttpConfig,
    metrics: &Arc<PrometheusObserver>,
    store: Option<PathBuf>,
) -> HttpConfig {
    let source = metrics.clone();
    config.observer(metrics.clone()).metrics(move || {
        if let Some(store) = &store {
            set_store(&source, store);
        }
        source.render()
    })
}

/// Sets the sizes of the store at `store`, as they are now.
pub(crate) fn set_store(metrics: &PrometheusObserver, store: &Path) {
    metrics.set_store(size_of(store), free_next_to(store));
}

/// Returns the size of the database with its log, in bytes.
fn size_of(store: &Path) -> u64 {
    let mut log = store.as_os_str().to_owned();
    log.push("-wal");
    let sizes = [store, Path::new(&log)].map(|file| std::fs::metadata(file).map_or(0, |m| m.len()));
    sizes.into_iter().sum()
}

/// Returns the space that this program may use on the file system of the store, in bytes.
fn free_next_to(store: &Path) -> u64 {
    rustix::fs::statvfs(store).map_or(0, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// Serves the metrics of a worker at an address, without authentication, until `shutdown` begins.
///
/// # Errors
/// `Unavailable` if the address cannot be bound.
pub(crate) async fn serve_worker(
    address: SocketAddr,
    metrics: Arc<PrometheusObserver>,
    shutdown: Shutdown,
) -> Result<JoinHandle<()>> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        let message = format!(
            "cannot listen on {address} (--metrics-listen, TINPOT_METRICS_LISTEN): {error}"
        );
        Error::new(ErrorKind::Unavailable, message)
    })?;
    let bound = crate::serve::local_address(&listener)?;
    println!("Metrics are at http://{bound}/metrics");
    let text = move || async move {
        ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.render()).into_response()
    };
    let app = axum::Router::new().route("/metrics", get(text));
    Ok(crate::serve::serve_on(listener, app, ConnectionLimits::default(), shutdown.begun()))
}
