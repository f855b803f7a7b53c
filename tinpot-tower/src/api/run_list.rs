//! Lists of runs.

use std::sync::Arc;

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use tinpot_core::{Execution, ListOptions};

use super::run::{RunJson, RunStatus};
use crate::caller::Member;
use crate::tower::Tower;
use crate::wire::error::ApiError;
use crate::wire::json;
use crate::wire::numbers::Query;

/// The runs that are looked at for one page: MiniTower's pages begin after a number of runs.
const LOOKED_AT: usize = 100_000;

#[derive(Serialize)]
struct RunsJson {
    runs: Vec<RunJson>,
}

/// Takes the runs of a page from lists of executions, one after the other.
struct Page<'a> {
    member: &'a Member,
    skip: usize,
    limit: usize,
    looked_at: usize,
    found: Vec<Arc<Execution>>,
}

impl<'a> Page<'a> {
    fn of(member: &'a Member, query: &Query) -> Self {
        let (skip, limit) = (query.offset(), query.limit());
        Self { member, skip, limit, looked_at: 0, found: Vec::new() }
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.limit || self.looked_at >= LOOKED_AT
    }

    /// Takes what is wanted of a list, until the page is full.
    async fn take(
        &mut self,
        mut list: ListOptions,
        is_wanted: impl Fn(&Execution) -> bool,
    ) -> Result<(), ApiError> {
        while !self.is_full() {
            let size = (self.skip + self.limit - self.found.len()).min(ListOptions::LIMIT_MAX);
            let part = self.member.scoped.executions(&list.clone().limit(size)).await?;
            self.looked_at += part.len();
            let is_last = part.len() < size;
            list.before = part.last().map(|last| last.id);
            for execution in part {
                if !execution.is_run_of_app() || !is_wanted(&execution) {
                    continue;
                }
                if self.skip > 0 {
                    self.skip -= 1;
                } else if self.found.len() < self.limit {
                    self.found.push(execution);
                }
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    async fn answer(self, tower: &Tower) -> Result<Response, ApiError> {
        let mut runs = Vec::with_capacity(self.found.len());
        for execution in &self.found {
            runs.push(tower.run_json(execution).await?);
        }
        Ok(json::answer(StatusCode::OK, &RunsJson { runs }))
    }
}

/// The runs of an app, the newest first.
pub(crate) async fn of_app(
    tower: &Arc<Tower>,
    member: &Member,
    slug: &str,
    uri: &Uri,
) -> Result<Response, ApiError> {
    let app = tower.app(member, slug).await?;
    let mut page = Page::of(member, &Query::of(uri.query()));
    page.take(ListOptions::new().action(&*app.name), |_| true).await?;
    page.answer(tower).await
}

/// The runs of the team, by status, and within one status the newest first.
pub(crate) async fn of_team(
    tower: &Arc<Tower>,
    member: &Member,
    uri: &Uri,
) -> Result<Response, ApiError> {
    let query = Query::of(uri.query());
    let all = RunStatus::ALL;
    let only = match query.get("status") {
        None => None,
        Some(text) => {
            let found = all.into_iter().find(|status| status.as_str() == text);
            Some(found.ok_or_else(|| {
                let names = all.map(RunStatus::as_str).join(", ");
                ApiError::invalid(format!("status must be one of {names} (got {text:?})"))
            })?)
        }
    };
    let mut page = Page::of(member, &query);
    for status in all.into_iter().filter(|status| only.is_none_or(|only| only == *status)) {
        let mut list = ListOptions::new().statuses(status.statuses().iter().copied());
        list.action = query.get("app").map(str::to_owned);
        page.take(list, |execution| RunStatus::of(execution) == status).await?;
    }
    page.answer(tower).await
}
