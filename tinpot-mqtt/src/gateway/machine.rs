//! The decisions of a gateway about the messages below one prefix: no clock, no I/O.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tinpot_core::Names;

use super::announcement::{cancel_refusal, refusal};
use super::board::Found;
use super::budget::{Budget, Verdict};
use super::cancel::{self, Cancel};
use super::offer::{self, OfferedAction, Said};
use super::outbox::Message;
use super::rule::{ONLINE, Place, Topics, errors_topic, place};
use super::trigger::{self, Incoming, Refused, Replies, Trigger};

/// The triggers that are remembered, to know repetitions.
const REMEMBERED: usize = 1024;
/// The time for which a repetition is known.
const MEMORY: Duration = Duration::from_secs(60);
/// The actions that clients may offer below one prefix.
pub(crate) const OFFERS: usize = 200;
/// The announcements of an earlier coordinator that are remembered, to be removed.
const LEFT_OVER: usize = 10_000;
/// The longest log line of an offered action, in bytes.
const LINE_BYTES: usize = 64 * 1024;
/// The longest reason of a refusal, in characters.
const REASON_CHARS: usize = 400;
/// The results and log lines of offered actions per second.
const ANSWERS_PER_SECOND: u32 = 10_000;

/// The limits of one prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The triggers per second.
    pub(crate) rate: u32,
    /// The size of a trigger.
    pub(crate) max_bytes: usize,
    /// The time limit of offered actions that announce none.
    pub(crate) timeout: Duration,
}

/// An effect of a message.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Run an action.
    Run(Box<Trigger>),
    /// Cancel an execution.
    Cancel(Box<Cancel>),
    /// Send a message, unless too many wait.
    Publish(Message),
    /// Look at announcements and offers again.
    Refresh,
    /// Pass on the result of an offered action.
    Result { id: String, payload: Vec<u8> },
    /// Pass on a log line of an offered action.
    Line { id: String, payload: Vec<u8> },
    /// Write this to the log.
    Warn(String),
}

/// The state of one prefix.
#[derive(Debug)]
pub(crate) struct Machine {
    namespace: String,
    prefix: String,
    topics: Arc<Topics>,
    /// The names of the actions that clients may offer.
    names: Names,
    limits: Limits,
    triggers: Budget,
    /// The answers to triggers beyond the limit.
    refusals: Budget,
    /// The warnings in the log.
    warnings: Budget,
    answers: Budget,
    recent: VecDeque<(Instant, u64)>,
    offers: BTreeMap<String, Arc<OfferedAction>>,
    /// The names among them that others have.
    taken: BTreeSet<String>,
    found: Found,
    /// The beginning of the topics of buttons.
    node: Option<String>,
    said_retained: bool,
}

impl Machine {
    pub(crate) fn new(
        namespace: &str,
        prefix: &str,
        topics: Arc<Topics>,
        names: Names,
        limits: Limits,
        now: Instant,
    ) -> Self {
        Self {
            namespace: namespace.to_owned(),
            prefix: prefix.to_owned(),
            topics,
            names,
            limits,
            triggers: Budget::new(limits.rate, now),
            refusals: Budget::new(1, now),
            warnings: Budget::new(1, now),
            answers: Budget::new(ANSWERS_PER_SECOND, now),
            recent: VecDeque::new(),
            offers: BTreeMap::new(),
            taken: BTreeSet::new(),
            found: Found::default(),
            node: None,
            said_retained: false,
        }
    }

    /// Watches the buttons of this node, too.
    pub(crate) fn buttons(mut self, node: Option<String>) -> Self {
        self.node = node;
        self
    }

    /// Takes a new connection: the broker sends again what other clients announce.
    pub(crate) fn connected(&mut self) {
        self.offers.clear();
    }

    /// Takes a message.
    pub(crate) fn receive(&mut self, now: Instant, message: &Incoming<'_>) -> Vec<Effect> {
        let prefix = self.prefix.clone();
        match place(&prefix, message.topic) {
            Some(Place::Trigger(name)) => self.trigger(now, name, message),
            Some(Place::Action(name)) => self.announced(now, name, message),
            Some(Place::Cancel(id)) => self.cancel(now, id, message),
            Some(Place::Result(id)) => {
                let payload = self.result(message.payload);
                self.answer(now, message, |id| Effect::Result { id, payload }, id)
            }
            Some(Place::Log(id)) => {
                let bytes = message.payload.len().min(LINE_BYTES);
                let payload = message.payload[..bytes].to_vec();
                self.answer(now, message, |id| Effect::Line { id, payload }, id)
            }
            // The last will of an earlier connection may come late.
            Some(Place::Status) if message.payload != ONLINE.as_bytes() => {
                self.note(message.topic.to_owned(), false);
                vec![Effect::Refresh]
            }
            Some(Place::Status) => Vec::new(),
            None if self.is_button(message.topic) => {
                self.note(message.topic.to_owned(), !message.payload.is_empty());
                vec![Effect::Refresh]
            }
            None => Vec::new(),
        }
    }

    /// Returns the result of an offered action, or what is said in its place.
    fn result(&self, payload: &[u8]) -> Vec<u8> {
        let (bytes, most) = (payload.len(), self.limits.max_bytes);
        if bytes <= most {
            return payload.to_vec();
        }
        let error = format!("the answer must have at most {most} bytes (got {bytes})");
        serde_json::json!({"status": "failed", "error": error}).to_string().into_bytes()
    }

    fn is_button(&self, topic: &str) -> bool {
        let node = self.node.as_deref();
        node.and_then(|node| topic.strip_prefix(node)).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Returns the actions that clients offer.
    pub(crate) fn offers(&self) -> &BTreeMap<String, Arc<OfferedAction>> {
        &self.offers
    }

    /// Returns true if others have the name of an offer: triggers are theirs.
    pub(crate) fn is_taken(&self, name: &str) -> bool {
        self.taken.contains(name)
    }

    /// Sets the names of offers that others have. Returns true if they have changed.
    pub(crate) fn set_taken(&mut self, taken: BTreeSet<String>) -> bool {
        let is_new = taken != self.taken;
        self.taken = taken;
        is_new
    }

    /// Returns the retained messages that the broker has sent since the last call.
    pub(crate) fn take_found(&mut self) -> Found {
        std::mem::take(&mut self.found)
    }

    /// Returns a warning, unless there were too many.
    fn warning(&mut self, now: Instant, text: String) -> Vec<Effect> {
        match self.warnings.take(now) {
            Verdict::Within { refused_before: 0 } => vec![Effect::Warn(text)],
            Verdict::Within { refused_before } => {
                vec![Effect::Warn(format!("{text} (and {refused_before} others)"))]
            }
            Verdict::FirstBeyond | Verdict::Beyond => Vec::new(),
        }
    }

    fn trigger(&mut self, now: Instant, name: &str, message: &Incoming<'_>) -> Vec<Effect> {
        if message.retained {
            // It would run again at each connection.
            return self.kept(message, "trigger");
        }
        let is_theirs = self.offers.contains_key(name) && !self.taken.contains(name);
        if is_theirs || self.is_repetition(now, message) {
            // The client that offers the action hears the trigger itself.
            return Vec::new();
        }
        let max_bytes = self.limits.max_bytes;
        let (mut effects, beyond) = self.within_rate(now);
        if let Some(why) = beyond {
            if let Verdict::Within { .. } = self.refusals.take(now) {
                let read = trigger::read(&self.topics, &self.prefix, name, message, max_bytes);
                let replies = match read {
                    Ok(trigger) => trigger.replies,
                    Err(refused) => refused.replies,
                };
                effects.extend(self.refuse(now, name, &Refused { why, replies }));
            }
            return effects;
        }
        match trigger::read(&self.topics, &self.prefix, name, message, max_bytes) {
            Ok(trigger) => effects.push(Effect::Run(Box::new(trigger))),
            Err(refused) => effects.extend(self.refuse(now, name, &refused)),
        }
        effects
    }

    /// Returns a warning about a message that the broker keeps and should not, once.
    fn kept(&mut self, message: &Incoming<'_>, what: &str) -> Vec<Effect> {
        if std::mem::replace(&mut self.said_retained, true) {
            return Vec::new();
        }
        vec![Effect::Warn(format!(
            "the broker keeps a {what} at {}, which is ignored: publish it without the retain flag, \
             and remove this one with an empty retained message",
            message.topic
        ))]
    }

    /// Counts a trigger or a request to cancel. Returns the reason if it is beyond the limit.
    fn within_rate(&mut self, now: Instant) -> (Vec<Effect>, Option<String>) {
        let rate = self.limits.rate;
        let mut effects = Vec::new();
        match self.triggers.take(now) {
            Verdict::Within { refused_before: 0 } => return (effects, None),
            Verdict::Within { refused_before } => {
                effects.push(Effect::Warn(format!(
                    "{refused_before} triggers below {}/ were refused, since there were more than \
                     {rate} a second",
                    self.prefix
                )));
                return (effects, None);
            }
            Verdict::FirstBeyond => effects.push(Effect::Warn(format!(
                "there are more than {rate} triggers a second below {}/: further ones are refused \
                 (--mqtt-rate, TINPOT_MQTT_RATE)",
                self.prefix
            ))),
            Verdict::Beyond => {}
        }
        let why = format!("there are more than {rate} triggers a second: try again later");
        (effects, Some(why))
    }

    /// Takes a request to cancel an execution.
    fn cancel(&mut self, now: Instant, id: &str, message: &Incoming<'_>) -> Vec<Effect> {
        if message.retained {
            return self.kept(message, "request to cancel");
        }
        if self.is_repetition(now, message) {
            return Vec::new();
        }
        let (mut effects, beyond) = self.within_rate(now);
        let read = cancel::read(&self.topics, &self.prefix, id, message);
        let refused = match (read, beyond) {
            (Ok(cancel), None) => {
                effects.push(Effect::Cancel(Box::new(cancel)));
                return effects;
            }
            (Err(refused), None) => refused,
            (read, Some(why)) => {
                let Verdict::Within { .. } = self.refusals.take(now) else { return effects };
                let replies = match read {
                    Ok(cancel) => cancel.replies,
                    Err(refused) => refused.replies,
                };
                Refused { why, replies }
            }
        };
        effects.extend(self.refuse_cancel(now, id, &refused));
        effects
    }

    /// Answers a request to cancel that is refused. The topic of the result is no place for that:
    /// the broker may keep the result there.
    pub(crate) fn refuse_cancel(
        &mut self,
        now: Instant,
        id: &str,
        refused: &Refused,
    ) -> Vec<Effect> {
        let Refused { why, replies } = refused;
        let why: String = why.chars().take(REASON_CHARS).collect();
        let id: String = id.chars().take(REASON_CHARS).collect();
        let payload = Bytes::from(cancel_refusal(&id, &why));
        if replies.has_place() {
            let all = answers(&self.prefix, replies, "", payload);
            return all.into_iter().map(Effect::Publish).collect();
        }
        let mut effects = vec![Effect::Publish(Message::new(errors_topic(&self.prefix), payload))];
        let topic = super::rule::cancel_topic(&self.prefix, &id);
        effects.extend(self.warning(now, format!("the cancel at {topic} is refused: {why}")));
        effects
    }

    /// Answers a trigger that is refused.
    pub(crate) fn refuse(&mut self, now: Instant, action: &str, refused: &Refused) -> Vec<Effect> {
        let Refused { why, replies } = refused;
        let why: String = why.chars().take(REASON_CHARS).collect();
        let payload = Bytes::from(refusal(action, &why));
        if !replies.has_place() {
            let message = Message::new(errors_topic(&self.prefix), payload);
            let mut effects = vec![Effect::Publish(message)];
            let topic = super::rule::trigger_topic(&self.prefix, action);
            effects.extend(self.warning(now, format!("a trigger at {topic} is refused: {why}")));
            return effects;
        }
        answers(&self.prefix, replies, "", payload).into_iter().map(Effect::Publish).collect()
    }

    /// Returns true if the broker repeats a trigger that it has delivered before.
    fn is_repetition(&mut self, now: Instant, message: &Incoming<'_>) -> bool {
        let mut hasher = DefaultHasher::new();
        (message.topic, message.payload, message.response_topic, message.correlation)
            .hash(&mut hasher);
        let digest = hasher.finish();
        let is_old = |at: &Instant| now.saturating_duration_since(*at) > MEMORY;
        while self.recent.front().is_some_and(|(at, _)| is_old(at))
            || self.recent.len() >= REMEMBERED
        {
            self.recent.pop_front();
        }
        let is_known = self.recent.iter().any(|(_, known)| *known == digest);
        self.recent.push_back((now, digest));
        message.duplicate && is_known
    }

    /// Takes the announcement of an action.
    fn announced(&mut self, now: Instant, name: &str, message: &Incoming<'_>) -> Vec<Effect> {
        if message.payload.is_empty() {
            self.found.left_over.remove(message.topic);
            if self.offers.remove(name).is_none() {
                self.note(message.topic.to_owned(), false);
            }
            return vec![Effect::Refresh];
        }
        let timeout = self.limits.timeout;
        let said = offer::read(
            &self.namespace,
            &self.topics,
            &self.prefix,
            name,
            message.payload,
            timeout,
        );
        let offer = match said {
            Ok(Said::Ours) => {
                self.offers.remove(name);
                self.note(message.topic.to_owned(), true);
                return vec![Effect::Refresh];
            }
            Ok(Said::OfferedAction(offer)) => offer,
            Err(why) => {
                self.offers.remove(name);
                self.note(message.topic.to_owned(), false);
                let why: String = why.chars().take(REASON_CHARS).collect();
                let text = format!("the announcement at {} is ignored: {why}", message.topic);
                let mut effects = vec![Effect::Refresh];
                effects.extend(self.warning(now, text));
                return effects;
            }
        };
        let refused = if self.names == Names::none() {
            Some(
                "no client may offer actions below this prefix (--mqtt-actions, \
                 TINPOT_MQTT_ACTIONS)",
            )
        } else if !self.names.has(name) {
            Some(
                "no client may offer an action with this name here (--mqtt-actions, \
                 TINPOT_MQTT_ACTIONS)",
            )
        } else if self.offers.len() >= OFFERS && !self.offers.contains_key(name) {
            Some("there are 200 others below this prefix")
        } else {
            None
        };
        self.note(message.topic.to_owned(), false);
        let mut effects = vec![Effect::Refresh];
        match refused {
            None => drop(self.offers.insert(name.to_owned(), Arc::new(*offer))),
            Some(why) => {
                let text = format!("the announcement at {} is ignored: {why}", message.topic);
                effects.extend(self.warning(now, text));
            }
        }
        effects
    }

    /// Notes a retained message of this namespace, or one of another client.
    fn note(&mut self, topic: String, is_ours: bool) {
        let Found { left_over, overwritten } = &mut self.found;
        let topics = if is_ours { left_over } else { overwritten };
        if topics.len() < LEFT_OVER {
            topics.insert(topic);
        }
    }

    fn answer(
        &mut self,
        now: Instant,
        message: &Incoming<'_>,
        effect: impl FnOnce(String) -> Effect,
        id: &str,
    ) -> Vec<Effect> {
        if message.retained || !trigger::is_id(id) {
            return Vec::new();
        }
        match self.answers.take(now) {
            Verdict::Within { .. } => vec![effect(id.to_owned())],
            Verdict::FirstBeyond => vec![Effect::Warn(format!(
                "there are more than {ANSWERS_PER_SECOND} log lines and results a second below \
                 {}/exec/: further ones are ignored",
                self.prefix
            ))],
            Verdict::Beyond => Vec::new(),
        }
    }
}

/// The time for which a broker keeps a result.
const RESULT_EXPIRY: Duration = Duration::from_secs(3_600);

/// Returns the messages that answer a trigger.
pub(crate) fn answers(prefix: &str, replies: &Replies, id: &str, payload: Bytes) -> Vec<Message> {
    let message = |to: trigger::ReplyTopic| Message {
        topic: to.topic,
        payload: payload.clone(),
        retain: to.retain,
        acknowledged: true,
        expires_in: to.retain.then_some(RESULT_EXPIRY),
        response_topic: None,
        correlation: to.correlation,
    };
    replies.results(prefix, id).into_iter().map(message).collect()
}

#[cfg(test)]
mod tests;
