//! The executors for Python actions: a pool of warm interpreters, and with the feature `embed`
//! CPython in this process.
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let actions = directory.path();
//! # std::fs::write(
//! #     actions.join("hello.py"),
//! #     "from tinpot import action\n\n@action\ndef hello(name: str):\n    return f'Hello, {name}!'\n",
//! # )?;
//! use tinpot::Executor;
//! use tinpot::python::PythonPool;
//!
//! // `actions` is a directory with Python files; the pool imports each.
//! let pool = PythonPool::builder(actions).size(1).reload(false).start().await?;
//! let names: Vec<String> =
//!     pool.actions().current().actions.iter().map(|action| action.name.to_string()).collect();
//! assert_eq!(names, ["hello"]);
//! pool.close().await?;
//! # Ok(())
//! # }
//! ```

#[doc(inline)]
pub use tinpot_python::{Containment, ContainmentMode, Limits, PythonPool, PythonPoolBuilder};
#[cfg(feature = "embed")]
#[cfg_attr(docsrs, doc(cfg(feature = "embed")))]
#[doc(inline)]
pub use tinpot_python::{PythonExecutor, PythonExecutorBuilder};
