//! Servers with settings, signals and shutdown, as the command `tinpot` runs them.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let actions = directory.path();
//! use std::time::Duration;
//!
//! use tinpot::server::settings::HttpSettings;
//! use tinpot::server::{LocalServer, listen};
//!
//! // Coordinator, worker, API and web UI in this process, on a free port.
//! let any_port = HttpSettings::new([127, 0, 0, 1].into(), 0);
//! let server = LocalServer::builder(actions).start(listen(&any_port).await?).await?;
//! println!("open {}", server.url());
//! server.shutdown(Duration::from_secs(1)).await;
//! # Ok(())
//! # }
//! ```

#[doc(inline)]
pub use tinpot_server::{
    ConnectionLimits, CoordinatorSettings, Incarnation, LocalServer, LocalServerBuilder, Shutdown,
    ShutdownTrigger, WorkerSettings, error_chain, exit, init_tracing, init_tracing_as,
    init_tracing_with, keep_private, listen, serve, serve_on, settings, shutdown,
};
