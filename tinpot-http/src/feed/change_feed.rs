//! Changes of executions, workers, queues and the catalogue: read and encoded once for all clients.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tinpot_core::{Changes, Coordinator, Execution, ExecutionId, Scoped, Sight};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinHandle;

use super::changed_teams::{ChangedTeams, TeamWatch};
use super::event::FeedEvent;
use crate::model::ExecutionSummary;
use crate::sse::encoded;

/// The time for which changes are gathered: at most four events with executions per second, and
/// half as many of each other topic.
const GATHER: Duration = Duration::from_millis(250);
/// The largest number of executions in one event.
const EXECUTIONS: usize = 200;
/// The events that are kept for clients that lag. Eight seconds of executions alone.
const KEPT: usize = 32;

/// The id of all events of this feed: nothing resumes here.
const ID: &str = "change";

/// A kind of change that clients subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Executions,
    Workers,
    Queues,
    Catalogue,
}

impl Topic {
    pub(super) const ALL: [Self; 4] =
        [Self::Executions, Self::Workers, Self::Queues, Self::Catalogue];

    /// Returns the name of the query parameter.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Executions => "executions",
            Self::Workers => "workers",
            Self::Queues => "queues",
            Self::Catalogue => "catalogue",
        }
    }

    /// Returns the event after which a client requests everything of this topic again.
    fn reload(self) -> Bytes {
        let event = match self {
            Self::Executions => FeedEvent::Executions { executions: Vec::new(), more: true },
            Self::Workers => FeedEvent::Workers,
            Self::Queues => FeedEvent::Queues,
            Self::Catalogue => FeedEvent::Catalogue,
        };
        encoded(ID, &event)
    }
}

/// A message to all subscriptions.
#[derive(Clone, Debug)]
enum Message {
    /// For all who see everything, and for the callers of these teams.
    Changed(Topic, Bytes, Arc<ChangedTeams>),
    Executions(Arc<ChangedExecutions>),
    /// The coordinator has shut down.
    End,
}

/// Executions that changed, and their event for clients who see everything.
#[derive(Debug)]
struct ChangedExecutions {
    executions: Vec<Arc<Execution>>,
    more: bool,
    event: Bytes,
}

/// The source of changes. It reads while at least one client is subscribed.
#[derive(Debug)]
pub(crate) struct ChangeFeed {
    coordinator: Coordinator,
    reader: Mutex<Weak<Reader>>,
}

/// The task that reads changes. The subscriptions own it, so it ends with the last one.
#[derive(Debug)]
struct Reader {
    messages: broadcast::Sender<Message>,
    task: JoinHandle<()>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ChangeFeed {
    pub(crate) fn new(coordinator: Coordinator) -> Self {
        Self { coordinator, reader: Mutex::default() }
    }

    /// Subscribes to all changes from now on that the caller may see.
    pub(super) fn subscribe(&self, scoped: Scoped, topics: Vec<Topic>) -> Subscription {
        let coordinator = &self.coordinator;
        // The lock is held while the reader starts, so that two clients never start two.
        let mut current = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = current.upgrade().unwrap_or_else(|| {
            let messages = broadcast::channel(KEPT).0;
            // Subscribe here: the task may run much later, and would miss changes until then.
            let changes = coordinator.changes();
            let task = tokio::spawn(read(coordinator.clone(), changes, messages.clone()));
            let reader = Arc::new(Reader { messages, task });
            *current = Arc::downgrade(&reader);
            reader
        });
        let messages = reader.messages.subscribe();
        let sight = scoped.sight();
        Subscription { _reader: reader, messages, scoped, sight, topics, ready: Vec::new() }
    }
}

async fn read(
    coordinator: Coordinator,
    mut changes: Changes,
    messages: broadcast::Sender<Message>,
) {
    let mut pending = Vec::new();
    let mut even = true;
    let mut teams = TeamWatch::default();
    if coordinator.has_teams() {
        teams.look(&coordinator).await;
        // What changed since the subscription and before this look cannot be told apart any more.
        let all = Arc::new(ChangedTeams::any());
        for topic in [Topic::Workers, Topic::Queues, Topic::Catalogue] {
            let _ = messages.send(Message::Changed(topic, topic.reload(), all.clone()));
        }
    }
    loop {
        // Topics that were held back are sent in the next turn, even if nothing changes until then.
        let changed = if pending.is_empty() {
            match changes.next().await {
                Some(changed) => changed,
                None => break,
            }
        } else {
            changes.take()
        };
        let flags = [
            (Topic::Workers, changed.workers),
            (Topic::Queues, changed.queues),
            (Topic::Catalogue, changed.catalogue),
        ];
        let new = flags.into_iter().filter(|(_, changed)| *changed).map(|(topic, _)| topic);
        for topic in new {
            if !pending.contains(&topic) {
                pending.push(topic);
            }
        }
        if !changed.executions.is_empty() || changed.missed {
            let changed = changed_executions(&coordinator, &changed.executions, changed.missed);
            let changed = changed.await;
            if coordinator.has_teams() {
                teams.touch(&changed.executions, changed.more);
            }
            // Sending fails only if the last subscription has just been dropped.
            let _ = messages.send(Message::Executions(Arc::new(changed)));
        }
        even = !even;
        if !even && !pending.is_empty() {
            let changed = Arc::new(match coordinator.has_teams() {
                true => teams.look(&coordinator).await,
                false => ChangedTeams::any(),
            });
            for topic in pending.drain(..) {
                let _ = messages.send(Message::Changed(topic, topic.reload(), changed.clone()));
            }
        }
        tokio::time::sleep(GATHER).await;
    }
    let _ = messages.send(Message::End);
}

/// Reads and encodes the latest of the executions that changed.
async fn changed_executions(
    coordinator: &Coordinator,
    ids: &[ExecutionId],
    missed: bool,
) -> ChangedExecutions {
    let skipped = ids.len().saturating_sub(EXECUTIONS);
    let mut executions = Vec::with_capacity(ids.len() - skipped);
    for id in &ids[skipped..] {
        match coordinator.execution(*id).await {
            Ok(execution) => executions.extend(execution),
            Err(error) => tracing::warn!(execution = %id, %error, "cannot read an execution"),
        }
    }
    let more = missed || skipped > 0;
    ChangedExecutions { event: executions_event(&executions, more), executions, more }
}

fn executions_event(executions: &[Arc<Execution>], more: bool) -> Bytes {
    let summaries = executions.iter().map(|execution| ExecutionSummary::of(execution)).collect();
    encoded(ID, &FeedEvent::Executions { executions: summaries, more })
}

/// The changes that one client subscribed to.
#[derive(Debug)]
pub(super) struct Subscription {
    _reader: Arc<Reader>,
    messages: broadcast::Receiver<Message>,
    scoped: Scoped,
    sight: Sight,
    topics: Vec<Topic>,
    ready: Vec<Bytes>,
}

impl Subscription {
    /// Returns the next event; `None` when the coordinator has shut down.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop() {
                return Some(bytes);
            }
            match self.messages.recv().await {
                Ok(Message::Changed(topic, bytes, teams)) if self.topics.contains(&topic) => {
                    let team = &self.scoped.caller().team;
                    if self.sight.is_everything() || teams.concerns(topic, team) {
                        return Some(bytes);
                    }
                }
                Ok(Message::Executions(changed)) if self.topics.contains(&Topic::Executions) => {
                    if let Some(bytes) = self.seen(&changed).await {
                        return Some(bytes);
                    }
                }
                Ok(Message::Changed(..) | Message::Executions(_)) => {}
                Ok(Message::End) | Err(RecvError::Closed) => return None,
                // The client missed events: it requests everything again.
                Err(RecvError::Lagged(_)) => {
                    self.ready = self.topics.iter().map(|topic| topic.reload()).collect();
                }
            }
        }
    }

    /// Returns the event of the executions among these that the caller may read, if there are any.
    async fn seen(&self, changed: &ChangedExecutions) -> Option<Bytes> {
        if self.sight.is_everything() {
            return Some(changed.event.clone());
        }
        let mut seen = Vec::new();
        for execution in changed.executions.iter().filter(|execution| self.sight.shows(execution)) {
            // As the caller may read it: without a hidden parent.
            let read = self.scoped.execution(execution.id).await;
            seen.extend(read.ok().map(|readable| readable.execution));
        }
        (changed.more || !seen.is_empty()).then(|| executions_event(&seen, changed.more))
    }
}
