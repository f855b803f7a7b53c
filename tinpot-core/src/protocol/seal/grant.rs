//! The grants of worker keys.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::handshake::KeyId;
use super::suite::PublicKey;
use crate::model::action::{Action, ActionSet, LoadError};
use crate::model::error::Result;
use crate::model::names::Names;
use crate::model::visible::{DEFAULT_TEAM, action_key};
use crate::protocol::coordinator::CatalogueEntry;
use crate::protocol::message::{Granted, Hello};

/// The names and offers that workers of one enrolled key may have. `None` means no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerGrant {
    /// The public key.
    pub key: PublicKey,
    /// The names, as a pattern with `*`.
    pub names: String,
    /// The queues.
    pub queues: Option<Vec<String>>,
    /// The groups of actions.
    pub groups: Option<Vec<String>>,
    /// The actions, as patterns with `*`.
    pub actions: Option<Vec<String>>,
    /// The maximum number of slots.
    pub slots: Option<u32>,
    /// The teams that their actions belong to. `None` means the default team.
    pub teams: Option<Vec<String>>,
    /// The key that this one has replaced: its workers take over what those of that key hold.
    pub follows: Option<KeyId>,
}

/// The limits of a [`WorkerGrant`], as they are stored and sent. `None` means no limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerLimits {
    /// The names, as a pattern with `*`.
    pub names: String,
    /// The queues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queues: Option<Vec<String>>,
    /// The groups of actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Vec<String>>,
    /// The actions, as patterns with `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actions: Option<Vec<String>>,
    /// The maximum number of slots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
    /// The teams that their actions belong to. `None` means the default team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teams: Option<Vec<String>>,
}

impl WorkerLimits {
    /// Limits workers to these names.
    pub fn new(names: impl Into<String>) -> Self {
        let (queues, groups, actions, slots, teams) = Default::default();
        Self { names: names.into(), queues, groups, actions, slots, teams }
    }
}

impl WorkerGrant {
    /// Grants what these limits allow.
    pub fn limited(key: PublicKey, limits: WorkerLimits) -> Self {
        let WorkerLimits { names, queues, groups, actions, slots, teams } = limits;
        Self { key, names, queues, groups, actions, slots, teams, follows: None }
    }

    /// Grants everything to workers of these names.
    pub fn new(key: PublicKey, names: impl Into<String>) -> Self {
        let (queues, groups, actions, slots, teams) = Default::default();
        let limits = WorkerLimits { names: names.into(), queues, groups, actions, slots, teams };
        Self::limited(key, limits)
    }

    /// Returns the grant of a key that replaces the one of this grant.
    #[must_use]
    pub fn of_successor(&self, key: PublicKey, follows: KeyId) -> Self {
        Self { key, follows: Some(follows), ..self.clone() }
    }

    /// Returns true if another grant has the same limits.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        *other == Self { key: other.key, follows: other.follows, ..self.clone() }
    }

    /// Returns true if a worker of the key may have this name.
    pub fn covers(&self, name: &str) -> bool {
        matches(&self.names, name)
    }

    /// Limits a hello to the grant. Returns false if it names only queues that are not granted, or
    /// another name: it is refused then.
    pub fn cut(&self, hello: &mut Hello) -> bool {
        if let Some(granted) = &self.queues {
            if hello.queues.is_empty() {
                hello.queues.clone_from(granted);
            }
            hello.queues.retain(|queue| granted.contains(queue));
            // An empty list would mean all.
            if hello.queues.is_empty() {
                return false;
            }
        }
        leave_out(&mut hello.offer, |action| {
            let name = &action.name;
            if lacks(&self.queues, &action.queue) {
                Some(format!("the worker's key is not granted queue {:?}", action.queue))
            } else if lacks(&self.groups, &action.group) {
                Some(format!("the worker's key is not granted group {:?}", action.group))
            } else {
                let granted = self.actions.as_ref();
                let lacks =
                    granted.is_some_and(|granted| !granted.iter().any(|g| matches(g, name)));
                lacks.then(|| "the worker's key is not granted this name".to_owned())
            }
        });
        *hello.granted = Granted {
            groups: self.groups.as_ref().map_or_else(Names::any, Names::exactly),
            actions: self.actions.as_ref().map_or_else(Names::any, Names::of),
            teams: None,
        };
        hello.teams = self.teams.iter().flatten().map(|team| team.as_str().into()).collect();
        hello.slots = hello.slots.min(self.slots.unwrap_or(u32::MAX));
        self.covers(&hello.name)
    }

    /// Leaves out of a hello the actions that are known with another group or queue which the grant
    /// does not cover. Callers' rights depend on the group, so that no worker moves an action of
    /// others. `known` returns the action with a [key](Action::key).
    pub fn keep_known<'a>(&self, hello: &mut Hello, known: impl Fn(&str) -> Option<&'a Action>) {
        let teams = hello.teams.clone();
        match &*teams {
            [] => self.keep_known_in(DEFAULT_TEAM, hello, &known),
            teams => teams.iter().for_each(|team| self.keep_known_in(team, hello, &known)),
        }
    }

    /// Returns true if the workers of this key run the actions of a team.
    pub fn serves(&self, team: &str) -> bool {
        match &self.teams {
            None => team == DEFAULT_TEAM,
            Some(teams) => teams.iter().any(|one| one == team),
        }
    }

    fn keep_known_in<'a>(
        &self,
        team: &str,
        hello: &mut Hello,
        known: &impl Fn(&str) -> Option<&'a Action>,
    ) {
        leave_out(&mut hello.offer, |action| {
            let known = known(&action_key(team, &action.name))?;
            let (group, queue) = (&known.group, &known.queue);
            let is_same = (group, queue) == (&action.group, &action.queue);
            (!is_same && (lacks(&self.groups, group) || lacks(&self.queues, queue))).then(|| {
                format!(
                    "it is known with group {group:?} and queue {queue:?}, and the worker's key \
                     is not granted both"
                )
            })
        });
    }
}

/// Leaves out of a hello in plain frames the actions that are known with secret parameters and
/// another schema. Otherwise, a client of the broker could make secrets public: those of later
/// submissions would be sent to it, and shown by the API.
pub(crate) fn keep_secrets<'a>(
    hello: &mut Hello,
    known: impl Fn(&str) -> Option<&'a CatalogueEntry>,
) {
    leave_out(&mut hello.offer, |action| {
        let known = known(&action.name).filter(|known| known.has_secrets())?;
        (known.action.schema != action.schema).then(|| {
            "it is known with secret parameters and another schema, which a worker with plain \
             frames cannot change"
                .to_owned()
        })
    });
}

/// Returns true if a list is limited and does not have the label.
fn lacks(granted: &Option<Vec<String>>, label: &String) -> bool {
    granted.as_ref().is_some_and(|granted| !granted.contains(label))
}

/// Leaves out the actions for which there is a reason, which becomes a load error.
fn leave_out(offer: &mut ActionSet, why: impl Fn(&Action) -> Option<String>) {
    let ActionSet { actions, load_errors, .. } = offer;
    actions.retain(|action| {
        let why = why(action);
        if let Some(why) = &why {
            load_errors.push(LoadError::new(&*action.name, format!("it is not offered: {why}")));
        }
        why.is_none()
    });
}

/// The worker keys that a coordinator hears.
///
/// # Contract
/// - Nothing but `refresh` waits: an implementation keeps a snapshot in memory.
/// - `revision` changes after every change of what the other methods return. Sessions of keys that
///   are gone end with the next frame.
#[async_trait]
pub trait Enrolled: fmt::Debug + Send + Sync + 'static {
    /// Returns the grant of a key; `None` if it is not enrolled, or revoked.
    fn find(&self, key: &KeyId) -> Option<Arc<WorkerGrant>>;

    /// Returns true if a key is or was enrolled for this name. A worker of the name is never heard
    /// by plain frames.
    fn is_reserved(&self, name: &str) -> bool;

    /// Returns the number of changes so far, without those of [`is_to_rotate`](Self::is_to_rotate).
    fn revision(&self) -> u64;

    /// Returns false if another process may have changed the keys since they were read. The
    /// coordinator asks before it opens and seals frames, and then awaits [`refresh`](Self::refresh):
    /// so a revocation counts from the moment at which it is stored. Takes about a microsecond.
    fn is_current(&self) -> bool {
        true
    }

    /// Takes in the changes of other processes.
    ///
    /// # Errors
    /// `Unavailable`: the keys stay as they were, and the coordinator asks again.
    async fn refresh(&self) -> Result<()> {
        Ok(())
    }

    /// Returns true if the worker of a key is to replace it: an operator has asked for it, or
    /// another process of the same worker has done so. Its sessions go on meanwhile.
    fn is_to_rotate(&self, key: &KeyId) -> bool {
        let _ = key;
        false
    }

    /// Notes that workers of these keys have a session and were heard. The coordinator calls it
    /// about once a minute, and when a session begins.
    fn heard(&self, keys: &[KeyId]);
}

/// Returns true if a text fits a pattern, in which `*` stands for any text.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return text.ends_with(part);
        }
        // The first place is as good as any: later parts find more room behind it.
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text, fits) in [
            ("web", "web", true),
            ("web", "web-1", false),
            ("web-*", "web-", true),
            ("web-*", "we", false),
            ("*", "", true),
            ("*-a-*", "x-a-b-a-c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("*ab", "aab", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
