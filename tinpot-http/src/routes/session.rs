//! `/api/auth/options` and `/api/auth/me`: how to sign in, and who is signed in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::gate::Entered;
use crate::model::{Time, json_response};
use crate::router::App;

/// The ways to sign in.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct AuthOptions {
    /// The ways to sign in without a ticket: `password`; `oidc`, for which a browser starts at
    /// `/auth/oidc`; `proxy`, which signs people in before their requests arrive.
    methods: Vec<&'static str>,
    /// True if a ticket signs in.
    ticket: bool,
    /// True if there is no user yet. A ticket makes the first.
    set_up: bool,
    /// True if there is nothing to sign in to: every request is let in.
    anonymous: bool,
    /// True if pages should warn that every client of the server may do everything.
    insecure: bool,
    /// If true, programs can get a token with a code that a person enters at `/device`.
    device: bool,
}

/// The means by which a caller is known.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Via {
    /// A sign-in.
    SignIn,
    /// A proxy in front of the server, which has signed the caller in.
    Proxy,
    /// An API token.
    Token,
    /// The certificate of its connection.
    Certificate,
    /// None: every request is let in.
    Anonymous,
    /// A sign-in of the only user of a server for this machine.
    Local,
    /// The program that this API is part of.
    Host,
}

/// A team that a person may choose.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TeamName {
    id: String,
    name: String,
}

/// The caller of the request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    id: String,
    name: String,
    team: String,
    /// The teams of the caller; absent if the server has one team.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Vec<TeamName>, required = false)]
    teams: Option<Vec<TeamName>>,
    via: Via,
    /// True if the caller manages the server.
    server_admin: bool,
    /// The rights that the caller has on anything of the team, or over the server.
    rights: Vec<&'static str>,
    /// If true, the server keeps apps, which people deploy.
    apps: bool,
    /// If true, the caller is a user with a password.
    has_password: bool,
    /// The time at which the caller has to sign in again, or the token ends.
    valid_until: Option<Time>,
}

impl Me {
    pub(crate) fn of(app: &App, entered: &Entered) -> Self {
        let caller = entered.scoped.caller();
        let rights = entered.scoped.rights();
        let via = match caller.via.split_once(':').map(|(kind, _)| kind) {
            Some("sign-in") if is_local(app) => Via::Local,
            Some("sign-in") => Via::SignIn,
            Some("token") => Via::Token,
            Some("certificate") => Via::Certificate,
            _ if is_of_proxy(app, caller) => Via::Proxy,
            _ if app.gate.admits_everyone() => Via::Anonymous,
            _ => Via::Host,
        };
        Self {
            id: caller.id.to_string(),
            name: name_of(app, caller),
            team: caller.team.to_string(),
            teams: teams_of(app, caller),
            via,
            server_admin: rights.contains(&tinpot_core::Right::ManageServer),
            rights: rights.into_iter().map(tinpot_core::Right::as_str).collect(),
            apps: keeps_apps(app),
            has_password: has_password(app, caller),
            valid_until: entered.valid_until.map(Time),
        }
    }
}

/// Returns the ways to sign in.
#[utoipa::path(
    get,
    path = "/api/auth/options",
    tag = "auth",
    responses((status = 200, description = "the ways to sign in", body = AuthOptions)),
)]
pub(crate) async fn options(State(app): State<Arc<App>>) -> Response {
    let anonymous = app.gate.admits_everyone();
    let of_accounts = of_accounts(&app).await;
    let options = AuthOptions { anonymous, insecure: app.config.insecure, ..of_accounts };
    json_response(StatusCode::OK, &options)
}

/// Returns the caller of the request, with its rights.
#[utoipa::path(
    get,
    path = "/api/auth/me",
    tag = "auth",
    responses((status = 200, description = "the caller", body = Me)),
)]
pub(crate) async fn me(State(app): State<Arc<App>>, entered: Entered) -> Response {
    json_response(StatusCode::OK, &Me::of(&app, &entered))
}

#[cfg(feature = "access")]
async fn of_accounts(app: &App) -> AuthOptions {
    let Some(accounts) = &app.config.accounts else { return AuthOptions::default() };
    if let Err(error) = accounts.directory().keep_current().await {
        // The request that signs in has an answer about it.
        tracing::error!(?error, "users that another process has added may be missing");
    }
    let ways = [
        ("password", accounts.has_passwords()),
        ("oidc", accounts.has_oidc()),
        ("proxy", accounts.proxy_users().is_some()),
    ];
    let methods = ways.into_iter().filter(|(_, has)| *has).map(|(way, _)| way).collect();
    let by_ticket = accounts.is_local() || accounts.has_passwords();
    let set_up = by_ticket && !accounts.directory().has_users();
    let device = !accounts.is_local();
    AuthOptions { methods, ticket: by_ticket, set_up, device, ..AuthOptions::default() }
}

#[cfg(feature = "apps")]
fn keeps_apps(app: &App) -> bool {
    app.config.apps.is_some()
}

#[cfg(not(feature = "apps"))]
fn keeps_apps(_app: &App) -> bool {
    false
}

#[cfg(feature = "access")]
fn is_local(app: &App) -> bool {
    app.config.accounts.as_ref().is_some_and(crate::Accounts::is_local)
}

#[cfg(not(feature = "access"))]
#[expect(clippy::unused_async, reason = "as with users")]
async fn of_accounts(_: &App) -> AuthOptions {
    AuthOptions::default()
}

/// Returns the name of a caller. The coordinator does not know the name of the local user, so that
/// executions keep the name of the requester that the client sends.
#[cfg(feature = "access")]
fn name_of(app: &App, caller: &tinpot_core::Caller) -> String {
    let accounts = app.config.accounts.as_ref().filter(|accounts| accounts.is_local());
    let user = accounts.and_then(|accounts| accounts.directory().user_by_id(&caller.id));
    user.map_or_else(|| caller.name.clone(), |user| user.name).to_string()
}

/// Returns the teams of a caller; `None` if the server has one team.
#[cfg(feature = "access")]
fn teams_of(app: &App, caller: &tinpot_core::Caller) -> Option<Vec<TeamName>> {
    let directory = app.config.accounts.as_ref()?.directory();
    let teams = directory.has_teams().then(|| directory.teams_of(&caller.id))?.into_iter();
    // A token is of one team.
    let has_token = caller.via.starts_with("token:");
    let teams = teams.filter(|team| !has_token || team.id == caller.team);
    let of = |team: tinpot_access::Team| TeamName {
        id: team.id.to_string(),
        name: team.name.to_string(),
    };
    Some(teams.map(of).collect())
}

#[cfg(not(feature = "access"))]
fn teams_of(_: &App, _: &tinpot_core::Caller) -> Option<Vec<TeamName>> {
    None
}

#[cfg(not(feature = "access"))]
fn name_of(_: &App, caller: &tinpot_core::Caller) -> String {
    caller.name.to_string()
}

#[cfg(feature = "access")]
fn is_of_proxy(app: &App, caller: &tinpot_core::Caller) -> bool {
    let accounts = app.config.accounts.as_ref();
    &*caller.via == "proxy" && accounts.is_some_and(|accounts| accounts.proxy_users().is_some())
}

#[cfg(feature = "access")]
fn has_password(app: &App, caller: &tinpot_core::Caller) -> bool {
    let accounts = app.config.accounts.as_ref().filter(|accounts| accounts.has_passwords());
    let user = accounts.and_then(|accounts| accounts.directory().user_by_id(&caller.id));
    user.is_some_and(|user| user.has_password())
}

#[cfg(not(feature = "access"))]
fn is_local(_: &App) -> bool {
    false
}

#[cfg(not(feature = "access"))]
fn is_of_proxy(_: &App, _: &tinpot_core::Caller) -> bool {
    false
}

#[cfg(not(feature = "access"))]
fn has_password(_: &App, _: &tinpot_core::Caller) -> bool {
    false
}
