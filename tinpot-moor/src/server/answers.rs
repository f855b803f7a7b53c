//! Answers to requests: from the worker that was asked, from another one, twice, or late.

use std::time::Duration;

use uuid::Uuid;

use super::{Effect, Server};
use crate::fault::Fault;
use crate::var::Var;
use crate::wire::message::{Reply, WorkerError};

/// The end of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// The result.
    Value(Var),
    /// The failure that the worker reported.
    Failed(WorkerError),
    /// A result that cannot be read.
    Unreadable(Fault),
    /// The worker went on without an answer.
    Silent,
    /// The worker is gone, for this reason.
    Gone(&'static str),
}

impl Server {
    /// Takes the answer of a worker. `reply` is for an answer that someone waits for.
    pub(super) fn answered(
        &mut self,
        now: Duration,
        worker: Uuid,
        request: Uuid,
        answer: Answer,
        reply: Reply,
    ) -> Reply {
        let Some(attached) = self.workers.get_mut(&worker) else {
            return Reply::NotRegistered(worker);
        };
        attached.idle_since = now;
        let Some(in_flight) = attached.requests.remove(&request) else {
            let asked = self.requests.get(&request).or_else(|| self.ended.get(&request));
            if asked.is_some_and(|asked| *asked != worker) {
                self.found_promiscuous(worker);
            }
            tracing::debug!(%worker, %request, "an answer that no attempt waits for");
            return Reply::UnknownRequest(request);
        };
        self.requests.remove(&request);
        self.remember(request, worker);
        self.update_stuck(Some(worker));
        if in_flight.is_given_up {
            tracing::debug!(%worker, %request, "a late answer");
            return Reply::UnknownRequest(request);
        }
        self.effects.push(Effect::Answered { request, answer });
        reply
    }

    fn found_promiscuous(&mut self, worker: Uuid) {
        let Some(attached) = self.workers.get_mut(&worker) else { return };
        if !std::mem::replace(&mut attached.is_promiscuous, true) {
            let incarnation = attached.incarnation;
            self.effects.push(Effect::Promiscuous { incarnation });
        }
    }

    /// Takes a pong of a worker that is ready. A sequential worker answers in order: after the pongs
    /// to earlier pings, a pong means that it is done with the request.
    pub(super) fn passed_by(&mut self, worker: Uuid) {
        let Some(attached) = self.workers.get_mut(&worker) else { return };
        attached.unanswered = attached.unanswered.saturating_sub(1);
        if !attached.kind.sequential {
            return;
        }
        let mut silent = Vec::new();
        for (request, in_flight) in &mut attached.requests {
            match in_flight.pongs_before.checked_sub(1) {
                Some(left) => in_flight.pongs_before = left,
                None => silent.push((*request, in_flight.is_given_up)),
            }
        }
        for (request, is_given_up) in silent {
            attached.requests.remove(&request);
            self.requests.remove(&request);
            if !is_given_up {
                self.effects.push(Effect::Answered { request, answer: Answer::Silent });
            }
        }
        self.update_stuck(Some(worker));
    }
}
