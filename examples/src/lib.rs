//! What the example programs share: their settings, from flags and environment, and how they end.

mod life;
mod settings;
mod shutdown;
mod unix_transport;

use std::io::IsTerminal;

pub use self::life::Life;
pub use self::settings::{
    ActionsSettings, BrokerSettings, HttpSettings, ProtocolSettings, StoreSettings, WorkerSettings,
};
pub use self::shutdown::{Shutdown, shutdown};
pub use self::unix_transport::UnixTransport;

/// The error of a program: anything, with its chain of causes printed by [`exit`].
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Prints log events to stderr; `RUST_LOG` chooses which, warnings and Tinpot's own notices by default.
pub fn init_tracing() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,tinpot=info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

/// Ends a program: 0, or 1 after printing the error and what caused it.
pub fn exit(result: Result<(), AnyError>) -> std::process::ExitCode {
    let Err(error) = result else { return std::process::ExitCode::SUCCESS };
    eprint!("error: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        eprint!(": {cause}");
        source = cause.source();
    }
    eprintln!();
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
    let address = (settings.host, settings.port);
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|e| {
        format!("cannot listen on {}:{} (HOST, PORT): {e}", settings.host, settings.port)
    })?;
    println!("Tinpot listens on http://{}", listener.local_addr()?);
    Ok(tokio::spawn(async move {
        let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.begun());
        if let Err(error) = server.await {
            tracing::error!(%error, "the server failed");
        }
    }))
}
