//! Audit: who did what, and what was decided.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::model::error::Result;
use crate::model::time::Timestamp;

/// The principal of an [`AuditEvent`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AuditWho {
    /// The id of the principal; empty if there is no known one.
    pub id: Arc<str>,
    /// The name, for people.
    pub name: Arc<str>,
    /// The team in which it acted.
    pub team: Arc<str>,
    /// The id of the token or sign-in by which it was known.
    pub via: Arc<str>,
    /// The kind of principal, such as `user`, `program` or `operator`.
    pub kind: Arc<str>,
}

impl AuditWho {
    /// Creates a principal with this kind, id and name.
    pub fn new(
        kind: impl Into<Arc<str>>,
        id: impl Into<Arc<str>>,
        name: impl Into<Arc<str>>,
    ) -> Self {
        Self { kind: kind.into(), id: id.into(), name: name.into(), ..Self::default() }
    }

    /// Sets the team in which it acted.
    #[must_use]
    pub fn team(mut self, team: impl Into<Arc<str>>) -> Self {
        self.team = team.into();
        self
    }

    /// Sets the id of the token or sign-in by which it was known.
    #[must_use]
    pub fn via(mut self, via: impl Into<Arc<str>>) -> Self {
        self.via = via.into();
        self
    }
}

/// The object of an [`AuditEvent`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AuditTarget {
    /// The kind of object, such as `execution` or `token`.
    pub kind: Arc<str>,
    /// Its id.
    pub id: Arc<str>,
    /// Its team.
    pub team: Arc<str>,
}

impl AuditTarget {
    /// Creates an object with this kind and id.
    pub fn new(kind: impl Into<Arc<str>>, id: impl Into<Arc<str>>) -> Self {
        Self { kind: kind.into(), id: id.into(), team: "".into() }
    }

    /// Sets its team.
    #[must_use]
    pub fn team(mut self, team: impl Into<Arc<str>>) -> Self {
        self.team = team.into();
        self
    }
}

/// The decision of an [`AuditEvent`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AuditDecision {
    /// It was allowed, and done.
    #[default]
    Allowed,
    /// It was refused.
    Refused,
    /// It was allowed, and failed.
    Failed,
}

/// One event of the audit: plain data, without parameters, secrets and tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AuditEvent {
    /// The time of the event.
    pub time: Timestamp,
    /// The principal.
    #[serde(default)]
    pub who: AuditWho,
    /// The name of what was done, such as `token.create`.
    pub what: Arc<str>,
    /// The object.
    #[serde(default)]
    pub target: AuditTarget,
    /// More about it, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The decision.
    #[serde(default)]
    pub decision: AuditDecision,
    /// The reason of a refusal or failure.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The address from which it was asked for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// The id of the request.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
    /// The node that recorded it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
}

impl AuditEvent {
    /// Creates an event that was allowed.
    pub fn new(time: Timestamp, who: AuditWho, what: impl Into<Arc<str>>) -> Self {
        Self {
            time,
            who,
            what: what.into(),
            target: AuditTarget::default(),
            detail: String::new(),
            decision: AuditDecision::Allowed,
            why: String::new(),
            from: String::new(),
            request_id: String::new(),
            node: String::new(),
        }
    }

    /// Sets the object.
    #[must_use]
    pub fn target(mut self, target: AuditTarget) -> Self {
        self.target = target;
        self
    }

    /// Sets more about it, for people.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Sets a decision other than `Allowed`, with its reason.
    #[must_use]
    pub fn decided(mut self, decision: AuditDecision, why: impl Into<String>) -> Self {
        self.decision = decision;
        self.why = why.into();
        self
    }

    /// Sets the address and the id of the request.
    #[must_use]
    pub fn request(mut self, from: impl Into<String>, request_id: impl Into<String>) -> Self {
        self.from = from.into();
        self.request_id = request_id.into();
        self
    }
}

/// Takes the events of the audit.
///
/// # Contract
/// - **Durable**: `Ok` means that the events are as durable as the sink claims.
/// - **Order**: the events of one call stay in order, as do those of calls that follow each other.
/// - **Whole**: after an error, none of the events of the call is recorded, or each of them may be:
///   the caller may record them again.
/// - **Bounds**: a sink that buffers does so within a bound, and waits or answers `Overloaded`.
/// - **Cancel safety**: the events of a dropped call are recorded or not, each as a whole.
#[async_trait]
pub trait AuditSink: fmt::Debug + Send + Sync + 'static {
    /// Records events.
    ///
    /// # Errors
    /// `StorageFull`, `Overloaded` or `Unavailable` if they cannot be recorded now.
    async fn record(&self, events: &[AuditEvent]) -> Result<()>;
}

#[async_trait]
impl<T: AuditSink + ?Sized> AuditSink for Arc<T> {
    async fn record(&self, events: &[AuditEvent]) -> Result<()> {
        (**self).record(events).await
    }
}
