//! The numbers of runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tinpot_core::{Execution, ExecutionId, ListOptions, Status, Timestamp};

use super::run::RunStatus;
use crate::caller::Member;
use crate::tower::Tower;
use crate::wire::error::ApiError;
use crate::wire::json;

/// The pages of live runs that are counted, and those of the history that one request looks at:
/// 100,000 runs each. The next request goes on in the history.
const PAGES: usize = 100;
/// The tokens whose counts are remembered.
const TOKENS: usize = 1_000;
/// The age from which on no run with a smaller id can be accepted any more: ids are made just
/// before.
const SETTLED_MILLIS: u64 = 10_000;

#[derive(Debug, Default, Serialize)]
struct SummaryJson {
    total_runs: u64,
    active_runs: u64,
    queued_runs: u64,
    terminal_runs: u64,
}

/// The runs that a token sees, as far as they were counted: runs are only added.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    runs: u64,
    /// The newest one.
    newest: Option<ExecutionId>,
    /// The oldest one, while older ones are not counted.
    oldest: Option<ExecutionId>,
}

/// The runs that each token has counted.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<Arc<str>, Counted>>);

impl Counts {
    fn of(&self, token: &str) -> Counted {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(token).copied().unwrap_or_default()
    }

    fn set(&self, token: &Arc<str>, counted: Counted) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= TOKENS {
            counts.clear();
        }
        counts.insert(token.clone(), counted);
    }
}

/// Returns the time of an id, in milliseconds.
fn millis(id: ExecutionId) -> u64 {
    u64::try_from(id.as_u128() >> 80).unwrap_or(u64::MAX)
}

impl Counted {
    /// Counts the runs that have come since, and older ones for the pages that are left. Returns the
    /// number of all runs that were seen, with those that count again next time.
    async fn go_on(&mut self, member: &Member, now: Timestamp) -> Result<u64, ApiError> {
        let settled = (now.0 / 1_000).saturating_sub(SETTLED_MILLIS);
        let (known, is_first) = (*self, self.newest.is_none());
        let (mut pages, mut fresh) = (0, 0);
        let mut list = ListOptions::new().limit(ListOptions::LIMIT_MAX);
        loop {
            let page = member.scoped.executions(&list).await?;
            pages += 1;
            let is_new = |one: &&Arc<Execution>| known.newest.is_none_or(|newest| one.id > newest);
            let new = page.iter().take_while(is_new);
            let count = new.clone().count();
            for run in new.filter(|one| one.is_run_of_app()) {
                if millis(run.id) > settled {
                    fresh += 1;
                    continue;
                }
                self.runs += 1;
                self.newest = self.newest.max(Some(run.id));
            }
            list.before = page.last().map(|last| last.id);
            let is_end = page.len() < ListOptions::LIMIT_MAX;
            if is_first {
                self.oldest = list.before.filter(|_| !is_end);
            }
            if is_end || count < page.len() || (is_first && pages >= PAGES) {
                break;
            }
        }
        while let Some(oldest) = self.oldest.filter(|_| pages < PAGES) {
            list.before = Some(oldest);
            let page = member.scoped.executions(&list).await?;
            pages += 1;
            self.runs += page.iter().filter(|one| one.is_run_of_app()).count() as u64;
            let is_end = page.len() < ListOptions::LIMIT_MAX;
            self.oldest = page.last().map(|last| last.id).filter(|_| !is_end);
        }
        if self.newest.is_none() {
            // Nothing has settled: the next request counts all of it again.
            (self.runs, self.oldest) = (0, None);
        }
        Ok(self.runs + fresh)
    }
}

pub(crate) async fn show(tower: &Arc<Tower>, member: &Member) -> Result<Response, ApiError> {
    let mut counted = tower.counts.of(&member.token);
    let total = counted.go_on(member, Timestamp::now()).await?;
    tower.counts.set(&member.token, counted);
    let mut summary = SummaryJson::default();
    let live = [Status::Queued, Status::Running, Status::Cancelling];
    let mut list = ListOptions::new().statuses(live).limit(ListOptions::LIMIT_MAX);
    for _ in 0..PAGES {
        let page = member.scoped.executions(&list).await?;
        for execution in page.iter().filter(|one| one.is_run_of_app()) {
            match RunStatus::of(execution) {
                RunStatus::Queued => summary.queued_runs += 1,
                _ => summary.active_runs += 1,
            }
        }
        list.before = page.last().map(|last| last.id);
        if page.len() < ListOptions::LIMIT_MAX {
            break;
        }
    }
    let live = summary.queued_runs + summary.active_runs;
    // One may have been accepted in between.
    summary.total_runs = total.max(live);
    summary.terminal_runs = summary.total_runs - live;
    Ok(json::answer(StatusCode::OK, &summary))
}
