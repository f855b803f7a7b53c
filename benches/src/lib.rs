//! The shared parts of the benchmark programs: a load generator that costs little, the systems under
//! test as processes, and the table.
//!
//! The load generator runs on the same cores as what it measures. So it is blocking, hand written and
//! without a runtime: a request is one `write` and one `read`.

#![allow(clippy::missing_errors_doc, reason = "a benchmark program reports any error and stops")]

pub mod http;
pub mod load;
pub mod process;
pub mod searches;
pub mod sse;
pub mod stats;
pub mod system;
pub mod table;
pub mod trust;
