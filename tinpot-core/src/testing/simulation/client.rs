//! Clients that submit and cancel. They wait for answers, and ask again when none comes.

use std::sync::Arc;
use std::time::Duration;

use super::deploys;
use super::events::{Event, Happening, Host};
use super::world::{Checked, World, broken};
use crate::coordinator::{Accepted, Response, Ticket};
use crate::model::action::Action;
use crate::model::execution::Execution;
use crate::model::id::{ExecutionId, WorkerId};
use crate::model::json::Json;
use crate::model::retry::RetryPolicy;
use crate::model::time::Timestamp;
use crate::protocol::CancelOutcome;
use crate::{Backoff, ErrorKind};

/// A request of a client to a coordinator.
#[derive(Debug)]
pub(super) enum Request {
    Submit { execution: Arc<Execution>, commits: u64, ticket: Ticket },
    Cancel { id: ExecutionId, force: bool, ticket: Ticket },
    SetPaused { queue: &'static str, paused: bool, ticket: Ticket },
    Deploy { actions: Vec<Arc<Action>>, ticket: Ticket },
    Drain { worker: WorkerId, ticket: Ticket },
}

impl Request {
    pub(super) fn ticket(&self) -> Ticket {
        match self {
            Request::Submit { ticket, .. }
            | Request::Cancel { ticket, .. }
            | Request::SetPaused { ticket, .. }
            | Request::Deploy { ticket, .. }
            | Request::Drain { ticket, .. } => *ticket,
        }
    }
}

/// A submission that a client repeats until it has an answer or gives up.
#[derive(Clone, Debug)]
struct Submission {
    wanted: Arc<Execution>,
    accepted: Option<ExecutionId>,
    /// True if the client has neither learned that it is accepted nor given up.
    open: bool,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Submit { submission: usize, id: ExecutionId },
    Cancel { id: ExecutionId },
    SetPaused { queue: &'static str, paused: bool },
    Deploy { number: usize },
    Drain,
}

#[derive(Debug, Default)]
pub(super) struct Client {
    submissions: Vec<Submission>,
    /// The requests, by ticket.
    asked: Vec<Asked>,
    /// The number of ids made.
    pub(super) ids: u64,
    /// The executions that clients know to be accepted.
    pub(super) accepted: Vec<ExecutionId>,
    /// The number of submissions that are neither accepted nor given up.
    pub(super) open: usize,
}

impl World {
    pub(super) fn plan_submissions(&mut self) {
        let length = self.plan.length;
        let mut at = Duration::ZERO;
        let mut left_in_burst = 0;
        for submission in 0..self.plan.executions {
            if left_in_burst == 0 {
                at = self.random.duration(length);
                if self.random.chance(self.plan.bursts / 10.0) {
                    left_in_burst = 10 + self.random.below(40);
                }
            } else {
                left_in_burst -= 1;
                at += self.random.duration(Duration::from_millis(5));
            }
            let mut wanted = self.wanted(submission);
            self.deploys.change(&mut wanted);
            let is_deployed = deploys::is_one(&wanted.action);
            self.teams.change(submission, &mut wanted, is_deployed);
            let wanted = Arc::new(wanted);
            let keyed = wanted.idempotency_key.is_some();
            self.client.submissions.push(Submission { wanted, accepted: None, open: true });
            self.client.open += 1;
            self.after(at, Event::Submit { submission });
            // Some clients submit twice.
            if keyed && self.random.chance(0.2) {
                let second = at + self.random.duration(Duration::from_millis(1));
                self.after(second, Event::Submit { submission });
            }
        }
        for _ in 0..self.plan.executions / 12 {
            let after = self.random.duration(length);
            let force = self.random.chance(0.3);
            self.after(after, Event::Cancel { execution: None, force });
        }
    }

    /// Draws an execution with options of every kind.
    fn wanted(&mut self, submission: usize) -> Execution {
        let random = &mut self.random;
        let action = match random.chance(self.plan.callers) {
            true => "parent",
            false => ["quick", "slow", "slow", "rare"][random.below(4)],
        };
        let mut wanted = Execution::new(ExecutionId::from_u128(0), action, Json::empty_object());
        if random.chance(0.2) {
            wanted.queue = "other".into();
        }
        wanted.priority = (random.number() % 3) as i32;
        if random.chance(0.4) {
            wanted.timeout = Some(random.millis(1_000, 30_000));
        }
        if random.chance(0.5) {
            let retries = 1 + (random.number() % 4) as u32;
            let backoff = match random.below(3) {
                0 => Backoff::fixed(Duration::ZERO),
                1 => Backoff::fixed(random.millis(1, 5_000)),
                _ => Backoff::exponential(random.millis(1, 3_000)),
            };
            let lost = 1 + (random.number() % 3) as u32;
            wanted.retry = RetryPolicy::new(retries, backoff).max_lost_attempts(lost);
        }
        if random.chance(0.2) {
            wanted.not_before = Some(Timestamp(random.number() % 60_000_000));
        }
        if random.chance(0.2) {
            let longest = if random.chance(0.2) { 5_000 } else { 90_000_000 };
            wanted.expires_at = Some(Timestamp(random.number() % longest));
        }
        if random.chance(0.3) {
            wanted.idempotency_key = Some(format!("key {submission}").into());
        }
        wanted.secrets = self.plain.secrets_of(submission);
        wanted
    }

    /// Submits, or repeats a submission.
    pub(super) fn submit(&mut self, submission: usize) -> Checked {
        let wanted = self.client.submissions[submission].wanted.clone();
        let coordinator = self.coordinators.len() - 1;
        let process = &self.coordinators[coordinator];
        if !process.up {
            self.again(submission);
            return Ok(());
        }
        let (life, commits) = (process.life, process.commits());
        if let Some(key) = &wanted.idempotency_key
            && let Some(id) = self.store.with_key(key)
        {
            return self.accepted(submission, id);
        }
        let Ok(bundle) = self.bundle_for(coordinator, &wanted.action) else {
            self.again(submission);
            return Ok(());
        };
        let id = self.new_id();
        let wall = self.wall(coordinator).0;
        let mut execution = (*wanted).clone();
        (execution.id, execution.bundle) = (id, bundle);
        // The times in `wanted` count from the submission.
        let from_now = |at: Timestamp| Timestamp(wall + at.0);
        execution.not_before = execution.not_before.map(from_now);
        execution.expires_at = execution.expires_at.map(from_now);
        self.checks.submitted(&execution);
        let ticket = Ticket(self.client.asked.len() as u32);
        self.client.asked.push(Asked::Submit { submission, id });
        let request = Request::Submit { execution: Arc::new(execution), commits, ticket };
        self.request(coordinator, life, request);
        Ok(())
    }

    fn request(&mut self, coordinator: usize, life: u64, request: Request) {
        let longest = if self.random.chance(0.9) { 300 } else { 50_000 };
        let after = self.random.duration(Duration::from_micros(longest));
        let host = Host::Coordinator(coordinator);
        self.after(after, Event::To(host, life, Happening::Asked(request)));
    }

    fn again(&mut self, submission: usize) {
        let after = self.random.duration(Duration::from_secs(8));
        self.after(after, Event::Submit { submission });
    }

    pub(super) fn cancel(&mut self, execution: Option<ExecutionId>, force: bool) -> Checked {
        let accepted = &self.client.accepted;
        let any = || Some(*accepted.get(self.random.below(accepted.len()))?);
        let coordinator = self.coordinators.len() - 1;
        let process = &self.coordinators[coordinator];
        let (life, up) = (process.life, process.up);
        let Some(id) = execution.or_else(any).filter(|_| up) else { return Ok(()) };
        let ticket = Ticket(self.client.asked.len() as u32);
        self.client.asked.push(Asked::Cancel { id });
        self.checks.cancel_asked(id)?;
        self.request(coordinator, life, Request::Cancel { id, force, ticket });
        Ok(())
    }

    /// Asks the coordinator to pause or resume a queue.
    pub(super) fn set_paused(&mut self, queue: &'static str, paused: bool) {
        // Queues are no longer paused once everything has to come to an end.
        let paused = paused && !self.calm;
        let coordinator = self.coordinators.len() - 1;
        let process = &self.coordinators[coordinator];
        let (life, up) = (process.life, process.up);
        if !up {
            return self.pause_again(queue, paused);
        }
        let ticket = Ticket(self.client.asked.len() as u32);
        self.client.asked.push(Asked::SetPaused { queue, paused });
        self.request(coordinator, life, Request::SetPaused { queue, paused, ticket });
    }

    /// Sends a deploy to the coordinator, now or later.
    pub(super) fn request_deploy(
        &mut self,
        number: usize,
        request: impl FnOnce(Ticket) -> Request,
    ) {
        let coordinator = self.coordinators.len() - 1;
        let process = &self.coordinators[coordinator];
        let (life, up) = (process.life, process.up);
        if !up {
            return self.deploy_again(number);
        }
        let ticket = Ticket(self.client.asked.len() as u32);
        self.client.asked.push(Asked::Deploy { number });
        self.request(coordinator, life, request(ticket));
    }

    /// Asks the coordinator once to drain a worker.
    pub(super) fn send_home(&mut self, worker: WorkerId) {
        let coordinator = self.coordinators.len() - 1;
        let process = &self.coordinators[coordinator];
        let (life, up) = (process.life, process.up);
        if up {
            let ticket = Ticket(self.client.asked.len() as u32);
            self.client.asked.push(Asked::Drain);
            self.request(coordinator, life, Request::Drain { worker, ticket });
        }
    }

    /// Repeats a request to resume a queue until it succeeds.
    fn pause_again(&mut self, queue: &'static str, paused: bool) {
        if !paused || self.calm {
            let after = self.random.duration(Duration::from_secs(5));
            self.after(after, Event::SetPaused { queue, paused: false });
        }
    }

    /// Handles a connection that broke before the answer: a client with an idempotency key asks
    /// again, others give up.
    pub(super) fn disconnected(&mut self, ticket: Ticket) {
        match self.client.asked[ticket.0 as usize] {
            Asked::Submit { submission, .. }
                if self.client.submissions[submission].accepted.is_none() =>
            {
                if self.client.submissions[submission].wanted.idempotency_key.is_some() {
                    self.again(submission);
                } else {
                    self.close(submission);
                }
            }
            Asked::SetPaused { queue, paused } => self.pause_again(queue, paused),
            Asked::Deploy { number } => self.deploy_again(number),
            _ => {}
        }
    }

    fn close(&mut self, submission: usize) {
        if std::mem::take(&mut self.client.submissions[submission].open) {
            self.client.open -= 1;
        }
    }

    fn accepted(&mut self, submission: usize, id: ExecutionId) -> Checked {
        if let Some(earlier) = self.client.submissions[submission].accepted.replace(id) {
            if earlier == id {
                return Ok(());
            }
            return broken("I7", format!("one key stands for {earlier} and for {id}"));
        }
        self.tell(|| format!("a client learns that {id} is accepted"));
        self.close(submission);
        self.client.accepted.push(id);
        self.checks.accepted(id, &self.store)?;
        let wanted = &self.client.submissions[submission].wanted;
        self.teams.answered(wanted, id, &self.store)?;
        // Some clients soon cancel.
        if self.random.chance(0.1) {
            let (after, force) =
                (self.random.duration(Duration::from_secs(4)), self.random.chance(0.3));
            self.after(after, Event::Cancel { execution: Some(id), force });
        }
        // Some clients did not receive the answer.
        if self.client.submissions[submission].wanted.idempotency_key.is_some()
            && self.random.chance(0.2)
        {
            self.again(submission);
        }
        Ok(())
    }

    /// Forgets accepted executions that a restored store does not have.
    pub(super) fn client_forgets(&mut self) {
        let store = &self.store;
        self.client.accepted.retain(|id| store.execution(*id).is_some());
        for submission in &mut self.client.submissions {
            submission.accepted = submission.accepted.filter(|id| store.execution(*id).is_some());
        }
    }

    /// Handles an answer of the coordinator.
    pub(super) fn answered(&mut self, index: usize, ticket: Ticket, response: Response) -> Checked {
        let withdrawn = match &response {
            Response::Refused { withdrawn, .. } => *withdrawn,
            _ => None,
        };
        self.coordinators[index].close(ticket, withdrawn);
        match (response, self.client.asked[ticket.0 as usize]) {
            (Response::Submitted(accepted), Asked::Submit { submission, id }) => match accepted {
                Accepted::New => self.accepted(submission, id),
                Accepted::Before(id) => self.accepted(submission, id),
                Accepted::LookAgain => self.submit(submission),
            },
            (Response::Refused { error, .. }, Asked::Submit { submission, id }) => {
                self.tell(|| format!("{id} is refused: {error}"));
                self.checks.refused(id)?;
                if !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::Overloaded) {
                    return broken("I7", format!("a good submission is refused: {error}"));
                }
                self.again(submission);
                Ok(())
            }
            (Response::Done(done), Asked::SetPaused { queue, paused }) => {
                self.tell(|| format!("pausing {queue:?}: {paused} is answered: {done:?}"));
                if done.is_err() {
                    self.pause_again(queue, paused);
                }
                Ok(())
            }
            (Response::Cancelled(outcome), Asked::Cancel { id }) => {
                self.tell(|| format!("a cancel of {id} is answered: {outcome:?}"));
                match outcome {
                    Ok(CancelOutcome::Cancelled) => self.checks.cancelled(id, &self.store),
                    Ok(CancelOutcome::Requested) => self.checks.cancelling(id, &self.store),
                    Err(error) if error.kind() == ErrorKind::NotFound => {
                        self.checks.nothing_to_cancel(id, &self.store)
                    }
                    Err(_) => Ok(()),
                }
            }
            (Response::Done(done), Asked::Deploy { number }) => self.deployed(number, done),
            // The worker may have ended.
            (Response::Done(_), Asked::Drain) => Ok(()),
            (response, asked) => broken("reply", format!("{response:?} answers {asked:?}")),
        }
    }
}
