//! Executions that clients have triggered.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::StreamExt;
use tinpot_core::{
    Error, Event, ExecutionHandle, ExecutionId, Json, LogChunk, Outcome, Scoped, SubmitOptions,
};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::announcement::{log_line, result, unsent_result};
use super::gate::{Followed, Gate, lock};
use super::machine::answers;
use super::outbox::{Message, Unsent};
use super::trigger::{Refused, Replies, Trigger};

/// Removes the id of an execution when it is dropped.
struct Following {
    gate: Arc<Gate>,
    /// The ids in the topics of its log and result.
    id: Option<String>,
    execution: watch::Sender<Option<ExecutionId>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(id) = &self.id {
            lock(&self.gate.following).remove(id);
        }
    }
}

impl Following {
    /// Notes the execution, so that the client can cancel it.
    fn submitted(&mut self, action: &str, execution: ExecutionId) {
        self.execution.send_replace(Some(execution));
        if self.id.is_none() {
            let id = execution.to_string();
            let known = self.execution.subscribe();
            let followed = Followed { action: action.to_owned(), execution: known };
            lock(&self.gate.following).insert(id.clone(), followed);
            self.id = Some(id);
        }
    }
}

impl Gate {
    /// Starts to run an action. Must be called within a Tokio runtime.
    pub(super) fn start(self: Arc<Self>, trigger: Trigger) {
        let Ok(permit) = self.followed.clone().try_acquire_owned() else {
            let why = "too many executions of this prefix are under way: try again later";
            return self.refuse(&trigger, why.to_owned());
        };
        let id = trigger.replies.id.clone();
        let execution = watch::Sender::new(None);
        if let Some(id) = &id {
            let mut following = lock(&self.following);
            match following.get(id) {
                // The same trigger again: its answer is on the way.
                Some(known) if known.action == trigger.action => return,
                Some(Followed { action, .. }) => {
                    let why = format!("execution_id is that of an execution of {action:?}");
                    drop(following);
                    return self.refuse(&trigger, why);
                }
                None => {
                    let (action, execution) = (trigger.action.clone(), execution.subscribe());
                    following.insert(id.clone(), Followed { action, execution });
                }
            }
        }
        let mut following = Following { gate: self, id, execution, _permit: permit };
        tokio::spawn(async move {
            let gate = following.gate.clone();
            let mut closing = gate.closing.subscribe();
            tokio::select! {
                () = gate.run_to_end(trigger, &mut following) => {}
                _ = closing.wait_for(|closing| *closing) => {}
            }
        });
    }

    fn refuse(&self, trigger: &Trigger, why: String) {
        let refused = Refused { why, replies: trigger.replies.clone() };
        let effects = lock(&self.machine).refuse(Instant::now(), &trigger.action, &refused);
        self.perform(effects);
    }

    async fn run_to_end(&self, mut trigger: Trigger, following: &mut Following) {
        match self.submit(&mut trigger).await {
            Ok((scoped, handle)) => {
                following.submitted(&trigger.action, handle.id());
                let outcome = self.follow(&trigger.replies, &scoped, &handle).await;
                if let Some(outcome) = outcome {
                    self.report(&trigger, &handle, &outcome).await;
                }
            }
            Err(error) => self.refuse(&trigger, error.to_string()),
        }
    }

    async fn submit(&self, trigger: &mut Trigger) -> Result<(Scoped, ExecutionHandle), Error> {
        let scoped = self.scoped()?;
        let mut options = SubmitOptions::new();
        if let Some(id) = &trigger.replies.id {
            // A trigger that is repeated, even after a restart, makes one execution.
            options = options.idempotency_key(self.key(id));
        }
        // The coordinator keeps them from now on.
        let parameters = std::mem::replace(&mut trigger.parameters, Json::empty_object());
        let handle = scoped.submit(&trigger.action, parameters, options).await?;
        Ok((scoped, handle))
    }

    /// Passes on the log until the end. Returns `None` if the coordinator shuts down first.
    async fn follow(
        &self,
        replies: &Replies,
        scoped: &Scoped,
        handle: &ExecutionHandle,
    ) -> Option<Outcome> {
        let topic = replies.log(&self.prefix, &handle.id().to_string());
        // A principal that may run an action, and not read its executions, gets the result only.
        if let Ok(readable) = scoped.execution(handle.id()).await
            && let Ok(mut events) = readable.events(0).await
        {
            while let Some(event) = events.next().await {
                match event {
                    Event::Logs(chunk) if chunk.stream.is_text() => self.log(&topic, &chunk).await,
                    Event::Finished(outcome) => return Some(outcome),
                    _ => {}
                }
            }
        }
        handle.outcome().await.ok()
    }

    async fn log(&self, topic: &str, chunk: &LogChunk) {
        let timestamp = chunk.time.to_string();
        let level = format!("{:?}", chunk.level).to_uppercase();
        for line in &chunk.lines {
            let payload = log_line(&timestamp, &level, line);
            // Without a link for long, lines are lost: the coordinator keeps them.
            if self.outbox.publish(Message::new(topic, payload)).await.is_err() {
                return;
            }
        }
    }

    async fn report(&self, trigger: &Trigger, handle: &ExecutionHandle, outcome: &Outcome) {
        let id = handle.id();
        let payload = Bytes::from(result(&trigger.action, id, outcome));
        for message in answers(&self.prefix, &trigger.replies, &id.to_string(), payload) {
            let shell = Message { payload: Bytes::new(), ..message.clone() };
            let why = match self.outbox.publish(message).await {
                Ok(()) => continue,
                Err(why) => why,
            };
            tracing::warn!(execution = %id, topic = shell.topic, %why, "a result is not sent");
            if let Unsent::TooLarge { .. } = why {
                let status = outcome.status().as_str();
                let why = format!("the result is not sent, since {why}: read it by the API");
                let payload = Bytes::from(unsent_result(&trigger.action, id, status, &why));
                let _ = self.outbox.publish(Message { payload, ..shell }).await;
            }
        }
    }
}
