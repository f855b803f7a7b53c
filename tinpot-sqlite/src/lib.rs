//! Tinpot's durable store: one SQLite file.
//!
//! ```no_run
//! # async fn example(coordinator: tinpot_core::CoordinatorBuilder) -> tinpot_core::Result<()> {
//! use std::time::Duration;
//!
//! use tinpot_sqlite::{Keep, Retention, SqliteStore};
//!
//! let week = Duration::from_secs(7 * 86_400);
//! let store = SqliteStore::builder("/var/lib/tinpot/tinpot.db")
//!     .retention(Retention::default().executions(5_000_000).action("heartbeat", Keep::default().age(week)))
//!     .build();
//! let coordinator = coordinator.store(store).start().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Building a store touches nothing. The coordinator opens it when it starts, and says then, with the path, why it cannot: a path that is a
//! directory, a file that is no database, a schema that is newer than this program, another coordinator that has it open.
//!
//! # What it promises
//!
//! - What `commit` and `append_logs` said `Ok` to survives the crash of the process, of the system, and the loss of power: the write-ahead
//!   log is synchronised before the answer (`synchronous=FULL`). All that waits is written as one transaction, so that under load many
//!   executions share one synchronisation.
//! - One coordinator at a time: the file `…-lock` beside the database is locked while the store is open; the operating system releases it
//!   when the process dies. Not for network file systems.
//! - A full disk fails what is being written with `StorageFull`, keeps all that was written before, and is over as soon as there is room.
//! - A copy of the database is another store: it draws a new instance when it is opened, so that fences of the two are never taken for each
//!   other. [`SqliteStore::backup`] makes one while a coordinator runs.
//!
//! # Files
//!
//! | file | what it is |
//! | --- | --- |
//! | `tinpot.db` | the database; it keeps its size when executions are forgotten, and uses the room again |
//! | `tinpot.db-wal`, `tinpot.db-shm` | what is not in it yet: belongs to it as long as it is there |
//! | `tinpot.db-lock` | says who has it open, and which life it was in last |
//!
//! # Features
//!
//! None: SQLite is built in. Its build reads `LIBSQLITE3_FLAGS` from the environment: with `-DHAVE_FDATASYNC=1`, where the system has that call (Linux does), a commit
//! takes about a fifth less. Tinpot's own programs are built so.

mod backup;
mod config;
mod connection;
mod error;
mod location;
mod lock;
mod log_codec;
mod readers;
mod reads;
mod record;
mod schema;
mod store;
mod writer;

pub use self::config::{Keep, Retention, SqliteStoreBuilder};
pub use self::store::SqliteStore;
