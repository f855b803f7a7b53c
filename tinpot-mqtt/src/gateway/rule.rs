//! Rules: the principal of each topic prefix, and the topics to which answers may go.

use std::fmt;
use std::sync::Arc;

use tinpot_core::{Caller, Names, Result};

use crate::error::MqttError;
use crate::topics::check_namespace;

/// The longest prefix, in bytes.
const PREFIX_BYTES: usize = 100;
/// The longest topic that a client may name, in bytes.
const TOPIC_BYTES: usize = 256;
/// The number of levels of the topic of an answer: mosquitto takes 200.
const LEVELS: usize = 100;
/// The topics of the namespace, below its first part, that workers use.
const RESERVED: [&str; 3] = ["worker", "workers", "join"];
/// The topic of the gateway's state below a prefix.
pub(crate) const STATUS: &str = "status";
/// The state of a gateway that is there.
pub(crate) const ONLINE: &str = "online";
/// The topic of refusals that have no other place.
pub(crate) const ERRORS: &str = "errors";
/// The level of actions below a prefix.
const ACTIONS: &str = "actions";
/// The level of executions below a prefix.
const EXECUTIONS: &str = "exec";

/// The principal as whom the messages below one prefix act. It is asked for each message.
///
/// A [`Caller`] is the principal that never changes.
pub trait Principal: fmt::Debug + Send + Sync + 'static {
    /// Returns the caller, as it is known now. Must not wait.
    ///
    /// # Errors
    /// Any kind, if there is no such principal now.
    fn caller(&self) -> Result<Caller>;
}

impl Principal for Caller {
    fn caller(&self) -> Result<Caller> {
        Ok(self.clone())
    }
}

/// A rule of a [`MqttGateway`](super::MqttGateway): clients that publish below a prefix act as a
/// principal.
#[derive(Clone, Debug)]
#[must_use = "a rule does nothing by itself"]
pub struct GatewayRule {
    pub(crate) prefix: String,
    pub(crate) principal: Arc<dyn Principal>,
    /// The names of the actions that clients may offer.
    pub(crate) offers: Names,
}

impl GatewayRule {
    /// Creates a rule for the topics below a prefix.
    pub fn new(prefix: impl Into<String>, principal: impl Principal) -> Self {
        let (prefix, principal) = (prefix.into(), Arc::new(principal));
        Self { prefix, principal, offers: Names::none() }
    }

    /// Lets clients offer actions with these names. They belong to the default team.
    pub fn offers(mut self, names: Names) -> Self {
        self.offers = names;
        self
    }
}

/// A topic below a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    /// The announcement of an action.
    Action(&'a str),
    /// The trigger of an action.
    Trigger(&'a str),
    /// The result of an execution.
    Result(&'a str),
    /// The log of an execution.
    Log(&'a str),
    /// The request to cancel an execution.
    Cancel(&'a str),
    /// The state of the gateway.
    Status,
}

/// The topics of all rules of one gateway.
#[derive(Debug)]
pub(crate) struct Topics {
    namespace: String,
    prefixes: Vec<String>,
    /// Further prefixes to which answers may go.
    answers: Vec<String>,
}

impl Topics {
    /// Checks the prefixes, and those to which answers may go.
    pub(crate) fn new(
        namespace: &str,
        prefixes: Vec<String>,
        answers: Vec<String>,
    ) -> Result<Self, MqttError> {
        let topics = Self { namespace: namespace.to_owned(), prefixes, answers };
        for (at, prefix) in topics.prefixes.iter().enumerate() {
            topics.check_prefix(prefix)?;
            if topics.prefixes[..at].contains(prefix) {
                return Err(MqttError::Option(format!("the prefix {prefix:?} has two rules")));
            }
        }
        topics.answers.iter().try_for_each(|prefix| topics.check_prefix(prefix))?;
        Ok(topics)
    }

    /// Checks a prefix.
    pub(crate) fn check_prefix(&self, prefix: &str) -> Result<(), MqttError> {
        if check_namespace(prefix).is_err() || prefix.len() > PREFIX_BYTES {
            return Err(MqttError::Option(format!(
                "a prefix must be up to {PREFIX_BYTES} of A-Z a-z 0-9 . _ - in levels separated by \
                 / (got {prefix:?})"
            )));
        }
        if self.is_reserved(prefix) {
            return Err(MqttError::Option(format!(
                "the topics below {prefix:?} are those of the workers: choose another prefix"
            )));
        }
        Ok(())
    }

    /// Returns true if the topic is one of the workers.
    fn is_reserved(&self, topic: &str) -> bool {
        below(topic, &self.namespace)
            .is_some_and(|rest| RESERVED.contains(&rest.split('/').next().unwrap_or_default()))
    }

    /// Checks that the answer to a message below `prefix` may go to a topic. So no client makes the
    /// coordinator publish where the client itself may not.
    ///
    /// # Errors
    /// The reason, for people.
    pub(crate) fn check_answer(&self, prefix: &str, topic: &str) -> Result<(), String> {
        if topic.is_empty() || topic.len() > TOPIC_BYTES {
            let bytes = topic.len();
            return Err(format!("must have 1 to {TOPIC_BYTES} bytes (got {bytes})"));
        }
        if topic.contains(['+', '#', '\0']) || topic.starts_with('$') {
            return Err(format!("must be a topic without + and # (got {topic:?})"));
        }
        // Brokers end the connection that publishes to such a topic.
        if topic.chars().any(is_refused) || topic.matches('/').count() >= LEVELS {
            return Err(format!(
                "must have no control characters, and at most {LEVELS} levels (got {topic:?})"
            ));
        }
        let owner = self.prefixes.iter().filter(|own| below(topic, own).is_some());
        let owner = owner.max_by_key(|own| own.len());
        let is_free = match owner {
            Some(owner) => {
                let rest = below(topic, owner).unwrap_or_default();
                let first = rest.split('/').next().unwrap_or_default();
                owner == prefix
                    && ![ACTIONS, STATUS, ERRORS].contains(&first)
                    && !matches!(place(owner, topic), Some(Place::Cancel(_)))
            }
            None => self.answers.iter().any(|other| below(topic, other).is_some()),
        };
        if !is_free || self.is_reserved(topic) {
            return Err(format!(
                "must be below {prefix}/, but not below {prefix}/{ACTIONS}/ (got {topic:?})"
            ));
        }
        Ok(())
    }
}

/// Returns the part of a topic below a prefix.
fn below<'a>(topic: &'a str, prefix: &str) -> Option<&'a str> {
    topic.strip_prefix(prefix)?.strip_prefix('/')
}

/// Returns the place of a topic below a prefix; `None` if it has none.
pub(crate) fn place<'a>(prefix: &str, topic: &'a str) -> Option<Place<'a>> {
    let rest = below(topic, prefix)?;
    if rest == STATUS {
        return Some(Place::Status);
    }
    let mut levels = rest.split('/');
    let place = match (levels.next()?, levels.next()?, levels.next()) {
        (ACTIONS, name, None) => Place::Action(name),
        (ACTIONS, name, Some("trigger")) => Place::Trigger(name),
        (EXECUTIONS, id, Some("result")) => Place::Result(id),
        (EXECUTIONS, id, Some("log")) => Place::Log(id),
        (EXECUTIONS, id, Some("cancel")) => Place::Cancel(id),
        _ => return None,
    };
    levels.next().is_none().then_some(place)
}

pub(crate) fn action_topic(prefix: &str, name: &str) -> String {
    format!("{prefix}/{ACTIONS}/{name}")
}

pub(crate) fn trigger_topic(prefix: &str, name: &str) -> String {
    format!("{prefix}/{ACTIONS}/{name}/trigger")
}

pub(crate) fn result_topic(prefix: &str, id: &str) -> String {
    format!("{prefix}/{EXECUTIONS}/{id}/result")
}

pub(crate) fn log_topic(prefix: &str, id: &str) -> String {
    format!("{prefix}/{EXECUTIONS}/{id}/log")
}

pub(crate) fn cancel_topic(prefix: &str, id: &str) -> String {
    format!("{prefix}/{EXECUTIONS}/{id}/cancel")
}

pub(crate) fn status_topic(prefix: &str) -> String {
    format!("{prefix}/{STATUS}")
}

pub(crate) fn errors_topic(prefix: &str) -> String {
    format!("{prefix}/{ERRORS}")
}

/// Returns true for control characters and those that are none, which MQTT lets brokers refuse.
fn is_refused(character: char) -> bool {
    let number = u32::from(character);
    character.is_control() || (0xfdd0..=0xfdef).contains(&number) || number & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::{Place, Topics, place};

    fn topics(prefixes: &[&str]) -> Result<Topics, String> {
        let owned = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
        Topics::new("tinpot", owned(prefixes), owned(&["nodered/answers"]))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn topics_have_places() {
        for (topic, expected) in [
            ("a/b/actions/x", Some(Place::Action("x"))),
            ("a/b/actions/x/trigger", Some(Place::Trigger("x"))),
            ("a/b/exec/1/result", Some(Place::Result("1"))),
            ("a/b/exec/1/log", Some(Place::Log("1"))),
            ("a/b/exec/1/log/more", None),
            ("a/b/exec/1/cancel", Some(Place::Cancel("1"))),
            ("a/b/exec/1", None),
            ("a/b/status", Some(Place::Status)),
            ("a/bc/actions/x", None),
            ("a/actions/x", None),
        ] {
            assert_eq!(place("a/b", topic), expected, "{topic}");
        }
    }

    #[test]
    fn prefixes_are_checked() {
        assert!(topics(&["tinpot", "factory/line-3"]).is_ok());
        for (prefixes, why) in [
            (&["a", "a"][..], "two rules"),
            (&["a/+"], "got \"a/+\""),
            (&["#"], "got \"#\""),
            (&[""], "got \"\""),
            (&["a//b"], "got"),
            (&["$SYS"], "got"),
            (&["tinpot/worker"], "those of the workers"),
            (&["tinpot/join/x"], "those of the workers"),
        ] {
            let error = topics(prefixes).expect_err("wrong");
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn answers_stay_where_the_client_may_publish() {
        let topics = topics(&["tinpot", "home", "home/garden"]).expect("prefixes");
        for topic in ["home/exec/1/result", "home/my/answers", "nodered/answers/1"] {
            assert_eq!(topics.check_answer("home", topic), Ok(()));
        }
        assert_eq!(topics.check_answer("tinpot", "tinpot/x"), Ok(()));
        for (prefix, topic) in [
            ("home", "office/x"),
            ("home", "homes/x"),
            ("home", "home"),
            ("home", "nodered/answers"),
            // A trigger, an announcement, and what only the gateway says.
            ("home", "home/actions/deploy/trigger"),
            ("home", "home/actions/deploy"),
            ("home", "home/status"),
            ("home", "home/errors"),
            ("home", "home/exec/1/cancel"),
            // The topics of another principal.
            ("home", "home/garden/x"),
            ("home", "home/garden/actions/water/trigger"),
            ("home", "tinpot/exec/1/result"),
            // The topics of workers.
            ("tinpot", "tinpot/worker/web/web-1/down/control"),
            ("tinpot", "tinpot/workers/control"),
            ("tinpot", "tinpot/join/x/down"),
            ("home", "home/+/x"),
            ("home", "home/#"),
            ("home", "$SYS/x"),
            ("home", ""),
        ] {
            assert!(topics.check_answer(prefix, topic).is_err(), "{prefix} {topic}");
        }
        assert!(topics.check_answer("home", &format!("home/{}", "x".repeat(300))).is_err());
    }
}
