//! Requests to cancel executions that clients have triggered.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use serde::Deserialize;
use tinpot_core::{Error, ErrorKind, ExecutionId, Result, Scoped};

use super::announcement::cancelling;
use super::gate::{Gate, lock};
use super::machine::answers;
use super::object;
use super::rule::Topics;
use super::trigger::{Incoming, Refused, Replies, is_id, replies};

/// The largest request to cancel, in bytes.
const BYTES: usize = 1024;

/// A request to cancel an execution.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cancel {
    /// The id that the client has chosen, or the one by which the API knows the execution.
    pub(crate) id: String,
    /// If true, the attempt ends without a grace period.
    pub(crate) force: bool,
    pub(crate) replies: Replies,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    force: bool,
}

/// Reads a request to cancel.
///
/// # Errors
/// The reason, and where to send it.
pub(crate) fn read(
    topics: &Topics,
    prefix: &str,
    id: &str,
    message: &Incoming<'_>,
) -> Result<Cancel, Refused> {
    let replies = replies(topics, prefix, message)
        .map_err(|why| Refused { why, replies: Replies::default() })?;
    let refused = |why: String| Refused { why, replies: replies.clone() };
    if !is_id(id) {
        let why = "the id of an execution must have 1 to 64 of A-Z a-z 0-9 . _ -";
        return Err(refused(why.to_owned()));
    }
    let bytes = message.payload.len();
    if bytes > BYTES {
        let why = format!("a request to cancel must have at most {BYTES} bytes (got {bytes})");
        return Err(refused(why));
    }
    let mut force = false;
    if !message.payload.trim_ascii().is_empty() {
        let body: Body = object::read(message.payload).map_err(|error| {
            refused(format!(
                "a request to cancel must be empty, or a JSON object with force: {error}"
            ))
        })?;
        force = body.force;
    }
    Ok(Cancel { id: id.to_owned(), force, replies })
}

impl Gate {
    /// Starts to cancel an execution. Must be called within a Tokio runtime.
    pub(super) fn start_cancel(self: Arc<Self>, cancel: Cancel) {
        let Ok(permit) = self.cancelled.clone().try_acquire_owned() else {
            let why = "too many executions of this prefix are being cancelled: try again later";
            return self.refuse_cancel(&cancel, why.to_owned());
        };
        tokio::spawn(async move {
            let _permit = permit;
            let mut closing = self.closing.subscribe();
            tokio::select! {
                () = self.cancel(&cancel) => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
        });
    }

    fn refuse_cancel(&self, cancel: &Cancel, why: String) {
        let refused = Refused { why, replies: cancel.replies.clone() };
        let effects = lock(&self.machine).refuse_cancel(Instant::now(), &cancel.id, &refused);
        self.perform(effects);
    }

    async fn cancel(&self, cancel: &Cancel) {
        let payload = match self.try_cancel(cancel).await {
            Ok(payload) => Bytes::from(payload),
            Err(error) => return self.refuse_cancel(cancel, error.to_string()),
        };
        // Without a response topic, the result of the execution is the answer.
        if !cancel.replies.has_place() {
            return;
        }
        for message in answers(&self.prefix, &cancel.replies, "", payload) {
            if let Err(why) = self.outbox.publish(message).await {
                tracing::debug!(prefix = self.prefix, %why, "an answer is not sent");
            }
        }
    }

    /// Cancels the execution as the principal may. Returns the answer.
    async fn try_cancel(&self, cancel: &Cancel) -> Result<Vec<u8>> {
        let scoped = self.scoped()?;
        let Some(id) = self.triggered(&scoped, &cancel.id).await? else {
            let message = format!(
                "no execution {:?} was triggered below {}/, or it is no longer known",
                cancel.id, self.prefix
            );
            return Err(Error::new(ErrorKind::NotFound, message));
        };
        let status = scoped.cancel(id, cancel.force, None).await?.status();
        let action = scoped.execution(id).await?.execution.action.clone();
        Ok(cancelling(&action, id, status.as_str()))
    }

    /// Returns the execution with this id that was triggered below this prefix.
    async fn triggered(&self, scoped: &Scoped, id: &str) -> Result<Option<ExecutionId>> {
        let followed = lock(&self.following).get(id).map(|one| one.execution.clone());
        if let Some(mut execution) = followed {
            // Its submission may be under way. It ends with an execution or a refusal.
            let found = execution.wait_for(Option::is_some).await.ok();
            if let Some(found) = found.and_then(|found| *found) {
                return Ok(Some(found));
            }
        }
        // Also after a restart, when none is followed.
        if let Some(found) = scoped.with_idempotency_key(&self.key(id)).await? {
            return Ok(Some(found.id));
        }
        let Ok(id) = id.parse::<ExecutionId>() else { return Ok(None) };
        let found = match scoped.execution(id).await {
            Ok(found) => found.execution,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let of_prefix = self.key("");
        let key = found.given_idempotency_key();
        let is_own = key.and_then(|key| key.strip_prefix(&*of_prefix)).is_some_and(is_id);
        Ok(is_own.then_some(id))
    }

    /// Returns the idempotency key of an execution with an id that a client has chosen.
    pub(super) fn key(&self, id: &str) -> String {
        format!("mqtt/{}/{id}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::{Incoming, Topics, read};

    #[test]
    fn a_request_to_cancel_is_empty_or_says_how() {
        let topics = Topics::new("tinpot", vec!["home".to_owned()], Vec::new()).expect("a prefix");
        let reading = |id: &str, payload: &str, response_topic| {
            let payload = payload.as_bytes();
            let message = Incoming { payload, response_topic, ..Incoming::default() };
            read(&topics, "home", id, &message)
        };
        for (payload, force) in [("", false), ("{}", false), (r#"{"force": true}"#, true)] {
            let cancel = reading("a-1", payload, None).expect("a request");
            assert_eq!((&*cancel.id, cancel.force), ("a-1", force), "{payload}");
            assert!(!cancel.replies.has_place());
        }
        let long = "x".repeat(65);
        for (id, payload, topic, why) in [
            ("a 1", "", None, "the id of an execution must have"),
            (&*long, "", None, "the id of an execution must have"),
            ("a", "now", None, "must be empty, or a JSON object"),
            ("a", "[]", None, "must be empty, or a JSON object"),
            ("a", r#"{"forced": true}"#, None, "unknown field `forced`"),
            ("a", &*" ".repeat(2000), None, "at most 1024 bytes (got 2000)"),
            ("a", "", Some("office/x"), "the response topic must be below home/"),
        ] {
            let refused = reading(id, payload, topic).expect_err(payload);
            assert!(refused.why.contains(why), "{}", refused.why);
        }
        assert!(reading("a", "now", Some("home/x")).expect_err("it").replies.has_place());
    }
}
