//! Messages of the coordinator.

use std::time::Duration;

use serde_json::{Value, json};
use tinpot_core::protocol::{
    Cancel, Dispatch, Drain, Epoch, Fence, Frame, Message, Probe, WhoIsThere,
};
use tinpot_core::transport::{Address, Lane};
use tinpot_core::{ExecutionId, Json, Outcome};

use super::Stage;
use crate::miss::{Miss, Play};

/// The grace period of attempts, unless a scene sets another one.
const GRACE: Duration = Duration::from_secs(2);

impl Stage {
    /// Sends messages on the control lane.
    pub(crate) async fn send(&mut self, messages: Vec<Message>) -> Play {
        self.send_on(Lane::Control, messages).await
    }

    pub(crate) async fn send_on(&mut self, lane: Lane, messages: Vec<Message>) -> Play {
        let frame = Frame { from: None, to: Some(self.id()?), messages };
        self.send_document(lane, &frame.encode()).await
    }

    /// Sends messages as JSON, also those that are not of this version of the protocol.
    pub(crate) async fn send_json(&mut self, messages: &[Value]) -> Play {
        let frame = json!({"v": 1, "to": self.id()?, "messages": messages});
        self.send_document(Lane::Control, frame.to_string().as_bytes()).await
    }

    /// Sends a document as a frame: sealed, if frames are.
    pub(crate) async fn send_document(&mut self, lane: Lane, document: &[u8]) -> Play {
        self.trace.sent(lane, document);
        let id = self.id()?;
        let frame = match self.sealed(lane, document)? {
            Some(frame) => frame,
            None => document.to_vec(),
        };
        self.publish(&Address::Worker(id), lane, frame).await
    }

    /// Returns a document as a sealed frame; `None` if frames are plain.
    pub(crate) fn sealed(&mut self, lane: Lane, document: &[u8]) -> Play<Option<Vec<u8>>> {
        let (now, id) = (self.tick(), self.id()?);
        let Some(keys) = &mut self.keys else { return Ok(None) };
        let frame = keys.seal(now, &id, lane, document);
        frame.map(Some).ok_or_else(|| Miss::new("a session of the worker", "it has none"))
    }

    /// Returns the next fence of this epoch.
    pub(crate) fn fence(&mut self) -> Fence {
        let number = self.next_fence;
        self.next_fence += 1;
        Fence { epoch: self.epoch, number }
    }

    /// Begins with the first fence of an epoch.
    pub(crate) fn first_fence(&mut self) {
        (self.next_fence, self.settled) = (1, 0);
    }

    /// Returns a new attempt, which is not sent yet.
    pub(crate) fn order(&mut self, action: &str, parameters: Value) -> Dispatch {
        Dispatch {
            fence: self.fence(),
            seq_echo: self.last_beat,
            settled: self.settled,
            execution: ExecutionId::generate(),
            number: self.next_fence,
            attempt: 1,
            action: action.into(),
            parameters: Json::serialize(&parameters).unwrap_or_else(|_| Json::empty_object()),
            timeout: None,
            grace: GRACE,
            retryable: false,
            bundle: None,
            secrets: Vec::new(),
            uploads: Vec::new(),
            ticket: None,
            traceparent: None,
        }
    }

    /// Sends an attempt.
    pub(crate) async fn dispatch(&mut self, order: &Dispatch) -> Play {
        self.rules.tell(order.fence);
        self.send(vec![Message::Dispatch(order.clone())]).await
    }

    /// Sends a new attempt.
    pub(crate) async fn begin(&mut self, action: &str, parameters: Value) -> Play<Dispatch> {
        let order = self.order(action, parameters);
        self.dispatch(&order).await?;
        Ok(order)
    }

    /// Sends a new attempt that sleeps, and waits until it runs.
    pub(crate) async fn begin_sleep(&mut self, seconds: f64) -> Play<Dispatch> {
        let order = self.begin("sleep", json!({"seconds": seconds})).await?;
        self.running(order.fence).await?;
        Ok(order)
    }

    /// Runs an attempt, and returns its outcome.
    pub(crate) async fn run(&mut self, action: &str, parameters: Value) -> Play<Outcome> {
        let order = self.begin(action, parameters).await?;
        self.outcome(order.fence).await
    }

    /// Runs `count`, and compares how often it has run in this worker.
    pub(crate) async fn has_counted(&mut self, times: u64) -> Play {
        let outcome = self.run("count", json!({})).await?;
        let found = super::succeeded(&outcome)?.as_u64();
        let before = times - 1;
        crate::miss::ensure(
            found == Some(times),
            format!("`count` ran {before} times before this attempt, so it returns {times}"),
            || format!("it returned {}", found.map_or("no number".to_owned(), |n| n.to_string())),
        )
    }

    pub(crate) async fn cancel(&mut self, fence: Fence) -> Play {
        self.rules.tell(fence);
        let cancel = Cancel { epoch: self.epoch, fence, force: false };
        self.send(vec![Message::Cancel(cancel)]).await
    }

    pub(crate) async fn probe(&mut self, fence: Fence) -> Play {
        self.rules.tell(fence);
        self.send(vec![Message::Probe(Probe { epoch: self.epoch, fence })]).await
    }

    pub(crate) async fn drain(&mut self) -> Play {
        self.send(vec![Message::Drain(Drain { epoch: self.epoch })]).await
    }

    pub(crate) async fn who_is_there(&mut self, epoch: Epoch) -> Play {
        self.send(vec![Message::WhoIsThere(WhoIsThere { epoch })]).await
    }

    /// The coordinator starts again on the same store. It announces itself, and has forgotten all
    /// sessions.
    pub(crate) async fn restart(&mut self) -> Play {
        self.epoch.number += 1;
        self.announce().await
    }

    /// Announces the coordinator to all workers, in its present epoch.
    pub(crate) async fn announce(&mut self) -> Play {
        self.first_fence();
        let epoch = self.epoch;
        self.trace.note(&format!("the coordinator starts with the epoch {epoch}"));
        let frame = match &mut self.keys {
            Some(keys) => keys.restart(epoch),
            None => {
                let message = Message::WhoIsThere(WhoIsThere { epoch });
                Frame { from: None, to: None, messages: vec![message] }.encode().to_vec()
            }
        };
        self.publish(&Address::AllWorkers, Lane::Control, frame).await
    }
}
