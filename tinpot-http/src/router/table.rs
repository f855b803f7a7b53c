//! The routes, each with the rights that it needs.

use std::sync::Arc;

use axum::http::Method;
use tinpot_core::Right;
use utoipa_axum::router::UtoipaMethodRouter;

use super::App;
use crate::routes::{
    actions, bulk, details, executions, health, join, logs, metrics, queues, rerun, session, stats,
    stream, version, workers,
};
#[cfg(feature = "apps")]
use crate::routes::{apps, blobs, bundle_files, uploads, versions};
#[cfg(feature = "access")]
use crate::routes::{
    audit, device, grants, may, oidc, programs, secrets, sign_in, teams, tokens, users, worker_keys,
};
use crate::{feed, openapi};

/// The needs of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Any request is answered.
    Nothing,
    /// The caller is known. The answer has what the caller may see.
    Identity,
    /// The caller is known, and has all of these rights on the target, which
    /// [`Scoped`](tinpot_core::Scoped) checks.
    Rights(&'static [Right]),
}

/// One route.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) need: Need,
    pub(super) handler: fn() -> UtoipaMethodRouter<Arc<App>>,
}

macro_rules! table {
    ($(#[$doc:meta])* $name:ident; $($method:ident $path:literal $need:expr => $handler:path;)*) => {
        $(#[$doc])*
        static $name: &[Route] = &[$(
            Route {
                method: Method::$method,
                path: $path,
                need: $need,
                handler: || utoipa_axum::routes!($handler),
            },
        )*];
    };
}

const SEE: Need = Need::Rights(&[Right::SeeAction]);
const RUN: Need = Need::Rights(&[Right::SeeAction, Right::Run]);
const READ: Need = Need::Rights(&[Right::Read]);
const CANCEL: Need = Need::Rights(&[Right::Read, Right::Cancel]);
const RERUN: Need = Need::Rights(&[Right::Read, Right::Rerun, Right::SeeAction, Right::Run]);
const PAUSE: Need = Need::Rights(&[Right::SeeQueue, Right::PauseQueue]);

#[cfg(feature = "apps")]
const DEPLOY: Need = Need::Rights(&[Right::SeeAction, Right::Deploy]);
#[cfg(feature = "access")]
const MANAGE: Need = Need::Rights(&[Right::ManageTeam]);
#[cfg(feature = "access")]
const SECRETS: Need = Need::Rights(&[Right::UseSecretStore]);
#[cfg(feature = "access")]
const ENROL: Need = Need::Rights(&[Right::Enrol]);
#[cfg(feature = "access")]
const SERVER: Need = Need::Rights(&[Right::ManageServer]);

table! {
    /// The routes of every server but those of pages.
    ROUTES;
    GET "/api/actions" SEE => actions::list;
    GET "/api/actions/{name}" SEE => actions::show;
    POST "/api/actions/{name}/execute" RUN => actions::execute;
    POST "/api/actions/{name}/sync_execute" RUN => actions::sync_execute;
    GET "/api/executions" READ => executions::list;
    GET "/api/executions/{id}" READ => executions::show;
    GET "/api/executions/{id}/status" READ => executions::status;
    POST "/api/executions/{id}/cancel" CANCEL => executions::cancel;
    POST "/api/executions/{id}/rerun" RERUN => rerun::rerun;
    POST "/api/executions/cancel" CANCEL => bulk::cancel;
    POST "/api/executions/rerun" RERUN => bulk::rerun;
    GET "/api/executions/{id}/logs" READ => logs::show;
    GET "/api/executions/{id}/logs/search" READ => logs::search;
    GET "/api/executions/{id}/spans" READ => details::spans;
    GET "/api/executions/{id}/summary" READ => details::summary;
    GET "/api/executions/{id}/artifacts" READ => details::artifacts;
    GET "/api/executions/{id}/artifacts/{artifact}" READ => details::artifact;
    GET "/api/executions/{id}/stream" READ => stream::open;
    GET "/api/workers" Need::Rights(&[Right::SeeWorker]) => workers::workers;
    GET "/api/workers/{id}" Need::Rights(&[Right::SeeWorker]) => workers::worker;
    POST "/api/workers/{id}/drain" Need::Rights(&[Right::SeeWorker, Right::DrainWorker]) => workers::drain;
    POST "/api/workers/join" Need::Nothing => join::join;
    GET "/api/queues" Need::Rights(&[Right::SeeQueue]) => queues::list;
    POST "/api/queues/{name}/pause" PAUSE => queues::pause;
    POST "/api/queues/{name}/resume" PAUSE => queues::resume;
    GET "/api/stats" Need::Identity => stats::stats;
    GET "/api/stats/actions" Need::Identity => stats::actions;
    GET "/api/stream" Need::Identity => feed::open;
    GET "/api/auth/options" Need::Nothing => session::options;
    GET "/api/auth/me" Need::Identity => session::me;
    GET "/api/version" Need::Identity => version::version;
    GET "/openapi.json" Need::Identity => openapi::show;
    GET "/metrics" Need::Rights(&[Right::ReadMetrics]) => metrics::metrics;
    GET "/health" Need::Nothing => health::health;
    GET "/ready" Need::Nothing => health::ready;
}

#[cfg(not(feature = "access"))]
static OF_ACCOUNTS: &[Route] = &[];

#[cfg(feature = "access")]
table! {
    /// The routes about users.
    OF_ACCOUNTS;
    POST "/api/auth/login" Need::Nothing => sign_in::login;
    POST "/api/auth/ticket" Need::Nothing => sign_in::ticket;
    POST "/api/auth/set-up" Need::Nothing => sign_in::set_up;
    GET "/auth/oidc" Need::Nothing => oidc::begin;
    GET "/auth/oidc/callback" Need::Nothing => oidc::callback;
    POST "/api/auth/device" Need::Nothing => device::create;
    POST "/api/auth/device/token" Need::Nothing => device::token;
    GET "/api/auth/device/{code}" Need::Identity => device::show;
    POST "/api/auth/device/{code}" Need::Identity => device::decide;
    POST "/api/auth/tickets" Need::Identity => sign_in::tickets;
    POST "/api/auth/logout" Need::Identity => sign_in::logout;
    POST "/api/auth/password" Need::Identity => sign_in::password;
    GET "/api/auth/sign-ins" Need::Identity => sign_in::sign_ins;
    DELETE "/api/auth/sign-ins/{id}" Need::Identity => sign_in::end_sign_in;
    GET "/api/tokens" Need::Identity => tokens::list;
    POST "/api/tokens" Need::Identity => tokens::create;
    POST "/api/tokens/{id}/rotate" Need::Identity => tokens::rotate;
    DELETE "/api/tokens/{id}" Need::Identity => tokens::revoke;
    GET "/api/users" MANAGE => users::list;
    POST "/api/users" MANAGE => users::add;
    PATCH "/api/users/{id}" MANAGE => users::change;
    DELETE "/api/users/{id}" MANAGE => users::remove;
    GET "/api/users/{id}/may" MANAGE => may::may;
    GET "/api/grants" MANAGE => grants::list;
    POST "/api/grants" MANAGE => grants::add;
    DELETE "/api/grants/{id}" MANAGE => grants::remove;
    GET "/api/groups" MANAGE => grants::groups;
    PUT "/api/groups/{name}" MANAGE => grants::set_group;
    DELETE "/api/groups/{name}" MANAGE => grants::remove_group;
    GET "/api/programs" MANAGE => programs::list;
    POST "/api/programs" MANAGE => programs::add;
    DELETE "/api/programs/{id}" MANAGE => programs::remove;
    GET "/api/secrets" SECRETS => secrets::list;
    PUT "/api/secrets/{name}" SECRETS => secrets::set;
    DELETE "/api/secrets/{name}" SECRETS => secrets::remove;
    GET "/api/worker-keys" ENROL => worker_keys::keys;
    DELETE "/api/worker-keys/{id}" ENROL => worker_keys::revoke;
    POST "/api/worker-keys/{id}/rotate" ENROL => worker_keys::rotate;
    GET "/api/join-tokens" ENROL => worker_keys::tokens;
    POST "/api/join-tokens" ENROL => worker_keys::create;
    DELETE "/api/join-tokens/{id}" ENROL => worker_keys::revoke_token;
    GET "/api/teams" SERVER => teams::list;
    POST "/api/teams" SERVER => teams::create;
    PATCH "/api/teams/{team}" SERVER => teams::change;
    DELETE "/api/teams/{team}" SERVER => teams::remove;
    GET "/api/teams/{team}/members" Need::Identity => teams::members;
    POST "/api/teams/{team}/members" SERVER => teams::add_member;
    DELETE "/api/teams/{team}/members/{user}" Need::Identity => teams::remove_member;
    GET "/api/audit" Need::Rights(&[Right::ReadAudit]) => audit::list;
}

#[cfg(not(feature = "apps"))]
static OF_APPS: &[Route] = &[];

#[cfg(feature = "apps")]
table! {
    /// The routes about apps.
    OF_APPS;
    POST "/api/actions/{name}/uploads" RUN => uploads::create;
    GET "/api/apps" SEE => apps::list;
    POST "/api/apps" DEPLOY => apps::create;
    GET "/api/apps/{app}" SEE => apps::show;
    PATCH "/api/apps/{app}" DEPLOY => apps::change;
    DELETE "/api/apps/{app}" DEPLOY => apps::remove;
    GET "/api/apps/{app}/versions" SEE => versions::list;
    POST "/api/apps/{app}/versions" DEPLOY => versions::deploy;
    GET "/api/apps/{app}/versions/{version}" SEE => versions::show;
    GET "/api/apps/{app}/versions/{version}/diff" SEE => versions::diff;
    GET "/api/apps/{app}/versions/{version}/files/{path}" DEPLOY => versions::file;
    POST "/api/bundles/files" DEPLOY => bundle_files::files;
    GET "/api/blobs/{digest}" DEPLOY => blobs::get;
    PUT "/api/blobs/{digest}" DEPLOY => blobs::put;
}

/// Returns all routes but those of pages.
pub(crate) fn routes() -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().chain(OF_ACCOUNTS).chain(OF_APPS)
}

/// Returns true if the routes of a path are about apps.
pub(crate) fn is_about_apps(path: &str) -> bool {
    OF_APPS.iter().any(|route| route.path == path)
}

/// Returns true if the routes of a path are about users.
pub(crate) fn is_about_users(path: &str) -> bool {
    OF_ACCOUNTS.iter().any(|route| route.path == path)
}

/// Returns the need of a request before its route is known: anything below `/api` needs a caller,
/// even to learn that there is no such route.
pub(crate) fn need_of(method: &Method, path: &str) -> Need {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let is = |route: &&Route| route.path == path && route.method == *method;
    let is_of_the_api = path == "/api" || path.starts_with("/api/");
    match routes().find(is) {
        Some(route) => route.need,
        None if is_of_the_api => Need::Identity,
        None => Need::Nothing,
    }
}
