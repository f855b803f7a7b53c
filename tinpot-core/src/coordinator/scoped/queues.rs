//! The queues, as one caller may see and pause them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::checks::forbidden;
use super::{COUNTED_PAGES, Scoped};
use crate::access::{Decision, Right};
use crate::coordinator::trail::{self, Object, Particulars};
use crate::model::error::{ErrorKind, Result};
use crate::model::execution::Execution;
use crate::model::page::ListOptions;
use crate::model::status::Status;
use crate::model::time::Timestamp;
use crate::model::visible::{DEFAULT_TEAM, Target};
use crate::protocol::{QueueInfo, unknown_queue};

/// The counts of the executions in a queue that a caller may read.
#[derive(Debug, Default)]
struct Counts {
    waiting: usize,
    granted: usize,
    delayed: usize,
    oldest_accepted_at: Option<Timestamp>,
}

impl Counts {
    fn add(&mut self, execution: &Execution) {
        if execution.attempts.last().is_some_and(|attempt| attempt.ended_at.is_none()) {
            self.granted += 1;
            return;
        }
        let count =
            if execution.not_before.is_some() { &mut self.delayed } else { &mut self.waiting };
        *count += 1;
        let accepted = execution.accepted_at;
        let oldest = self.oldest_accepted_at.get_or_insert(accepted);
        *oldest = accepted.min(*oldest);
    }
}

impl Scoped {
    /// Returns the queues that the caller may see. For a caller who does not see everything, they
    /// count the live workers that the caller may see, and the executions among the latest 10,000
    /// unfinished ones that the caller may read; the reason is left out.
    ///
    /// # Errors
    /// `Closed` after the shutdown; the errors of the store.
    pub async fn queues(&self) -> Result<Vec<QueueInfo>> {
        let mut queues = self.coordinator.queues().await?;
        queues.retain(|queue| self.allows(Right::SeeQueue, &self.queue(&queue.name)));
        self.count_visible(&mut queues, None).await?;
        if self.shared().has_teams {
            self.retain_own(&mut queues).await?;
        }
        Ok(queues)
    }

    /// Retains the queues of the caller's team: those that its actions and workers name, in which
    /// executions wait, or which it has paused.
    async fn retain_own(&self, queues: &mut Vec<QueueInfo>) -> Result<()> {
        let (catalogue, workers) = (self.catalogue(), self.visible_workers().await?);
        let of_actions = catalogue.values().map(|entry| &entry.action.queue);
        let of_workers = workers.iter().flat_map(|worker| &worker.queues);
        let named: HashSet<&str> = of_actions.chain(of_workers).map(String::as_str).collect();
        queues.retain_mut(|queue| {
            let paused = std::mem::take(&mut queue.paused_of_teams);
            let paused = paused.get(&self.caller.team).copied();
            let counted = queue.waiting + queue.granted + queue.delayed;
            let is_paused = paused.is_some() || queue.paused_at.is_some() && self.resumes_whole();
            let is_own = named.contains(&*queue.name) || counted > 0 || is_paused;
            queue.paused_at = queue.paused_at.or(paused);
            is_own
        });
        Ok(())
    }

    /// Returns true if the caller may resume whole queues, which were paused when the default team was
    /// the only one.
    fn resumes_whole(&self) -> bool {
        *self.caller.team == *DEFAULT_TEAM || self.has(Right::ManageServer)
    }

    /// Pauses or resumes the part of a queue that belongs to the caller's team.
    async fn set_part_paused(&self, queue: &str, paused: bool) -> Result<QueueInfo> {
        let find = async || {
            let mut queues = self.queues().await?.into_iter();
            queues.find(|known| *known.name == *queue).ok_or_else(|| unknown_queue(queue))
        };
        let before = find().await?;
        let part = format!("{}/{queue}", self.caller.team);
        self.coordinator.set_part_paused(&part, paused).await?;
        if !paused && self.resumes_whole() {
            self.coordinator.set_part_paused(queue, false).await?;
        }
        match find().await {
            // The caller may have seen it only because it was paused.
            Err(error) if !paused && error.kind() == ErrorKind::NotFound => {
                Ok(QueueInfo { paused_at: None, ..before })
            }
            found => found,
        }
    }

    /// Replaces the counts of queues by those of what the caller may see.
    async fn count_visible(&self, queues: &mut [QueueInfo], only: Option<&str>) -> Result<()> {
        let Some(visible) = self.sight().filter() else { return Ok(()) };
        let workers = self.visible_workers().await?;
        let unfinished = Status::ALL.into_iter().filter(|status| !status.is_terminal());
        let mut page = ListOptions::new().statuses(unfinished).visible(visible);
        page.queue = only.map(str::to_owned);
        page.limit = ListOptions::LIMIT_MAX;
        let mut counts = HashMap::<Arc<str>, Counts>::new();
        for _ in 0..COUNTED_PAGES {
            let executions = self.coordinator.executions(&page).await?;
            for execution in &executions {
                counts.entry(execution.queue.clone()).or_default().add(execution);
            }
            let last = executions.last().filter(|_| executions.len() == page.page_size());
            let Some(last) = last else { break };
            page.before = Some(last.id);
        }
        for queue in queues {
            let Counts { waiting, granted, delayed, oldest_accepted_at } =
                counts.remove(&queue.name).unwrap_or_default();
            let serves = |names: &[String]| {
                names.is_empty() || names.iter().any(|name| **name == *queue.name)
            };
            queue.workers = workers.iter().filter(|worker| serves(&worker.queues)).count();
            (queue.waiting, queue.granted, queue.delayed) = (waiting, granted, delayed);
            queue.oldest_accepted_at = oldest_accepted_at;
            // It names actions and workers.
            queue.reason = None;
        }
        Ok(())
    }

    pub(super) fn queue<'a>(&'a self, name: &'a str) -> Target<'a> {
        Target::team(&self.caller.team).queue(name)
    }

    /// Pauses a queue, as [`Coordinator::pause_queue`](crate::Coordinator::pause_queue) does. With
    /// several teams, each pauses only its own part.
    ///
    /// # Errors
    /// `NotFound` if the queue is unknown or hidden; `Forbidden` if the caller may not pause it;
    /// and the errors of [`Coordinator::pause_queue`](crate::Coordinator::pause_queue).
    pub async fn pause_queue(&self, queue: &str) -> Result<QueueInfo> {
        self.may_pause(queue)?;
        let note = self.note("queue.pause", Object::Queue(queue.into()), Particulars::None);
        let paused = match self.shared().has_teams {
            true => self.set_part_paused(queue, true).await,
            false => self.coordinator.pause_queue(queue).await,
        };
        trail::ended(note, &paused);
        self.counted(paused?).await
    }

    /// Resumes a queue, as [`Coordinator::resume_queue`](crate::Coordinator::resume_queue) does.
    ///
    /// # Errors
    /// The errors of [`pause_queue`](Self::pause_queue).
    pub async fn resume_queue(&self, queue: &str) -> Result<QueueInfo> {
        self.may_pause(queue)?;
        let note = self.note("queue.resume", Object::Queue(queue.into()), Particulars::None);
        let resumed = match self.shared().has_teams {
            true => self.set_part_paused(queue, false).await,
            false => self.coordinator.resume_queue(queue).await,
        };
        trail::ended(note, &resumed);
        self.counted(resumed?).await
    }

    async fn counted(&self, mut queue: QueueInfo) -> Result<QueueInfo> {
        let name = queue.name.clone();
        self.count_visible(std::slice::from_mut(&mut queue), Some(&name)).await?;
        Ok(queue)
    }

    fn may_pause(&self, queue: &str) -> Result<()> {
        let act = || format!("pause queue {queue:?}");
        match self.decide(Right::PauseQueue, &self.queue(queue), act) {
            Decision::Allow => Ok(()),
            Decision::Deny => Err(forbidden(&self.caller, &act())),
            Decision::Hide => Err(unknown_queue(queue)),
        }
    }
}
