//! CPython in the worker's own process.

mod attempt;
mod interpreter;
mod sink;
mod spin;
mod start;
mod threads;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tinpot_contain::{Environment, Surroundings};
use tinpot_core::executor::{ActionSet, Attempt};
use tinpot_core::{Context, Error, ErrorKind, Executor, Outcome, Result, Watcher};
use tokio::sync::{Semaphore, watch};

use self::attempt::Job;
use self::interpreter::{Actions, Interpreter};
use self::threads::Threads;
use crate::base::Base;
use crate::error::PythonError;
use crate::pool::actions_dir;
use crate::python;

/// The time that `close` waits for the end of attempts.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs Python actions on threads of the worker's own process, for the lowest latency.
///
/// [`PythonPool`](crate::PythonPool) does not have the following restrictions:
/// - **Stopping is cooperative**: `tinpot.Cancelled` is raised in the attempt when it next runs
///   Python code. An attempt in C code (or in `sleep`) gets it when that returns, and an attempt
///   that swallows the exception goes on. `execute` resolves when the attempt has ended, which may
///   be long after the grace period. Dropping the future stops the attempt in the same way.
/// - **A crash is shared**: A segmentation fault or `os._exit` ends the worker.
/// - **The log has Python's output only**: `sys.stdout` and `sys.stderr`, from the attempt's
///   thread, from threads that it starts and from coroutines. What C code, subprocesses and
///   `os.write` write to file descriptors 1 and 2 goes to the worker's own output. `run_command`
///   passes the output on.
/// - **No limits** except the size of a result: the limits of actions for memory, processor time,
///   files and log have no effect.
/// - **No shared interpreters**: Each attempt at an action with a `concurrency` takes a thread,
///   like all others.
/// - **Leftovers stay**: Threads and processes that an action leaves behind are not ended.
/// - **One interpreter per process**: Attempts share the working directory, the environment and the
///   modules with each other and with all other code that embeds Python. Changed files are not
///   reloaded, because a module cannot be replaced while it is in use. The interpreter is never
///   finalised, and keeps the environment of the first executor.
///
/// [`close`](Executor::close) stops the running attempts. It fails with
/// [`TimedOut`](ErrorKind::TimedOut) if one has not ended after 10 s.
///
/// # Examples
/// ```no_run
/// use tinpot_python::PythonExecutor;
///
/// # async fn example() -> tinpot_core::Result<()> {
/// let executor = PythonExecutor::builder("actions").size(8).start().await?;
/// // Add it to a worker with `WorkerBuilder::executor`.
/// # let _ = executor;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct PythonExecutor {
    interpreter: &'static Interpreter,
    actions: Actions,
    action_set: watch::Sender<Arc<ActionSet>>,
    threads: Threads,
    slots: Arc<Semaphore>,
    /// The number of attempts that have not ended.
    running: Arc<AtomicUsize>,
    ended: Arc<watch::Sender<()>>,
    closed: watch::Sender<bool>,
    result_limit_bytes: usize,
}

/// Configures a [`PythonExecutor`].
///
/// [`PythonExecutor`] has an example.
#[derive(Clone, Debug)]
pub struct PythonExecutorBuilder {
    root: PathBuf,
    python: Option<PathBuf>,
    size: usize,
    import_timeout: Duration,
    result_limit_bytes: usize,
}

impl PythonExecutor {
    /// Returns a builder for an executor with the actions below `root`.
    pub fn builder(root: impl Into<PathBuf>) -> PythonExecutorBuilder {
        PythonExecutorBuilder {
            root: root.into(),
            python: None,
            size: 32,
            import_timeout: Duration::from_secs(30),
            result_limit_bytes: 16 * 1024 * 1024,
        }
    }
}

impl PythonExecutorBuilder {
    /// Sets the environment whose packages are used: an interpreter, or the directory of a virtual
    /// environment.
    ///
    /// The interpreter starts in it, as its own program would. It must have the version and the ABI
    /// of the Python that this program was built with. The default is that of `VIRTUAL_ENV`, else
    /// that of the interpreter that this program was built with.
    #[must_use]
    pub fn python(mut self, path: impl Into<PathBuf>) -> Self {
        self.python = Some(path.into());
        self
    }

    /// Sets the number of attempts that run at once, at least 1. The default is 32.
    #[must_use]
    pub fn size(mut self, size: usize) -> Self {
        self.size = size.max(1);
        self
    }

    /// Sets the time limit for the import of all files. The default is 30 s.
    #[must_use]
    pub fn import_timeout(mut self, timeout: Duration) -> Self {
        self.import_timeout = timeout;
        self
    }

    /// Sets the maximum size of a result as JSON. The default is 16 MiB.
    ///
    /// An attempt with a larger result fails. The worker has a limit of its own for all executors:
    /// `WorkerBuilder::max_result_bytes`.
    #[must_use]
    pub fn result_limit_bytes(mut self, limit: usize) -> Self {
        self.result_limit_bytes = limit;
        self
    }

    /// Starts the interpreter unless it runs already, and imports the actions.
    ///
    /// # Errors
    /// - [`InvalidInput`](ErrorKind::InvalidInput) if the directory cannot be read, if the
    ///   interpreter is missing, broken or of another version, or if another executor of this
    ///   process uses another environment.
    /// - [`TimedOut`](ErrorKind::TimedOut) if the imports exceed
    ///   [`import_timeout`](Self::import_timeout). The importing thread goes on.
    pub async fn start(self) -> Result<PythonExecutor> {
        let root = actions_dir(&self.root)?;
        let python = match python::choose(self.python.as_deref()) {
            Some(path) => {
                let environment = Environment::of_this_process(&[]);
                let base = Base::new(environment, Vec::new(), Surroundings::default());
                Some(python::probe(path, &base).await?)
            }
            None => None,
        };
        let (interpreter, actions, action_set) =
            interpreter::start(root, python, self.import_timeout).await?;
        for load_error in &action_set.load_errors {
            tracing::warn!(place = load_error.place, "{}", load_error.message);
        }
        Ok(PythonExecutor {
            interpreter,
            actions,
            action_set: watch::Sender::new(Arc::new(action_set)),
            threads: Threads::default(),
            slots: Arc::new(Semaphore::new(self.size)),
            running: Arc::default(),
            ended: Arc::new(watch::Sender::new(())),
            closed: watch::Sender::new(false),
            result_limit_bytes: self.result_limit_bytes,
        })
    }
}

/// Counts an attempt while its thread runs it.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>, Arc<watch::Sender<()>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
        self.1.send_replace(());
    }
}

#[async_trait]
impl Executor for PythonExecutor {
    fn actions(&self) -> Watcher<Arc<ActionSet>> {
        self.action_set.subscribe().into()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        if context.stop_requested().is_some() {
            return Outcome::Cancelled;
        }
        let closed = || Outcome::failed(PythonError::Closed.to_string());
        let _slot = match self.slots.try_acquire() {
            Ok(slot) => slot,
            Err(_) => tokio::select! {
                slot = self.slots.acquire() => match slot {
                    Ok(slot) => slot,
                    Err(_) => return closed(),
                },
                _ = context.stopped() => return Outcome::Cancelled,
            },
        };
        if *self.closed.borrow() {
            return closed();
        }
        let Some(entry) = self.actions.find(&attempt.action) else {
            let load_errors = &self.action_set.borrow().load_errors;
            let load_errors = load_errors.iter().map(|p| format!("\n{}: {}", p.place, p.message));
            return Outcome::failed(format!(
                "there is no action {:?}{}",
                attempt.action,
                load_errors.collect::<String>()
            ));
        };
        let alone = self.running.fetch_add(1, Ordering::AcqRel) == 0;
        let counted = Counted(self.running.clone(), self.ended.clone());
        let (job, handle) = Job::new(
            self.interpreter,
            entry,
            attempt,
            &context,
            self.slots.clone(),
            self.result_limit_bytes,
        );
        let started = self.threads.run(Box::new(move |py| {
            job.run(py);
            drop(counted);
        }));
        if let Err(e) = started {
            return Outcome::failed(format!("cannot start a thread for the attempt: {e}"));
        }
        handle.follow(&context, self.closed.subscribe(), alone).await
    }

    async fn close(&self) -> Result<()> {
        self.closed.send_replace(true);
        self.slots.close();
        let mut ended = self.ended.subscribe();
        let all = async {
            while self.running.load(Ordering::Acquire) > 0 {
                if ended.changed().await.is_err() {
                    break;
                }
            }
        };
        match tokio::time::timeout(CLOSE_TIMEOUT, all).await {
            Ok(()) => Ok(()),
            Err(_) => Err(Error::new(
                ErrorKind::TimedOut,
                format!(
                    "{} attempts did not end within {} s",
                    self.running.load(Ordering::Acquire),
                    CLOSE_TIMEOUT.as_secs()
                ),
            )),
        }
    }
}
