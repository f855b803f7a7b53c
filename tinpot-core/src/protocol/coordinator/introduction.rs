//! The check of a hello: what a worker may say of itself, in number and in bytes.

use std::sync::Arc;

use super::{CoordinatorEffect, CoordinatorMachine, environments};
use crate::model::action::{Action, LoadError, check_label};
use crate::model::id::WorkerId;
use crate::model::text;
use crate::protocol::message::Hello;
use crate::protocol::tick::Tick;
use crate::refusals::Refusal;

/// The maximum number of actions of a worker.
pub(super) const ACTIONS: usize = 5_000;
/// The maximum size of all actions of a worker together, in bytes.
const ACTIONS_BYTES: usize = 4 * 1024 * 1024;
/// The maximum size of a schema, in bytes.
const SCHEMA_BYTES: usize = 64 * 1024;
/// The maximum size of the description of an action, in bytes.
const DESCRIPTION_BYTES: usize = 8 * 1024;
/// The maximum number of load errors of a worker.
const PROBLEMS: usize = 100;
/// The maximum size of the place and of the message of a load error, in bytes.
const PROBLEM_BYTES: usize = 2 * 1024;
/// The maximum number of queues, and of groups, of a worker.
const LABELS: usize = 256;
/// The maximum number of runtimes of a worker.
pub(super) const RUNTIMES: usize = 16;
/// The number of earlier incarnations that a worker may name.
pub(super) const DEAD: usize = 64;
/// The maximum number of hellos in a second, and the number that may come at once.
const HELLOS_PER_SECOND: u32 = 1;
const HELLOS_AT_ONCE: u32 = 5;
/// The maximum number of refused workers in memory.
const REFUSED: usize = 1_024;
/// The maximum number of workers, and of those that share a name.
const WORKERS: usize = 10_000;
const WORKERS_OF_A_NAME: usize = 1_000;
/// The maximum size of what all workers say of themselves, in bytes, without the actions themselves.
const WORKERS_BYTES: usize = 64 * 1024 * 1024;
/// The part of the room for workers and actions that one of several teams may take: one in this
/// many. Workers that serve several teams, which only admins of the server let join, count for none.
pub(super) const TEAM_SHARE: usize = 4;
/// The size of the entry of a worker, rounded up.
const WORKER_BYTES: usize = 1024;
/// The size of the name of an action in the set of a worker: a pointer and its share of a tree.
const NAME_BYTES: usize = 40;

/// The live workers of one team, or its known actions.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    pub(super) number: usize,
    pub(super) bytes: usize,
}

/// The number of hellos that a worker may send now.
#[derive(Debug)]
pub(super) struct HelloRate {
    left: u32,
    at: Tick,
    /// If true, a hello was refused: the worker is asked for another one.
    missed: bool,
}

impl HelloRate {
    pub(super) fn new(now: Tick) -> Self {
        Self { left: HELLOS_AT_ONCE, at: now, missed: false }
    }

    /// Returns true if another hello may be taken, and counts it.
    fn take(&mut self, now: Tick) -> bool {
        self.missed = !self.has_room(now);
        self.left = self.left.saturating_sub(1);
        !self.missed
    }

    /// Returns true if a hello was refused, and another one may be taken now.
    pub(super) fn asks_again(&mut self, now: Tick) -> bool {
        let asks = self.missed && self.has_room(now);
        self.missed &= !asks;
        asks
    }

    /// Returns true if another hello may be taken.
    pub(super) fn has_room(&mut self, now: Tick) -> bool {
        let more = now.since(self.at).as_secs().min(u64::from(HELLOS_AT_ONCE)) as u32;
        if more > 0 {
            self.left = (self.left + more * HELLOS_PER_SECOND).min(HELLOS_AT_ONCE);
            self.at = now;
        }
        self.left > 0
    }
}

/// Returns the reason why a hello is refused as a whole: labels that limit what a worker is given
/// cannot be left out.
fn check_labels(hello: &Hello) -> Result<(), String> {
    for (what, labels) in [("queue", &hello.queues), ("group", &hello.groups)] {
        if labels.len() > LABELS {
            return Err(format!("at most {LABELS} {what}s (got {})", labels.len()));
        }
        labels.iter().try_for_each(|label| check_label(what, label)).map_err(|e| e.to_string())?;
    }
    Ok(())
}

pub(super) fn check_action(action: &Action) -> Result<(), String> {
    check_label("action name", &action.name).map_err(|error| error.to_string())?;
    check_label("group", &action.group).map_err(|error| error.to_string())?;
    check_label("queue", &action.queue).map_err(|error| error.to_string())?;
    let result_schema = action.result_schema.as_ref().map_or(0, |schema| schema.as_str().len());
    for (what, bytes, most) in [
        ("description", action.description.len(), DESCRIPTION_BYTES),
        ("schema", action.schema.as_str().len(), SCHEMA_BYTES),
        ("result_schema", result_schema, SCHEMA_BYTES),
    ] {
        if bytes > most {
            return Err(format!("{what} must have at most {most} bytes (got {bytes})"));
        }
    }
    Ok(())
}

/// Returns the size of an action in memory, in bytes, without its compiled schema.
pub(super) fn size_bytes(action: &Action) -> usize {
    let result_schema = action.result_schema.as_ref().map_or(0, |schema| schema.as_str().len());
    let texts = [&action.name, &action.group, &action.queue, &action.description];
    let texts = texts.iter().map(|text| text.len()).sum::<usize>();
    size_of::<Action>() + texts + action.schema.as_str().len() + result_schema
}

/// Leaves out the actions of a hello that are out of bounds, with a load error, and replaces a name
/// that is none by the one in the worker's id.
fn cut(from: &WorkerId, hello: &mut Hello) {
    if let Err(error) = check_label("worker name", &hello.name) {
        hello.name = from.name().to_owned();
        hello.offer.load_errors.push(LoadError::new("worker", error.to_string()));
    }
    let (mut number, mut bytes, mut beyond) = (0, 0, 0_usize);
    let load_errors = &mut hello.offer.load_errors;
    let mut left_out = Vec::new();
    hello.offer.actions.retain(|action: &Arc<Action>| {
        if let Err(why) = check_action(action) {
            left_out.push(LoadError::new(&*action.name, format!("it is not offered: {why}")));
            return false;
        }
        bytes += size_bytes(action);
        number += 1;
        let fits = number <= ACTIONS && bytes <= ACTIONS_BYTES;
        beyond += usize::from(!fits);
        fits
    });
    if beyond > 0 {
        let message = format!(
            "{beyond} actions are not offered: a worker may offer at most {ACTIONS} actions with \
             {ACTIONS_BYTES} bytes"
        );
        left_out.push(LoadError::new("actions", message));
    }
    let runtimes = &mut hello.offer.runtimes;
    runtimes.retain(|runtime| match check_label("runtime", runtime) {
        Ok(()) => true,
        Err(error) => {
            let error = format!("it is not offered: {error}");
            left_out.push(LoadError::new("runtimes", error));
            false
        }
    });
    if runtimes.len() > RUNTIMES {
        let message = format!("a worker may offer at most {RUNTIMES} (got {})", runtimes.len());
        left_out.push(LoadError::new("runtimes", message));
        runtimes.truncate(RUNTIMES);
    }
    // Only the coordinator says which actions are deployed.
    for action in hello.offer.actions.iter_mut().filter(|action| action.deployed.is_some()) {
        Arc::make_mut(action).deployed = None;
    }
    // What the worker does not know itself comes first.
    load_errors.splice(0..0, left_out);
}

/// Cuts the load errors of a worker: in number, and each of them.
pub(super) fn cut_problems(load_errors: &mut Vec<LoadError>) {
    let more = load_errors.len().saturating_sub(PROBLEMS);
    if more > 0 {
        let blocking = load_errors[PROBLEMS - 1..].iter().any(|problem| problem.blocking);
        load_errors.truncate(PROBLEMS - 1);
        let mut rest = LoadError::new("actions", format!("and {} more problems", more + 1));
        rest.blocking = blocking;
        load_errors.push(rest);
    }
    for problem in load_errors {
        text::cut(&mut problem.place, PROBLEM_BYTES);
        text::cut(&mut problem.message, PROBLEM_BYTES);
    }
}

/// Returns the size of what a worker says of itself, without its actions: of its labels and load
/// errors, and of the names of that many actions.
pub(super) fn said_bytes<'a>(
    labels: impl Iterator<Item = &'a String>,
    problems: &[LoadError],
    actions: usize,
) -> usize {
    let labels: usize = labels.map(|label| label.len() + NAME_BYTES).sum();
    let problem = |problem: &LoadError| problem.place.len() + problem.message.len() + NAME_BYTES;
    let problems: usize = problems.iter().map(problem).sum();
    WORKER_BYTES + labels + problems + actions * NAME_BYTES
}

impl CoordinatorMachine {
    /// Checks a hello, and leaves out what is out of bounds. Returns false if it is refused.
    pub(super) fn admit(
        &mut self,
        now: Tick,
        from: &WorkerId,
        hello: &mut Hello,
        out: &mut Vec<CoordinatorEffect>,
    ) -> bool {
        let mut refuse = |reason, detail| {
            out.push(CoordinatorEffect::Refused { from: from.clone(), reason, detail });
            false
        };
        if let Err(why) = check_labels(hello) {
            return refuse(Refusal::Hello, why);
        }
        let known = self.workers.get_mut(from);
        if let Some(worker) = known
            && !worker.hello_rate.take(now)
        {
            return refuse(Refusal::Hello, "it says hello too often".to_owned());
        }
        cut(from, hello);
        environments::cut(&mut hello.offer.environments, &mut hello.offer.load_errors);
        cut_problems(&mut hello.offer.load_errors);
        let labels = hello.queues.iter().chain(&hello.groups);
        let bytes =
            said_bytes(labels, &hello.offer.load_errors, hello.offer.actions.len() + RUNTIMES)
                + environments::size_bytes(&hello.offer.environments);
        let others = self.workers_bytes - self.workers.get(from).map_or(0, |entry| entry.bytes);
        if others + bytes > WORKERS_BYTES {
            let detail = format!("all workers together say more than {WORKERS_BYTES} bytes");
            return refuse(Refusal::Workers, detail);
        }
        if let [team] = &hello.teams[..] {
            let before = self.workers.get(from).filter(|worker| worker.is_of(team));
            let taken = self.of_teams.get(team).copied().unwrap_or_default();
            let number = taken.number - usize::from(before.is_some());
            if number >= WORKERS / TEAM_SHARE {
                let detail = format!("{} workers of its team are live", WORKERS / TEAM_SHARE);
                return refuse(Refusal::Workers, detail);
            }
            let others = taken.bytes - before.map_or(0, |entry| entry.bytes);
            if others + bytes > WORKERS_BYTES / TEAM_SHARE {
                let most = WORKERS_BYTES / TEAM_SHARE;
                let detail = format!("the workers of its team together say more than {most} bytes");
                return refuse(Refusal::Workers, detail);
            }
        }
        if !self.workers.contains_key(from) {
            let names = self.names.get(from.name()).copied().unwrap_or(0);
            if names >= WORKERS_OF_A_NAME {
                let detail = format!("{WORKERS_OF_A_NAME} live workers have its name");
                return refuse(Refusal::Workers, detail);
            }
            if self.workers.len() >= WORKERS && !self.forget_silent(now) {
                return refuse(Refusal::Workers, format!("{WORKERS} workers are live"));
            }
        }
        true
    }

    /// Remembers for a while that a worker without an entry was refused, if there is room.
    pub(super) fn note_refused(&mut self, now: Tick, from: &WorkerId) {
        let interval = self.config.beat_interval;
        self.refused.retain(|_, at| now.since(*at) < interval);
        if !self.workers.contains_key(from) && self.refused.len() < REFUSED {
            self.refused.insert(from.clone(), now);
        }
    }

    /// Returns true if a worker may be asked who it is: its answer could be taken. Without this,
    /// question and answer would follow each other as fast as the transport allows.
    pub(super) fn may_ask(&mut self, now: Tick, from: &WorkerId) -> bool {
        match self.workers.get_mut(from) {
            Some(worker) => worker.hello_rate.has_room(now),
            None => {
                let interval = self.config.beat_interval;
                self.refused.get(from).is_none_or(|at| now.since(*at) >= interval)
            }
        }
    }

    /// Forgets a worker that is silent and holds nothing, to make room.
    fn forget_silent(&mut self, now: Tick) -> bool {
        let mut workers = self.workers.iter();
        let silent = workers.find(|(_, worker)| worker.silent && worker.load.in_flight.is_empty());
        let Some(id) = silent.map(|(id, _)| id.clone()) else { return false };
        self.give_up(now, &id, &mut Vec::new());
        true
    }
}
