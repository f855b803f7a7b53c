#![doc = include_str!("../README.md")]

mod accept;
mod activity;
mod limits;
mod tls;

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use self::limits::ConnectionLimits;
pub use self::tls::Tls;

/// Serves `app` on a bound listener until `end` resolves, then answers the open requests and ends.
///
/// Disconnects clients that exceed `limits`, such as slow or silent ones. Sets `TCP_NODELAY` on
/// every connection, which server-sent events need.
pub fn serve_on(
    listener: TcpListener,
    app: axum::Router,
    limits: ConnectionLimits,
    end: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    serve_tls(listener, app, limits, None, end)
}

/// Serves as [`serve_on`] does, by HTTPS if there is a certificate.
pub fn serve_tls(
    listener: TcpListener,
    app: axum::Router,
    limits: ConnectionLimits,
    tls: Option<Arc<Tls>>,
    end: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    // Once, not for each connection, which would cost every stream 20 KB and more (heaptrack,
    // 2026-11-21).
    let app = app.with_state(());
    tokio::spawn(accept::run(listener, app, limits, tls, end))
}
