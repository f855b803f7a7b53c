//! `/api/audit`: the entries of the audit, for admins of the team.

use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use tinpot_access::{AUDIT_LOG, AuditEntry, AuditQuery, RUNS_LOG};
use tinpot_core::Right;
use tinpot_core::access::{AuditDecision, AuditEvent};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::accounts::Asked;
use crate::model::{Time, json_response};
use crate::params::Params;

/// The largest page, and the one by default.
const PAGE_MAX: usize = 1_000;
const PAGE: usize = 50;

/// A page of the audit, latest first.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct AuditPage {
    entries: Vec<AuditJson>,
    /// The `after` of the next page, which has earlier entries; null at the end. A page may be short
    /// and still have a next one.
    next: Option<String>,
    /// The number of entries that cannot be read; 0 for admins of one of several teams.
    unreadable: usize,
}

/// An entry of the audit.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(crate) struct AuditJson {
    /// The number; null for admins of one of several teams, as it counts the entries of all teams.
    n: Option<u64>,
    time: Time,
    who: AuditWhoJson,
    /// The name of what was done, such as `token.create`.
    what: String,
    target: AuditTargetJson,
    /// More about it, for people.
    detail: String,
    decision: AuditDecisionName,
    /// The reason of a refusal or failure.
    why: String,
    /// The address from which it was asked for.
    from: String,
    /// The id of the request, which its answer had in `X-Request-Id`.
    request_id: String,
}

/// The principal of an entry.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditWho)]
pub(crate) struct AuditWhoJson {
    id: String,
    name: String,
    /// The id of the token or sign-in by which it was known.
    via: String,
    /// The kind of principal, such as `user`, `program` or `operator`.
    kind: String,
}

/// The object of an entry.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditTarget)]
pub(crate) struct AuditTargetJson {
    kind: String,
    id: String,
}

/// The decision of an entry.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AuditDecision)]
pub(crate) enum AuditDecisionName {
    Allowed,
    Refused,
    Failed,
}

impl AuditJson {
    fn of(entry: AuditEntry, has_number: bool) -> Self {
        let n = has_number.then_some(entry.n);
        let AuditEvent { time, who, what, target, detail, decision, why, from, request_id, .. } =
            entry.event;
        Self {
            n,
            time: Time(time),
            who: AuditWhoJson {
                id: who.id.to_string(),
                name: who.name.to_string(),
                via: who.via.to_string(),
                kind: who.kind.to_string(),
            },
            what: what.to_string(),
            target: AuditTargetJson { kind: target.kind.to_string(), id: target.id.to_string() },
            detail,
            decision: match decision {
                AuditDecision::Refused => AuditDecisionName::Refused,
                AuditDecision::Failed => AuditDecisionName::Failed,
                _ => AuditDecisionName::Allowed,
            },
            why,
            from,
            request_id,
        }
    }
}

/// Lists entries of the audit, latest first.
#[utoipa::path(
    get,
    path = "/api/audit",
    tag = "audit",
    params(
        ("log" = Option<String>, Query, description = "`runs` for runs and calls, which are a log of their own"),
        ("who" = Option<String>, Query, description = "only entries of the principal with this name or id"),
        ("what" = Option<String>, Query, description = "only entries of what begins so, such as `token` or `user.add`"),
        ("since" = Option<String>, Query, description = "only entries of this time or later", format = DateTime),
        ("after" = Option<String>, Query, description = "the `next` of the page before"),
        ("limit" = Option<u64>, Query, description = "the page size, 50 by default", minimum = 1, maximum = 1000),
    ),
    responses((status = 200, description = "the entries", body = AuditPage)),
)]
pub(crate) async fn list(uri: Uri, asked: Asked) -> Result<Response, ApiError> {
    asked.needs(Right::ReadAudit)?;
    let params = Params::of(&uri, &["log", "who", "what", "since", "after", "limit"])?;
    let log = params.read("log", "runs or audit", |name| match name {
        "audit" => Some(AUDIT_LOG),
        "runs" => Some(RUNS_LOG),
        _ => None,
    })?;
    let mut query = AuditQuery::new().limit(params.limit(PAGE_MAX)?.unwrap_or(PAGE));
    query.since = params.time("since")?;
    query.who = params.text("who").map(|who| who.to_string());
    query.what = params.text("what").map(|what| format!("{}*", what.trim_end_matches('*')));
    let directory = asked.directory();
    // Numbers tell how much happens in other teams.
    let is_whole = !directory.has_teams() || asked.scoped().has(Right::ManageServer);
    query.before = params.read("after", "the next of a page", |text| match is_whole {
        true => text.parse().ok(),
        false => directory.read_number(text),
    })?;
    if !is_whole {
        query.within = Some(asked.team().to_owned());
    }
    let Some(audit) = asked.accounts.audit_log() else {
        return Ok(json_response(StatusCode::OK, &AuditPage::default()));
    };
    let found = audit.page(log.unwrap_or(AUDIT_LOG), &query).await?;
    let next = match found.next {
        Some(number) if is_whole => Some(number.to_string()),
        Some(number) => Some(directory.hide_number(number).await?),
        None => None,
    };
    let entries = found.entries.into_iter().map(|entry| AuditJson::of(entry, is_whole));
    let unreadable = if is_whole { found.unreadable } else { 0 };
    let page = AuditPage { entries: entries.collect(), next, unreadable };
    Ok(json_response(StatusCode::OK, &page))
}
