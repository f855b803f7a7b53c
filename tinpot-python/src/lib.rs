//! Tinpot's executors for Python actions.
//!
//! [`PythonPool`] runs each attempt in a warm child interpreter: every outcome of an attempt, a crash included, is the attempt's alone, and
//! it can always be killed. It needs a Python of 3.9 or newer at run time and nothing at build time.

mod error;
mod offer;
mod package;
mod pool;

pub use self::pool::{PythonPool, PythonPoolBuilder};
