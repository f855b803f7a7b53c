//! The HTTP API as an axum router: REST, server-sent events, and the web UI with the feature `ui`.
//!
//! [`router`] never binds. Serve it as it is, or nest it anywhere in an application:
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tinpot::http::{self, HttpConfig};
//! use tinpot::{Coordinator, MemoryNetwork};
//!
//! let coordinator = Coordinator::builder(MemoryNetwork::new().transport()).start().await?;
//! let app: axum::Router = axum::Router::new()
//!     .nest_service("/automation", http::router(coordinator.clone(), HttpConfig::default()));
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let server = tokio::spawn(async { axum::serve(listener, app).await });
//! # server.abort();
//! coordinator.shutdown().await;
//! # Ok(())
//! # }
//! ```

#[doc(inline)]
pub use tinpot_http::{HttpConfig, router};
