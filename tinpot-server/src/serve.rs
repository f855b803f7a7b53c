//! Listening and serving HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use tinpot_core::{Error, ErrorKind, Result};
pub use tinpot_serve::{ConnectionLimits, serve_on};
use tinpot_serve::{Tls, serve_tls};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::settings::HttpSettings;
use crate::shutdown::Shutdown;

/// Serves `app` until `shutdown` begins, then answers the open requests and ends.
///
/// Prints the address to standard output. The returned task ends when the last connection is
/// closed; a caller that does not want to wait for slow clients puts a timeout around it.
///
/// # Errors
/// Those of [`listen`]; [`ErrorKind::InvalidInput`] for a certificate or a key that cannot be used.
pub async fn serve(
    settings: &HttpSettings,
    app: axum::Router,
    shutdown: Shutdown,
) -> Result<JoinHandle<()>> {
    let listener = listen(settings).await?;
    let tls = open_tls(settings)?;
    serve_at(settings, (listener, tls), app, ConnectionLimits::default(), shutdown)
}

/// Reads the certificate that the settings name; `None` for plain HTTP.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if it, its key, or the authorities of clients cannot be used.
pub(crate) fn open_tls(settings: &HttpSettings) -> Result<Option<Arc<Tls>>> {
    let client_ca = settings.client_ca()?;
    let files = settings.tls_files()?;
    let tls = files.map(|(certificate, key)| Tls::open(certificate, key, client_ca));
    Ok(tls.transpose()?.map(Arc::new))
}

/// Serves `app` on a listener of these settings, with this certificate, and prints the address.
pub(crate) fn serve_at(
    settings: &HttpSettings,
    (listener, tls): (TcpListener, Option<Arc<Tls>>),
    app: axum::Router,
    limits: ConnectionLimits,
    shutdown: Shutdown,
) -> Result<JoinHandle<()>> {
    if !settings.is_local() && settings.auth.is_none() {
        let host = settings.host;
        tracing::warn!(%host, "all clients that reach the port may run actions (--insecure-no-auth)");
    }
    println!("Tinpot listens on {}://{}", settings.scheme(), local_address(&listener)?);
    Ok(serve_tls(listener, app, limits, tls, shutdown.begun()))
}

/// Binds the address that the settings name.
///
/// # Errors
/// [`ErrorKind::InvalidInput`] if other machines reach the address and the settings do not accept
/// that; [`ErrorKind::Unavailable`] if it cannot be bound. The message names it.
pub async fn listen(settings: &HttpSettings) -> Result<TcpListener> {
    settings.check()?;
    settings.tls_files()?;
    let address = SocketAddr::new(settings.host, settings.port);
    TcpListener::bind(address).await.map_err(|e| {
        let advice = match e.kind() {
            std::io::ErrorKind::AddrInUse => {
                "; choose another with --port, or a free one with --port 0"
            }
            std::io::ErrorKind::AddrNotAvailable => "; --host must be an address of this machine",
            std::io::ErrorKind::PermissionDenied => "; only root can use ports below 1024",
            _ => "",
        };
        let message = format!("cannot listen on {address} (HOST, PORT): {e}{advice}");
        Error::new(ErrorKind::Unavailable, message)
    })
}

pub(crate) fn local_address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|e| {
        Error::new(ErrorKind::Other, "the listener has no local address").with_source(e)
    })
}
