//! The numbers of runs.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tinpot_core::{ListOptions, Status};

use super::run::RunStatus;
use crate::caller::Member;
use crate::tower::Tower;
use crate::wire::error::ApiError;
use crate::wire::json;

/// The pages that are counted: 100,000 runs.
const PAGES: usize = 100;

#[derive(Debug, Default, Serialize)]
struct SummaryJson {
    total_runs: u64,
    active_runs: u64,
    queued_runs: u64,
    terminal_runs: u64,
}

pub(crate) async fn show(_tower: &Arc<Tower>, member: &Member) -> Result<Response, ApiError> {
    let mut summary = SummaryJson::default();
    let mut list = ListOptions::new().limit(ListOptions::LIMIT_MAX);
    // Those that have not ended first, so that they are counted whatever else there is.
    let live = [Status::Queued, Status::Running, Status::Cancelling];
    let ended = Status::ALL.into_iter().filter(|status| status.is_terminal());
    let mut pages = 0;
    for statuses in [live.to_vec(), ended.collect()] {
        list.statuses = statuses;
        list.before = None;
        while pages < PAGES {
            pages += 1;
            let page = member.scoped.executions(&list).await?;
            for execution in page.iter().filter(|execution| execution.bundle.is_some()) {
                summary.total_runs += 1;
                match RunStatus::of(execution) {
                    RunStatus::Queued => summary.queued_runs += 1,
                    RunStatus::Running | RunStatus::Leased | RunStatus::Cancelling => {
                        summary.active_runs += 1;
                    }
                    _ => summary.terminal_runs += 1,
                }
            }
            list.before = page.last().map(|last| last.id);
            if page.len() < ListOptions::LIMIT_MAX {
                break;
            }
        }
    }
    Ok(json::answer(StatusCode::OK, &summary))
}
