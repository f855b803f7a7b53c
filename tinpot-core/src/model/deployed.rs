//! Deployed actions: those whose definitions the coordinator holds instead of a worker.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::digest::Digest;

/// The version of a deployed action that is active: the default of its submissions.
///
/// ```
/// use tinpot_core::{Action, Deployed, Digest};
///
/// let bundle = Digest::from([7; 32]);
/// let action = Action::new("report")?.deployed(Deployed::new("script", 3, bundle));
/// assert!(action.deployed.is_some_and(|deployed| deployed.enabled));
/// # Ok::<_, tinpot_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deployed {
    /// The runtime that a worker needs to run it, such as `script`.
    pub runtime: Arc<str>,
    /// The number of the version, from 1; [`REMOVED`](Self::REMOVED) once the app was removed.
    pub version: u32,
    /// The digest of the manifest of its bundle.
    pub bundle: Digest,
    /// If false, submissions are refused. What was accepted before runs.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The name of the app, if it is not that of the action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<Arc<str>>,
}

fn yes() -> bool {
    true
}

impl Deployed {
    /// The version of an action whose app was removed. The action counts as unknown, and what was
    /// accepted before runs.
    pub const REMOVED: u32 = 0;

    /// Returns true if the app was removed.
    pub fn is_removed(&self) -> bool {
        self.version == Self::REMOVED
    }

    /// Creates a version that is enabled.
    pub fn new(runtime: impl Into<Arc<str>>, version: u32, bundle: Digest) -> Self {
        Self { runtime: runtime.into(), version, bundle, enabled: true, app: None }
    }

    /// Sets whether it takes submissions.
    #[must_use]
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Names the app, for an action with another name.
    #[must_use]
    pub fn app(mut self, name: impl Into<Arc<str>>) -> Self {
        self.app = Some(name.into());
        self
    }

    /// Returns what an execution of this version is pinned to, if the action has no concurrency:
    /// [`Action::bundle_ref`](crate::Action::bundle_ref) takes that in.
    pub fn bundle_ref(&self) -> BundleRef {
        BundleRef::new(self.version, self.bundle, self.runtime.clone())
    }
}

/// The bundle to which an execution is pinned when it is accepted: every attempt runs this one,
/// whatever is deployed meanwhile.
///
/// ```
/// use tinpot_core::{BundleRef, Digest};
///
/// let bundle = BundleRef::new(3, Digest::from([7; 32]), "script");
/// assert_eq!((bundle.version, &*bundle.runtime), (3, "script"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BundleRef {
    /// The number of the version.
    pub version: u32,
    /// The digest of the manifest of the bundle.
    pub bundle: Digest,
    /// The runtime that a worker needs to run it.
    pub runtime: Arc<str>,
    /// The number of attempts at the action that run at once on a worker and take no slots there;
    /// `None` if each takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
}

impl BundleRef {
    /// Refers to the bundle of a version.
    pub fn new(version: u32, bundle: Digest, runtime: impl Into<Arc<str>>) -> Self {
        Self { version, bundle, runtime: runtime.into(), concurrency: None }
    }

    /// Sets the number of attempts that run at once on a worker and take no slots there. By default,
    /// each takes one.
    #[must_use]
    pub fn concurrency(mut self, attempts: Option<u32>) -> Self {
        self.concurrency = attempts;
        self
    }
}

/// The right to read one bundle while one attempt lives. A worker passes it on unread to the server
/// that keeps the bundles. Its `Debug` form leaves out the text.
///
/// ```
/// use tinpot_core::BundleTicket;
///
/// let ticket = BundleTicket::new("secret");
/// assert_eq!(ticket.expose(), "secret");
/// assert!(!format!("{ticket:?}").contains("secret"));
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BundleTicket(Arc<str>);

impl BundleTicket {
    /// Creates a ticket with this text.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for BundleTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BundleTicket").finish_non_exhaustive()
    }
}
