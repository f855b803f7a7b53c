#![doc = include_str!("../README.md")]

mod backup;
mod config;
mod connection;
mod damage;
mod error;
mod location;
mod lock;
mod log_codec;
mod private;
mod readers;
mod reads;
mod record;
mod records;
mod schema;
mod store;
mod writer;

pub use self::config::{Keep, Retention, SqliteStoreBuilder};
pub use self::records::SqliteRecords;
pub use self::store::SqliteStore;
