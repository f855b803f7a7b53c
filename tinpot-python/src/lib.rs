//! Tinpot's executors for Python actions.
//!
//! [`PythonPool`] runs each attempt in a warm child interpreter: what becomes of an attempt, a crash included, is the attempt's alone, and
//! it can always be killed. It needs a Python of 3.9 or newer at run time and nothing at build time.
//!
//! With the feature `embed` there is also `PythonExecutor`: CPython in the worker's own process, for attempts that take microseconds.
//!
//! | feature | what it adds | what it needs |
//! | --- | --- | --- |
//! | `embed` | `PythonExecutor` | libpython and its headers |

mod calls;
mod cgroup;
mod containment;
mod discovered;
#[cfg(feature = "embed")]
mod embed;
mod error;
mod limits;
mod line_splitter;
mod markup_lines;
mod package;
mod pool;
mod python;
mod reply;

pub use self::containment::{Containment, ContainmentMode};
#[cfg(feature = "embed")]
pub use self::embed::{PythonExecutor, PythonExecutorBuilder};
pub use self::limits::Limits;
pub use self::pool::{PythonPool, PythonPoolBuilder};
