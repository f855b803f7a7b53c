//! The HTTP API as an axum router: REST, server-sent events, and the web UI with the feature `ui`.
//!
//! [`router`] never binds. Serve it as it is, or nest it anywhere in an application:
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tinpot::http::{self, Anonymous, HttpConfig};
//! use tinpot::{Coordinator, MemoryNetwork};
//!
//! let coordinator = Coordinator::builder(MemoryNetwork::new().transport()).start().await?;
//! // Only trusted clients reach it.
//! let config = HttpConfig::default().authenticator(Anonymous::default());
//! let app: axum::Router = axum::Router::new()
//!     .nest_service("/automation", http::router(coordinator.clone(), config));
//!
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let server = tokio::spawn(async { axum::serve(listener, app).await });
//! # server.abort();
//! coordinator.shutdown().await;
//! # Ok(())
//! # }
//! ```

#[doc(inline)]
#[cfg(feature = "access")]
pub use tinpot_http::DirectoryAuthenticator;
pub use tinpot_http::{
    Anonymous, Authenticator, HttpConfig, Identity, PeerAddress, Presented, router,
};
