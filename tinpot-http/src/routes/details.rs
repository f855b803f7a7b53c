//! The steps, children, artifacts and summary of an execution.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use tinpot_core::{
    Artifact, Error, ErrorKind, ExecutionId, LogEvent, Readable, SpanId, SpanOutcome,
};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::{PathArtifact, PathExecution};
use crate::gate::Entered;
use crate::model::{Time, json_response};
use crate::openapi::scalars;

/// The content security policy of artifacts, whose content is anything: no browser may run it here.
const ARTIFACT_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// One step.
#[derive(Serialize, ToSchema)]
pub(crate) struct Span {
    #[schema(value_type = scalars::SpanId)]
    id: SpanId,
    #[schema(value_type = Option<scalars::SpanId>)]
    parent: Option<SpanId>,
    name: String,
    started_at: Time,
    /// The duration in seconds; null while it runs, and if its end was never reported.
    duration: Option<f64>,
    #[schema(value_type = Option<scalars::SpanOutcome>)]
    outcome: Option<SpanOutcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    error: Option<String>,
}

/// An execution that was called.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChildLink {
    #[schema(value_type = scalars::ExecutionId)]
    execution_id: ExecutionId,
    action_name: String,
    #[schema(value_type = Option<scalars::SpanId>)]
    span: Option<SpanId>,
}

#[derive(Default, Serialize, ToSchema)]
pub(crate) struct Steps {
    spans: Vec<Span>,
    children: Vec<ChildLink>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Artifacts {
    artifacts: Vec<ArtifactLink>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ArtifactLink {
    /// The last part of its path, below `artifacts/`.
    id: String,
    name: String,
    size_bytes: u64,
    media_type: String,
    attempt: u32,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Summary {
    /// The summary in Markdown; null if there is none.
    summary: Option<String>,
}

/// Returns the steps of an execution, and the executions that it called.
#[utoipa::path(
    get,
    path = "/api/executions/{id}/spans",
    tag = "executions",
    params(("id" = scalars::ExecutionId, Path)),
    responses((status = 200, description = "steps and children", body = Steps), (status = 404, description = "Execution not found.")),
)]
pub(crate) async fn spans(
    Entered { scoped, .. }: Entered,
    PathExecution(id): PathExecution,
) -> Result<Response, ApiError> {
    let readable = scoped.execution(id).await?;
    let mut steps = Steps::default();
    let mut places = std::collections::HashMap::new();
    let mut events = readable.log_events();
    while let Some(event) = events.next().await {
        match event? {
            LogEvent::SpanStarted { span, parent, name, at } => {
                places.insert(span, steps.spans.len());
                let (started_at, duration, outcome, error) = (Time(at), None, None, None);
                let span = Span { id: span, parent, name, started_at, duration, outcome, error };
                steps.spans.push(span);
            }
            LogEvent::SpanEnded { span, outcome, took_us, error } => {
                if let Some(span) = places.get(&span).and_then(|at| steps.spans.get_mut(*at)) {
                    span.outcome = Some(outcome);
                    span.duration = Some(took_us as f64 / 1e6);
                    span.error = error;
                }
            }
            LogEvent::Child { execution, action, span }
                if readable.sight().shows_call(&readable.execution, &action) =>
            {
                let child = ChildLink { execution_id: execution, action_name: action, span };
                steps.children.push(child);
            }
            _ => {}
        }
    }
    Ok(json_response(StatusCode::OK, &steps))
}

/// Returns the summary that an execution wrote.
#[utoipa::path(
    get,
    path = "/api/executions/{id}/summary",
    tag = "executions",
    params(("id" = scalars::ExecutionId, Path)),
    responses((status = 200, description = "the summary", body = Summary), (status = 404, description = "Execution not found.")),
)]
pub(crate) async fn summary(
    Entered { scoped, .. }: Entered,
    PathExecution(id): PathExecution,
) -> Result<Response, ApiError> {
    let readable = scoped.execution(id).await?;
    let last = readable.log_events().try_fold(None, |last, event| async move {
        Ok(match event {
            LogEvent::Summary { markdown } => Some(markdown),
            _ => last,
        })
    });
    Ok(json_response(StatusCode::OK, &Summary { summary: last.await? }))
}

async fn kept(readable: &Readable) -> Result<Vec<Artifact>, ApiError> {
    let artifacts = readable.log_events().try_filter_map(|event| async move {
        Ok(match event {
            LogEvent::Artifact(artifact) => Some(artifact),
            _ => None,
        })
    });
    Ok(artifacts.try_collect().await?)
}

/// Lists the files that an execution kept.
#[utoipa::path(
    get,
    path = "/api/executions/{id}/artifacts",
    tag = "executions",
    params(("id" = scalars::ExecutionId, Path)),
    responses((status = 200, description = "the artifacts", body = Artifacts), (status = 404, description = "Execution not found.")),
)]
pub(crate) async fn artifacts(
    Entered { scoped, .. }: Entered,
    PathExecution(id): PathExecution,
) -> Result<Response, ApiError> {
    let link = |artifact: Artifact| ArtifactLink {
        id: format!("{}.{}", artifact.attempt, artifact.number),
        name: artifact.name,
        size_bytes: artifact.size_bytes,
        media_type: artifact.media_type,
        attempt: artifact.attempt,
    };
    let readable = scoped.execution(id).await?;
    let artifacts = kept(&readable).await?.into_iter().map(link).collect();
    Ok(json_response(StatusCode::OK, &Artifacts { artifacts }))
}

/// Downloads one file that an execution kept.
///
/// The answer is a download for every media type: browsers must not show what an action wrote as a
/// page of this server.
#[utoipa::path(
    get,
    path = "/api/executions/{id}/artifacts/{artifact}",
    tag = "executions",
    params(("id" = scalars::ExecutionId, Path), ("artifact" = scalars::SpanId, Path)),
    responses((status = 200, description = "its bytes", body = Vec<u8>, content_type = "application/octet-stream"), (status = 404, description = "Artifact not found.")),
)]
pub(crate) async fn artifact(
    Entered { scoped, .. }: Entered,
    PathArtifact(id, SpanId { attempt, number }): PathArtifact,
) -> Result<Response, ApiError> {
    let readable = scoped.execution(id).await?;
    let artifact = kept(&readable)
        .await?
        .into_iter()
        .find(|artifact| (artifact.attempt, artifact.number) == (attempt, number))
        .ok_or_else(|| {
            let detail = format!("artifact {attempt}.{number} of execution {id} not found");
            ApiError::new(StatusCode::NOT_FOUND, detail)
        })?;
    let bytes = readable.artifact_pieces(&artifact).map(|piece| {
        let damaged = |e| Error::new(ErrorKind::Malformed, "artifact is damaged").with_source(e);
        STANDARD.decode(piece?).map_err(damaged)
    });
    let name: String = artifact.name.chars().map(plain).collect();
    let disposition = format!(
        "attachment; filename=\"{name}\"; filename*=UTF-8''{}",
        percent_encoded(&artifact.name)
    );
    let attachment = HeaderValue::from_static("attachment");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        // A cut or damaged artifact has fewer bytes, which the client reports as an error.
        (header::CONTENT_LENGTH, HeaderValue::from(artifact.size_bytes)),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(ARTIFACT_POLICY)),
        (header::CONTENT_DISPOSITION, HeaderValue::try_from(disposition).unwrap_or(attachment)),
    ];
    Ok((headers, Body::from_stream(bytes)).into_response())
}

fn plain(c: char) -> char {
    if c.is_ascii_graphic() && !matches!(c, '"' | '\\') || c == ' ' { c } else { '_' }
}

fn percent_encoded(name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(encode).collect()
}
