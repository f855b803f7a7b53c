//! Actions: named callables with typed parameters.

mod parameters;
mod schema;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::parameters::{Parameter, parameters};
pub use self::schema::Schema;
pub(crate) use self::schema::{SecretParts, secret_texts};
use crate::model::deployed::{BundleRef, Deployed};
use crate::model::digest::Digest;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::json::Json;
use crate::model::python_environment::PythonEnvironment;
use crate::model::retry::RetryPolicy;
pub use crate::model::violation::Violation;
use crate::model::visible::{DEFAULT_TEAM, action_key};

/// The queue of an action that names none.
pub const DEFAULT_QUEUE: &str = "default";
/// The action by which a worker with the runtime `python` imports a bundle. Its result is the list
/// of the actions that the bundle has.
pub const IMPORT_ACTION: &str = "tinpot.import";
/// The group of an action that names none.
pub const DEFAULT_GROUP: &str = "General";

/// A named callable with typed parameters, as an executor offers it.
///
/// ```
/// use std::time::Duration;
/// use tinpot_core::{Action, RetryPolicy};
///
/// let action = Action::new("backup")?.group("Maintenance").timeout(Duration::from_secs(600));
/// assert_eq!(action.retry, RetryPolicy::never());
/// assert!(Action::new("a/b").is_err());
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Action {
    /// The name, unique within a team: 1 to 128 characters without `/` and control characters.
    pub name: String,
    /// The team that it belongs to; empty for the default team. The coordinator sets it: what a
    /// worker says here is ignored.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub team: String,
    /// The group under which people find it.
    #[serde(default = "default_group")]
    pub group: String,
    /// The description, for people.
    #[serde(default)]
    pub description: String,
    /// The queue, which selects the workers.
    #[serde(default = "default_queue")]
    pub queue: String,
    /// The JSON Schema of the parameters: an object with `properties`, in the order of the callable's
    /// signature.
    #[serde(default = "any_parameters")]
    pub schema: Json,
    /// The JSON Schema of the result, if known. It is for people and is not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_schema: Option<Json>,
    /// The priority. Within a queue, higher runs first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// The time for which an execution waits at least; milliseconds on the wire.
    #[serde(
        default,
        with = "crate::model::serde_millis::optional_millis",
        rename = "delay_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub delay: Option<Duration>,
    /// The time after which an execution fails if it is still queued; milliseconds on the wire.
    #[serde(
        default,
        with = "crate::model::serde_millis::optional_millis",
        rename = "expires_in_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_in: Option<Duration>,
    /// The longest duration of an attempt; milliseconds on the wire. `None` means no limit.
    #[serde(
        default,
        with = "crate::model::serde_millis::optional_millis",
        rename = "timeout_ms",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<Duration>,
    /// The number of attempts that may run at once on a worker, outside its slots. `None` means that
    /// each attempt takes a slot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// The policy after an attempt that failed, timed out or was lost.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: RetryPolicy,
    /// The active version, if the coordinator holds the definition:
    /// [`Coordinator::deploy`](crate::Coordinator::deploy) sets it. What a worker says here is
    /// ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Deployed>,
}

fn default_group() -> String {
    DEFAULT_GROUP.to_owned()
}

fn default_queue() -> String {
    DEFAULT_QUEUE.to_owned()
}

fn any_parameters() -> Json {
    Json::empty_object()
}

fn is_zero(priority: &i32) -> bool {
    *priority == 0
}

/// Returns true if the policy can be left out. A policy without retries may still set the delays, for
/// submissions that ask for retries.
fn is_default(policy: &RetryPolicy) -> bool {
    *policy == RetryPolicy::default()
}

impl Action {
    /// Creates an action in the default group and queue, without a schema, timeout and retries.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the name is empty, longer than 128 characters, or has a `/` or a
    /// control character.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        check_label("action name", &name)?;
        Ok(Self {
            name,
            team: String::new(),
            group: default_group(),
            description: String::new(),
            queue: default_queue(),
            schema: any_parameters(),
            result_schema: None,
            priority: 0,
            delay: None,
            expires_in: None,
            timeout: None,
            concurrency: None,
            retry: RetryPolicy::never(),
            deployed: None,
        })
    }

    /// Returns the name of the team that it belongs to.
    pub fn team_name(&self) -> &str {
        if self.team.is_empty() { DEFAULT_TEAM } else { &self.team }
    }

    /// Returns the key of the action in a [`Catalogue`](crate::Catalogue): its name, and in front of
    /// it `team/` unless it belongs to the default team.
    pub fn key(&self) -> std::sync::Arc<str> {
        action_key(&self.team, &self.name)
    }

    /// Sets the group.
    #[must_use]
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = group.into();
        self
    }

    /// Sets the description.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// Sets the queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = queue.into();
        self
    }

    /// Sets the JSON Schema of the parameters.
    #[must_use]
    pub fn schema(mut self, schema: Json) -> Self {
        self.schema = schema;
        self
    }

    /// Sets the JSON Schema of the result.
    #[must_use]
    pub fn result_schema(mut self, schema: Json) -> Self {
        self.result_schema = Some(schema);
        self
    }

    /// Sets the priority. Within a queue, higher runs first.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the time for which an execution waits at least.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    /// Sets the time after which an execution fails if it is still queued.
    #[must_use]
    pub fn expires_in(mut self, expires_in: Duration) -> Self {
        self.expires_in = Some(expires_in);
        self
    }

    /// Limits the duration of an attempt.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the number of attempts that may run at once on a worker, outside its slots: for actions that
    /// mostly wait.
    #[must_use]
    pub fn concurrency(mut self, attempts: u32) -> Self {
        self.concurrency = Some(attempts.max(1));
        self
    }

    /// Returns what an execution of this version is pinned to; `None` if the action is not deployed.
    pub fn bundle_ref(&self) -> Option<BundleRef> {
        let deployed = self.deployed.as_ref()?;
        Some(deployed.bundle_ref().concurrency(self.concurrency))
    }

    /// Sets the policy after an attempt that failed, timed out or was lost.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the team; empty for the default team.
    #[must_use]
    pub fn team(mut self, team: impl Into<String>) -> Self {
        self.team = team.into();
        self
    }

    /// Sets the active version, for [`Coordinator::deploy`](crate::Coordinator::deploy).
    #[must_use]
    pub fn deployed(mut self, deployed: Deployed) -> Self {
        self.deployed = Some(deployed);
        self
    }
}

/// Checks the name of an action, a queue or a group.
///
/// # Errors
/// [`ErrorKind::InvalidInput`], naming `what`, if it is empty, longer than 128 characters, or has a `/`
/// or a control character.
pub fn check_label(what: &str, label: &str) -> Result<()> {
    let chars = label.chars().count();
    let message = if !(1..=128).contains(&chars) {
        format!("{what} must have 1 to 128 characters (got {chars})")
    } else if label.chars().any(|c| c == '/' || c.is_control()) {
        format!("{what} must not have '/' or control characters (got {label:?})")
    } else {
        return Ok(());
    };
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// A reason why a file or an action could not be loaded, such as a syntax error or a duplicate name.
///
/// ```
/// use tinpot_core::executor::ActionSet;
/// use tinpot_core::{Action, LoadError};
///
/// // The offer of an executor that could load one of two files.
/// let offer = ActionSet::new([Action::new("backup")?])
///     .load_error(LoadError::new("restore.py", "line 3: invalid syntax"));
/// assert_eq!(offer.load_errors[0].place, "restore.py");
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LoadError {
    /// The place of the error, usually a file.
    pub place: String,
    /// The error message, with a traceback if there is one.
    pub message: String,
    /// If true, actions that could be loaded are not offered because of this, until it is over: the
    /// executor cannot start them, or the disk is full.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocking: bool,
    /// The bundle that cannot be loaded: deployed actions of this bundle count as not available where
    /// no other worker runs them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<Digest>,
    /// If true, this is a notice, and not an error: everything was loaded, and something about it is
    /// worth knowing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub notice: bool,
}

impl LoadError {
    /// Creates a load error at `place`.
    pub fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        let (place, message) = (place.into(), message.into());
        Self { place, message, blocking: false, bundle: None, notice: false }
    }

    /// Makes it a notice: everything was loaded, and something about it is worth knowing.
    #[must_use]
    pub fn notice(mut self) -> Self {
        self.notice = true;
        self
    }

    /// Marks the error as the reason why actions that could be loaded are not offered.
    #[must_use]
    pub fn blocking(mut self) -> Self {
        self.blocking = true;
        self
    }

    /// Names the bundle that cannot be loaded.
    #[must_use]
    pub fn of_bundle(mut self, bundle: Digest) -> Self {
        self.bundle = Some(bundle);
        self
    }
}

/// All actions and runtimes that one executor or one worker offers, its load errors, and its Python
/// environments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ActionSet {
    /// The actions, each name once.
    #[serde(default)]
    pub actions: Vec<std::sync::Arc<Action>>,
    /// The runtimes: an executor that offers one runs every deployed action that needs it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runtimes: Vec<std::sync::Arc<str>>,
    /// The actions and files that could not be loaded; `problems` on the wire.
    #[serde(default, rename = "problems", skip_serializing_if = "Vec::is_empty")]
    pub load_errors: Vec<LoadError>,
    /// The Python environments of the actions; `python_environments` on the wire.
    #[serde(default, rename = "python_environments", skip_serializing_if = "Vec::is_empty")]
    pub environments: Vec<PythonEnvironment>,
}

impl ActionSet {
    /// Creates a set of these actions, without load errors.
    pub fn new(actions: impl IntoIterator<Item = Action>) -> Self {
        Self { actions: actions.into_iter().map(std::sync::Arc::new).collect(), ..Self::default() }
    }

    /// Adds a runtime.
    #[must_use]
    pub fn runtime(mut self, runtime: impl Into<std::sync::Arc<str>>) -> Self {
        self.runtimes.push(runtime.into());
        self
    }

    /// Adds a load error.
    #[must_use]
    pub fn load_error(mut self, error: LoadError) -> Self {
        self.load_errors.push(error);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Action;
    use crate::model::retry::{Backoff, RetryPolicy};

    #[test]
    fn delays_travel_without_retries() {
        let plain = Action::new("plain").expect("a name");
        assert!(!serde_json::to_string(&plain).expect("JSON").contains("retry"));
        let backoff = Backoff::fixed(Duration::from_secs(60));
        let action = plain.retry(RetryPolicy::new(0, backoff).max_lost_attempts(1));
        let text = serde_json::to_string(&action).expect("JSON");
        assert_eq!(serde_json::from_str::<Action>(&text).expect("an action"), action, "{text}");
    }
}
