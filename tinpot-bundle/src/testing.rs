//! The conformance suite of [`BlobStore`](crate::BlobStore), and entry points for fuzzing. Outside
//! semver.
//!
//! A crate that stores blobs writes a [`Subject`](blob_store::Subject), a factory for such
//! subjects, and one line:
//!
//! ```ignore
//! async fn subject() -> MySubject { … }
//!
//! tinpot_bundle::blob_store!(subject);
//! ```
//!
//! The macro emits one test per case, in a module `blob_store_suite`. The crate needs `tokio` with
//! `macros`, `rt-multi-thread` and `time` among its dev-dependencies.

pub mod blob_store;
pub mod fuzz;
