//! CPython in the worker's own process.

mod attempt;
mod interpreter;
mod sink;
mod spin;
mod threads;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tinpot_core::{ActionSet, Attempt, Context, Error, ErrorKind, Executor, Outcome, Result};
use tokio::sync::{Semaphore, watch};

use self::attempt::Job;
use self::interpreter::{Actions, Interpreter};
use self::threads::Threads;
use crate::error::PythonError;
use crate::pool::actions_dir;
use crate::python;

/// How long `close` waits for attempts to end that were asked to.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs Python actions on threads of the worker's own process, for the lowest latency.
///
/// Choose it with open eyes; [`PythonPool`](crate::PythonPool) has none of these limits:
/// - **Stopping is cooperative**: `tinpot.Cancelled` is raised in the attempt when it next runs Python code. An attempt that is in C code (or
///   sleeps) notices when that returns, and one that swallows the exception goes on; `execute` resolves only when it has ended, however
///   long after the grace period that is. Dropping the future asks in the same way.
/// - **A crash is shared**: a segmentation fault or `os._exit` ends the worker.
/// - **Logs are what Python prints**: `sys.stdout` and `sys.stderr`, from the attempt's thread, from threads it starts and from coroutines.
///   What C code, subprocesses and `os.write` write to file descriptors 1 and 2 goes where the worker's own output goes; `run_command`
///   passes output on.
/// - **Nothing is limited** but the size of a result: what actions say of memory, processor time, files and log is not heeded.
/// - **Nothing runs beside the places**: attempts at an action with a `concurrency` take a thread each, like all others.
/// - **Leftovers live on**: threads and processes that an action leaves behind are not ended.
/// - **One interpreter per process**, which attempts share with everything else that embeds Python in it: working directory, environment and
///   modules. What changes on the disk is not picked up: a module cannot be replaced while others use it. It is never finalised, and keeps the environment that the first executor chose.
///
/// [`close`](Executor::close) asks what runs to end, and fails when it has not after 10 s.
#[derive(Debug)]
pub struct PythonExecutor {
    interpreter: &'static Interpreter,
    actions: Actions,
    offer: watch::Sender<Arc<ActionSet>>,
    threads: Threads,
    slots: Arc<Semaphore>,
    /// How many attempts have not ended.
    running: Arc<AtomicUsize>,
    ended: Arc<watch::Sender<()>>,
    closed: watch::Sender<bool>,
    result_limit_bytes: usize,
}

/// Configures a [`PythonExecutor`].
#[derive(Clone, Debug)]
pub struct PythonExecutorBuilder {
    root: PathBuf,
    python: Option<PathBuf>,
    size: usize,
    import_timeout: Duration,
    result_limit_bytes: usize,
}

impl PythonExecutor {
    /// A builder for the actions below `root`.
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
    /// The interpreter, or the directory of a virtual environment, whose packages are used; it has to be of the version that this program was
    /// built with. By default that of `VIRTUAL_ENV`, else that of the interpreter this program was built with.
    #[must_use]
    pub fn python(mut self, path: impl Into<PathBuf>) -> Self {
        self.python = Some(path.into());
        self
    }

    /// How many attempts run at once; 32 by default, and at least 1.
    #[must_use]
    pub fn size(mut self, size: usize) -> Self {
        self.size = size.max(1);
        self
    }

    /// How long the import of all files together may take; 30 s by default.
    #[must_use]
    pub fn import_timeout(mut self, timeout: Duration) -> Self {
        self.import_timeout = timeout;
        self
    }

    /// The largest result, as JSON; 16 MiB by default. An attempt with a larger one fails. The worker has a limit of its own, for whatever executor:
    /// `WorkerBuilder::max_result_bytes`.
    #[must_use]
    pub fn result_limit_bytes(mut self, limit: usize) -> Self {
        self.result_limit_bytes = limit;
        self
    }

    /// Starts the interpreter, unless it runs already, and imports the actions.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) when the directory or the interpreter will not do, also when another executor in this process
    /// has chosen another environment; [`TimedOut`](ErrorKind::TimedOut) when an import does not end: its thread goes on for ever.
    pub async fn start(self) -> Result<PythonExecutor> {
        let root = actions_dir(&self.root)?;
        let python = match python::asked_for(self.python.as_deref()) {
            Some(path) => Some(python::probe(path).await?),
            None => None,
        };
        let (interpreter, actions, offer) =
            interpreter::start(root, python, self.import_timeout).await?;
        for problem in &offer.load_errors {
            tracing::warn!(place = problem.place, "{}", problem.message);
        }
        Ok(PythonExecutor {
            interpreter,
            actions,
            offer: watch::Sender::new(Arc::new(offer)),
            threads: Threads::default(),
            slots: Arc::new(Semaphore::new(self.size)),
            running: Arc::default(),
            ended: Arc::new(watch::Sender::new(())),
            closed: watch::Sender::new(false),
            result_limit_bytes: self.result_limit_bytes,
        })
    }
}

/// Counts an attempt for as long as its thread is at it.
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
    fn actions(&self) -> watch::Receiver<Arc<ActionSet>> {
        self.offer.subscribe()
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
            let problems = &self.offer.borrow().load_errors;
            let problems = problems.iter().map(|p| format!("\n{}: {}", p.place, p.message));
            return Outcome::failed(format!(
                "there is no action {:?} here{}",
                attempt.action,
                problems.collect::<String>()
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
        let threads_failed = self.threads.run(Box::new(move |py| {
            job.run(py);
            drop(counted);
        }));
        if let Err(e) = threads_failed {
            return Outcome::failed(format!("no thread to run it on: {e}"));
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
                    "{} attempts were asked to end and have not, after {} s",
                    self.running.load(Ordering::Acquire),
                    CLOSE_TIMEOUT.as_secs()
                ),
            )),
        }
    }
}
