//! The durable store on SQLite: executions, attempts and logs in one file.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("tinpot.db");
//! use std::time::Duration;
//!
//! use tinpot::sqlite::{Retention, SqliteStore};
//! use tinpot::{Coordinator, MemoryNetwork};
//!
//! let week = Duration::from_secs(7 * 86_400);
//! let store = SqliteStore::builder(path).retention(Retention::default().age(week)).build();
//! let coordinator =
//!     Coordinator::builder(MemoryNetwork::new().transport()).store(store).start().await?;
//! coordinator.shutdown().await;
//! # Ok(())
//! # }
//! ```

#[doc(inline)]
pub use tinpot_sqlite::{Keep, Retention, SqliteRecords, SqliteStore, SqliteStoreBuilder};
