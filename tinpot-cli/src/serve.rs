//! How a program that serves begins, listens and ends.

use std::io::IsTerminal;

use axum::serve::ListenerExt;

use crate::settings::HttpSettings;
use crate::shutdown::Shutdown;

/// The error of a program: anything, with its chain of causes printed by [`exit`].
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Prints log events to stderr; `RUST_LOG` chooses which, warnings and Tinpot's own notices by default.
pub fn init_tracing() {
    init_tracing_with("warn,tinpot=info");
}

/// Likewise, with another choice where `RUST_LOG` says nothing.
pub(crate) fn init_tracing_with(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// An error with what caused it, in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Ends a program: 0, or 1 after printing the error and what caused it.
pub fn exit(result: Result<(), AnyError>) -> std::process::ExitCode {
    let Err(error) = result else { return std::process::ExitCode::SUCCESS };
    eprintln!("error: {}", chain(&*error));
    std::process::ExitCode::FAILURE
}

/// Serves `app` until `shutdown` begins, and then until open requests are answered, but not for long.
///
/// # Errors
/// The address cannot be bound, which the message names.
pub async fn serve(
    settings: &HttpSettings,
    app: axum::Router,
    shutdown: Shutdown,
) -> Result<tokio::task::JoinHandle<()>, AnyError> {
    let listener = listen(settings).await?;
    println!("Tinpot listens on http://{}", listener.local_addr()?);
    Ok(serve_on(listener, app, shutdown.begun()))
}

/// Takes the address that is asked for.
pub(crate) async fn listen(settings: &HttpSettings) -> Result<tokio::net::TcpListener, AnyError> {
    let address = (settings.host, settings.port);
    Ok(tokio::net::TcpListener::bind(address).await.map_err(|e| {
        format!("cannot listen on {}:{} (HOST, PORT): {e}", settings.host, settings.port)
    })?)
}

/// Serves `app` at an address until `end`.
pub(crate) fn serve_on(
    listener: tokio::net::TcpListener,
    app: axum::Router,
    end: impl Future<Output = ()> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    // With Nagle's algorithm the event behind the first of a stream waits for the client's delayed acknowledgement: a run of a no-op took
    // 7 or 50 ms, by chance (November 2026).
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    tokio::spawn(async move {
        // The bare router would be set up again for each connection, which is 20 KB and more of each stream (heaptrack, 2026-11-21).
        let app = app.into_make_service();
        if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(end).await {
            tracing::error!(%error, "the server failed");
        }
    })
}
