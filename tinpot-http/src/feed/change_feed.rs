//! What changes of all that lists show: read and written once for all who look.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tinpot_core::{Changes, Coordinator};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::task::JoinHandle;

use super::frames::frame;
use crate::model::ExecutionSummary;

/// Changes are gathered for so long, which is four events a second; of what is only told to have changed, every second time.
const GATHER: Duration = Duration::from_millis(250);
/// The executions of one event.
const EXECUTIONS: usize = 200;
/// Events that are kept for those who are a little behind.
const KEPT: usize = 32;

/// What one wants to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Executions,
    Workers,
    Queues,
    Catalogue,
}

#[derive(Serialize)]
struct Changed<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    executions: Option<Vec<ExecutionSummary<'a>>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

impl Topic {
    pub(super) const ALL: [Self; 4] =
        [Self::Executions, Self::Workers, Self::Queues, Self::Catalogue];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Executions => "executions",
            Self::Workers => "workers",
            Self::Queues => "queues",
            Self::Catalogue => "catalogue",
        }
    }

    /// It changed, and how is not known.
    fn reload(self) -> Bytes {
        let executions = (self == Self::Executions).then(Vec::new);
        let more = executions.is_some();
        frame("change", &Changed { kind: self.name(), executions, more })
    }
}

/// Where changes are told, while anybody listens.
#[derive(Debug, Default)]
pub(crate) struct ChangeFeed(Mutex<Weak<Watched>>);

#[derive(Debug)]
struct Watched {
    news: broadcast::Sender<(Option<Topic>, Bytes)>,
    task: JoinHandle<()>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ChangeFeed {
    pub(super) fn listen(&self, coordinator: &Coordinator, topics: Vec<Topic>) -> Listener {
        let mut board = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = board.upgrade().unwrap_or_else(|| {
            let news = broadcast::channel(KEPT).0;
            // From now on, not from when the task is first run.
            let changes = coordinator.changes();
            let task = tokio::spawn(watch(coordinator.clone(), changes, news.clone()));
            let watched = Arc::new(Watched { news, task });
            *board = Arc::downgrade(&watched);
            watched
        });
        let news = watched.news.subscribe();
        Listener { _watched: watched, news, topics, ready: Vec::new() }
    }
}

async fn watch(
    coordinator: Coordinator,
    mut changes: Changes,
    news: broadcast::Sender<(Option<Topic>, Bytes)>,
) {
    let mut pending = Vec::new();
    let mut even = true;
    loop {
        // What was held back is told at the next turn, whether anything else changes or not.
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
            let latest = changed.executions.len().saturating_sub(EXECUTIONS);
            let mut executions = Vec::with_capacity(changed.executions.len() - latest);
            for id in &changed.executions[latest..] {
                match coordinator.execution(*id).await {
                    Ok(execution) => executions.extend(execution),
                    Err(error) => tracing::warn!(execution = %id, %error, "cannot be read"),
                }
            }
            let summaries =
                executions.iter().map(|execution| ExecutionSummary::of(execution)).collect();
            let event = Changed {
                kind: Topic::Executions.name(),
                executions: Some(summaries),
                more: changed.missed || latest > 0,
            };
            let _ = news.send((Some(Topic::Executions), frame("change", &event)));
        }
        even = !even;
        if !even {
            for topic in pending.drain(..) {
                let _ = news.send((Some(topic), topic.reload()));
            }
        }
        tokio::time::sleep(GATHER).await;
    }
    // The coordinator has ended.
    let _ = news.send((None, Bytes::new()));
}

/// One who wants to know what changes.
#[derive(Debug)]
pub(super) struct Listener {
    _watched: Arc<Watched>,
    news: broadcast::Receiver<(Option<Topic>, Bytes)>,
    topics: Vec<Topic>,
    ready: Vec<Bytes>,
}

impl Listener {
    /// The next event; `None` when the coordinator has ended.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop() {
                return Some(bytes);
            }
            match self.news.recv().await {
                Ok((Some(topic), bytes)) if self.topics.contains(&topic) => return Some(bytes),
                Ok((Some(_), _)) => {}
                Ok((None, _)) | Err(RecvError::Closed) => return None,
                Err(RecvError::Lagged(_)) => {
                    self.ready = self.topics.iter().map(|topic| topic.reload()).collect();
                }
            }
        }
    }
}
