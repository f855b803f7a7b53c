//! The guest: a worker at a daemon of mooR, whose requests run actions of a coordinator.

mod answer;
mod arguments;
mod serve;

use std::time::Duration;

use tinpot_core::{Coordinator, Error, ErrorKind, Result};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use self::serve::{Running, Serving};
use crate::address::MoorAddress;
use crate::client::{Client, ClientConfig};
use crate::keys::SigningKey;
use crate::wire::Dialect;

/// Requests at once, unless the host says otherwise.
const REQUESTS: usize = 100;
/// The longest time of a request, unless the host says otherwise.
const TIMEOUT: Duration = Duration::from_secs(300);
/// The time that requests have to end when the daemon asks the worker to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// A worker at a daemon of mooR: each request becomes an execution of one action.
///
/// - It attaches again and again until the daemon is there, answers pings while executions run, and
///   registers again at a daemon that was restarted.
/// - A request runs at most once. Its answer is kept until the daemon acknowledges it, and a daemon
///   that was restarted has forgotten the request.
/// - The arguments are the parameters of the action in the order of its schema. One map whose keys
///   are parameters has all of them, and an action with the parameter `args` gets a list.
///
/// Dropping a guest ends it at once; [`shutdown`](Self::shutdown) lets requests end first.
///
/// ```
/// use std::time::Duration;
/// use tinpot_core::{Failure, FunctionExecutor, local};
/// use tinpot_moor::{Dialect, Guest};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> tinpot_core::Result<()> {
/// let executor = FunctionExecutor::builder()
///     .action("tick", |_, ()| async { Ok::<_, Failure>("tock") })
///     .build()?;
/// let tinpot = local(executor).await?;
/// // In a MOO: worker_request("tick", {})
/// # let folder = std::env::temp_dir().join(format!("guest-{}", std::process::id()));
/// # let address = format!("ipc://{}", folder.display());
/// let address = address.parse().expect("an address");
/// let guest = Guest::builder(tinpot.coordinator(), address, "tick")
///     .dialect(Dialect::Plain)
///     .start()?;
/// guest.shutdown(Duration::ZERO).await?;
/// tinpot.shutdown(Duration::ZERO).await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "dropping a guest ends it: keep it, and end it with `shutdown`"]
pub struct Guest {
    id: Uuid,
    stop: watch::Sender<Option<Duration>>,
    task: JoinHandle<Result<()>>,
    /// The result, once the task has ended.
    result: Option<Result<()>>,
}

/// The options of a [`Guest`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `start`"]
pub struct GuestBuilder {
    coordinator: Coordinator,
    address: MoorAddress,
    worker_type: String,
    action: String,
    dialect: Dialect,
    key: Option<SigningKey>,
    max_requests: usize,
    timeout: Duration,
}

impl Guest {
    /// Returns a builder for a worker of this type at the daemon with this address. It runs the
    /// action with the same name.
    pub fn builder(
        coordinator: &Coordinator,
        address: MoorAddress,
        worker_type: &str,
    ) -> GuestBuilder {
        GuestBuilder {
            coordinator: coordinator.clone(),
            address,
            worker_type: worker_type.to_owned(),
            action: worker_type.to_owned(),
            dialect: Dialect::Token,
            key: None,
            max_requests: REQUESTS,
            timeout: TIMEOUT,
        }
    }

    /// Returns the id of the worker, a new one for each guest.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Waits until the guest has ended.
    ///
    /// # Errors
    /// `Forbidden` if the daemon refuses the worker; `Closed` if its address cannot be used.
    pub async fn ended(&mut self) -> Result<()> {
        if let Some(result) = &self.result {
            return copy(result);
        }
        let result = (&mut self.task).await.unwrap_or_else(|error| {
            Err(Error::new(ErrorKind::Other, format!("a guest has failed: {error}")))
        });
        self.result = Some(copy(&result));
        result
    }

    /// Takes no new requests, waits for those that run for at most `patience`, cancels the rest,
    /// and ends.
    ///
    /// # Errors
    /// Those of [`ended`](Self::ended).
    pub async fn shutdown(mut self, patience: Duration) -> Result<()> {
        self.stop.send_replace(Some(patience));
        self.ended().await
    }
}

fn copy(result: &Result<()>) -> Result<()> {
    let result = result.as_ref().copied();
    result.map_err(|error| Error::new(error.kind(), error.message().to_owned()))
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl GuestBuilder {
    /// Sets the action that requests run.
    pub fn action(mut self, action: &str) -> Self {
        action.clone_into(&mut self.action);
        self
    }

    /// Sets the dialect of the daemon. By default, workers send tokens.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Sets the key that signs the token of the worker.
    pub fn key(mut self, key: &SigningKey) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// Sets the largest number of requests at once, 100 by default. More are refused as busy.
    pub fn max_requests(mut self, requests: usize) -> Self {
        self.max_requests = requests;
        self
    }

    /// Sets the longest time of a request, 5 minutes by default. The daemon can set a shorter one.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Starts the worker. Must be called within a tokio runtime with time and I/O.
    ///
    /// # Errors
    /// `InvalidInput` for tokens without a key, or a type without a name.
    pub fn start(self) -> Result<Guest> {
        let invalid = |message: &str| Err(Error::new(ErrorKind::InvalidInput, message));
        if self.worker_type.is_empty() {
            return invalid("the type of a worker must have a name");
        }
        let id = Uuid::new_v4();
        let token = match (self.dialect, &self.key) {
            (Dialect::Token, None) => {
                return invalid(
                    "a daemon of mooR of October 2025 wants tokens, and there is no key to sign \
                     them: name the file of the private key, or choose the dialect plain",
                );
            }
            (Dialect::Token, Some(key)) => Some(key.token(id)?),
            (Dialect::Plain, _) => None,
        };
        let config = ClientConfig {
            dialect: self.dialect,
            worker: id,
            worker_type: self.worker_type,
            token,
            max_requests: self.max_requests,
        };
        let (cancel, cancelled) = watch::channel(false);
        let serving = Serving {
            client: Client::new(Duration::ZERO, config),
            address: self.address,
            dialect: self.dialect,
            started: Instant::now(),
            running: Running {
                coordinator: self.coordinator,
                action: self.action,
                timeout: self.timeout,
                cancel: cancelled,
            },
            cancel,
            patience: PATIENCE,
        };
        let (stop, stopped) = watch::channel(None);
        let task = tokio::spawn(serving.run(stopped));
        Ok(Guest { id, stop, task, result: None })
    }
}
