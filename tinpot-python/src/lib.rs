//! Tinpot's executors for Python actions.
//!
//! [`PythonPool`] runs each attempt in a warm child interpreter. A crash ends only the attempt
//! that caused it, and every attempt can be killed. The pool needs Python 3.9 or newer at run
//! time, and nothing at build time.
//!
//! The feature `embed` adds `PythonExecutor`: CPython in the worker's own process, for attempts
//! that take microseconds. It links with libpython.
//!
//! # Features
//!
//! | feature | adds | needs |
//! | --- | --- | --- |
//! | `bundles` | `BundlePools`: deployed folders of actions | |
//! | `embed` | `PythonExecutor` | libpython and its headers |
//!
//! # Examples
//!
//! Runs the actions below the directory `actions`, four at once:
//!
//! ```no_run
//! use tinpot_python::PythonPool;
//!
//! # async fn example() -> tinpot_core::Result<()> {
//! let executor = PythonPool::builder("actions").size(4).start().await?;
//! # let _ = executor;
//! # Ok(())
//! # }
//! ```
//!
//! The Python package `tinpot`, which actions import, is part of this crate: it need not be
//! installed.

mod base;
#[cfg(feature = "bundles")]
mod bundle_pools;
mod calls;
mod child_text;
mod directories;
mod discovered;
#[cfg(feature = "embed")]
mod embed;
mod environments;
mod error;
mod isolation;
mod limits;
mod markup_lines;
mod package;
mod pool;
mod python;
mod recycling;
mod reply;
#[cfg(feature = "bundles")]
mod uploads;

#[cfg(feature = "bundles")]
pub use self::bundle_pools::{BundlePools, BundlePoolsBuilder};
pub use self::directories::{Directories, DirectorySettings, StartMode};
#[cfg(feature = "embed")]
pub use self::embed::{PythonExecutor, PythonExecutorBuilder};
pub use self::environments::{BuiltEnvironment, EnvironmentOptions, PythonEnvironments};
pub use self::isolation::Isolation;
pub use self::limits::Limits;
pub use self::pool::{PythonPool, PythonPoolBuilder};
#[cfg(feature = "bundles")]
pub use self::uploads::FetchUploads;
pub use tinpot_contain::{Containment, ContainmentMode, Surroundings};
pub use tinpot_venv::{Requirements, WantedPython};
