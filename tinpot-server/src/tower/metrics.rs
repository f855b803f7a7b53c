//! The metrics of both: ours, and those of MiniTower.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tinpot_access::Directory;
use tinpot_core::observer::{Measure, Observer};
use tinpot_core::{Coordinator, ListOptions, Result, Status};
use tinpot_metrics::{MinitowerObserver, MinitowerPending, MinitowerRequest, PrometheusObserver};
use tinpot_tower::AnsweredRequest;

use crate::metrics::{CONTENT_TYPE, set_store};

/// The pages of waiting runs that a scrape counts: 10,000 runs.
const PAGES: usize = 10;
/// The environment of workers that serve every queue.
const ENVIRONMENT: &str = "default";

#[derive(Debug)]
pub(super) struct TowerMetrics {
    native: Arc<PrometheusObserver>,
    minitower: MinitowerObserver,
}

impl Observer for TowerMetrics {
    fn observe(&self, measure: &Measure<'_>) {
        self.native.observe(measure);
        self.minitower.observe(measure);
    }
}

impl TowerMetrics {
    pub(super) fn new(native: Arc<PrometheusObserver>, directory: Directory) -> Result<Self> {
        let slug_of = move |team: &str| directory.team(team).map(|team| team.name);
        Ok(Self { native, minitower: MinitowerObserver::new(slug_of)? })
    }

    /// Counts a request, and tells its span to the observer for traces.
    pub(super) fn request(&self, request: &AnsweredRequest<'_>, spans: Option<&dyn Observer>) {
        let AnsweredRequest { method, path, status, took, span, .. } = request;
        if let (Some(spans), Some(_)) = (spans, span) {
            // Only a POST submits.
            let (method, code) = ("POST", status.as_u16());
            spans.observe(&Measure::Request {
                method,
                route: path,
                code,
                took: *took,
                span: *span,
            });
        }
        let bytes = |bytes: Option<u64>| bytes.unwrap_or_default();
        let (of_request, of_response) =
            (bytes(request.request_bytes), bytes(request.response_bytes));
        let request = MinitowerRequest::new(method.as_str(), path, status.as_u16(), *took);
        self.minitower.request(&request.bytes(of_request, of_response));
    }

    /// Returns the route `/metrics`, for everyone who can reach the port.
    pub(super) fn router(
        self: &Arc<Self>,
        coordinator: Coordinator,
        store: Option<PathBuf>,
    ) -> Router {
        let metrics = self.clone();
        Router::new().route(
            "/metrics",
            any(move || {
                let (metrics, coordinator, store) =
                    (metrics.clone(), coordinator.clone(), store.clone());
                async move { metrics.answer(&coordinator, store).await }
            }),
        )
    }

    async fn answer(&self, coordinator: &Coordinator, store: Option<PathBuf>) -> Response {
        if let Err(error) = self.look(coordinator).await {
            let message = format!("the metrics cannot be read: {error}\n");
            return (StatusCode::SERVICE_UNAVAILABLE, message).into_response();
        }
        if let Some(store) = &store {
            set_store(&self.native, store);
        }
        let text = self.native.render() + &self.minitower.render();
        ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response()
    }

    /// Reads the present state.
    async fn look(&self, coordinator: &Coordinator) -> Result<()> {
        coordinator.measure().await?;
        let mut pending = BTreeMap::<_, u64>::new();
        let mut list = ListOptions::new().statuses([Status::Queued]).limit(ListOptions::LIMIT_MAX);
        for _ in 0..PAGES {
            let page = coordinator.executions(&list).await?;
            let waits = page.iter().filter(|one| one.bundle.is_some());
            for one in waits.filter(|one| one.live_attempt().is_none()) {
                let key = (one.team.clone(), one.action.clone(), one.queue.clone());
                *pending.entry(key).or_default() += 1;
            }
            if page.len() < ListOptions::LIMIT_MAX {
                break;
            }
            list.before = page.last().map(|last| last.id);
        }
        let pending: Vec<MinitowerPending> = pending
            .into_iter()
            .map(|((team, app, queue), runs)| MinitowerPending::new(team, app, queue, runs))
            .collect();
        self.minitower.set_pending(&pending);
        let workers = coordinator.workers().await?;
        let online = workers.iter().filter(|worker| !worker.runtimes.is_empty());
        let environments = online.flat_map(|worker| match &worker.queues[..] {
            [] => vec![ENVIRONMENT],
            queues => queues.iter().map(String::as_str).collect(),
        });
        self.minitower.set_online(environments);
        Ok(())
    }
}
