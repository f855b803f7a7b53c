//! Tinpot's HTTP API as an axum router: REST, server-sent events for logs, and the web UI.
//!
//! [`router`] never binds. Serve it as it is, or nest it anywhere in an application of your own:
//!
//! ```
//! use axum::body::Body;
//! use axum::http::Request;
//! use tinpot_core::{Coordinator, MemoryNetwork};
//! use tinpot_http::{Anonymous, HttpConfig};
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let coordinator = Coordinator::builder(MemoryNetwork::new().transport()).start().await?;
//! // Only trusted clients reach this application.
//! let config = HttpConfig::default().authenticator(Anonymous::default());
//! let app = axum::Router::new()
//!     .route("/", axum::routing::get(|| async { "the application's own page" }))
//!     .nest_service("/automation", tinpot_http::router(coordinator, config));
//!
//! let request = Request::get("/automation/api/version").body(Body::empty())?;
//! assert_eq!(app.oneshot(request).await?.status(), 200);
//! # Ok(())
//! # }
//! ```
//!
//! # Callers
//!
//! An [`Authenticator`] says whose request it is, and the coordinator's
//! [policy](tinpot_core::CoordinatorBuilder::policy) what that caller may do. Without an authenticator,
//! every request below `/api` is answered with 401: an application that has users of its own
//! implements one, and one that only trusted clients reach passes [`Anonymous`]. With the default
//! feature `access`, `DirectoryAuthenticator` takes the API tokens of the crate tinpot-access. What a caller may not
//! know has the answers of what does not exist. In `/openapi.json`, `x-rights` names the rights that
//! each operation needs.
//!
//! # Paths and hosts
//!
//! Behind a proxy that removes a prefix from paths, answers have the prefix of the header
//! `X-Forwarded-Prefix`. [`HttpConfig::root_path`] is for proxies that do not send it, or leave the
//! prefix in the path.
//!
//! Requests have to name a host that is allowed: `localhost` and the addresses of loopback are, and
//! [`HttpConfig::hosts`] adds the names by which others reach the server. Without that check, a page of
//! any site could read everything by letting its own name resolve to the server (DNS rebinding).
//!
//! `nest` works too, but does not pass on `/automation/` with a slash at its end.
//!
//! # The web UI
//!
//! With the default feature `ui`, the page of the UI answers `GET /`, and every path that a browser
//! requests a page of and that the API does not know. The page finds its base path by itself. Its
//! files are below `/ui/`. `/embed/executions/{id}` shows one execution in a frame of another page,
//! if [`HttpConfig::embed_parents`] names the origin of that page. [`HttpConfig::ui`] turns all of it
//! off.
//!
//! # Routes
//!
//! `/openapi.json` describes all of them, with their parameters and answers.
//!
//! | route | answer |
//! | --- | --- |
//! | `GET /api/actions` | all actions by name: group, description, queue, parameters, schema, result_schema, availability |
//! | `GET /api/actions/{name}` | one action |
//! | `POST /api/actions/{name}/execute` | `{execution_id, action_name, status: "submitted", stream_url}` |
//! | `POST /api/actions/{name}/sync_execute?timeout=` | `{execution_id, action_name, status, result, error}`; 504 after the timeout, and the execution continues |
//! | `GET /api/executions?q=&status=&action=&queue=&requested_by=&since=&until=&before=&limit=` | `{executions, next}`, newest first; `q` has words of the action, id, parameters, error or requester; `status` takes several, separated by commas; times are those of acceptance, in RFC 3339 |
//! | `GET /api/executions/{id}` | the whole record |
//! | `GET /api/executions/{id}/status` | `{execution_id, state, ready, successful, info}` |
//! | `GET /api/executions/{id}/stream?after=` | server-sent events, see below |
//! | `GET /api/executions/{id}/logs?after=&limit=&format=` | `{lines, next}`, or the whole log as a download with `format=text` |
//! | `POST /api/executions/{id}/cancel?force=` | `{execution_id, status: "cancelled" \| "cancelling"}` |
//! | `POST /api/executions/{id}/rerun` | 202, as for `execute`: the action with the recorded parameters and options; the body may change `options` |
//! | `POST /api/executions/cancel`, `…/rerun` | `{results}`, one for each of the `ids` in the body |
//! | `GET /api/workers`, `GET /api/queues` | `{workers}`, `{queues}` |
//! | `POST /api/workers/{id}/drain` | 202: the worker receives no new attempts and exits when idle |
//! | `POST /api/queues/{name}/pause`, `…/resume` | the queue: a paused queue accepts executions and grants none |
//! | `GET`, `POST /api/apps`, `GET`, `PATCH /api/apps/{app}` | with the feature `apps`: `{apps}`; an app, which `enabled` and `active_version` in the body change |
//! | `GET`, `POST /api/apps/{app}/versions`, `GET …/{version}`, `GET …/{version}/files/{path}` | `{versions, next}`, newest first; a deploy, which answers with `{result, version, missing, enabled}`; a version with its files; a file |
//! | `GET`, `PUT /api/blobs/{digest}` | the archives and manifests that the team has uploaded, as raw bytes |
//! | `GET /api/stats?minutes=` | `{since, minute_seconds, minutes}`: accepted executions and outcomes per minute |
//! | `GET /api/stats/actions` | `{actions}`: the latest executions of each action |
//! | `GET /api/stream` | server-sent events of all changes, and of the logs of several executions |
//! | `GET /api/version` | `{version, api}` |
//! | `GET /metrics` | metrics in the text format of Prometheus, if [`HttpConfig::metrics`] has them |
//! | `GET /health` | 503 while the transport is down or the coordinator does not answer |
//! | `GET /ready` | 503 as well while no worker is live, or the store is full or damaged |
//!
//! A submission is `{"parameters": {…}, "options": {…}}`. Both fields are optional, and so is the
//! body. The action decides about options that are omitted or null:
//!
//! | option | value |
//! | --- | --- |
//! | `idempotency_key` (or the header `Idempotency-Key`) | 1 to 255 characters: submissions with the same key and parameters are one execution |
//! | `priority` | an integer; higher ones start first |
//! | `delay`, or `not_before` | seconds; a time in RFC 3339, or seconds since 1970 |
//! | `expires_in`, `timeout` | seconds |
//! | `retries`, `max_lost_attempts` | integers |
//! | `backoff`, `retry_delay`, `max_retry_delay`, `retry_jitter` | `"exponential"` or `"fixed"`; seconds; seconds; 0 to 1 |
//! | `queue` | the name of a queue |
//! | `traceparent` (or the header of that name) | the trace context of the submitter, as W3C Trace Context has it; actions get it as the variable `TRACEPARENT` |
//! | `requested_by` (or the header `X-Requested-By`) | 1 to 255 characters: the requester, for display only. A caller who is known by name is the requester; what this says is shown as `on_behalf_of` |
//!
//! `state` is one of `PENDING`, `STARTED`, `SUCCESS`, `FAILURE` and `REVOKED`. `status` of an
//! execution or attempt is a [`Status`](tinpot_core::Status).
//!
//! Parameters whose schema says `"writeOnly": true` are shown as `"***"`.
//!
//! # Errors
//!
//! Every error is `{"detail": "…"}`. Its message names the value, the bound and the remedy. Errors
//! after the acceptance of an execution have its `execution_id`. If single parameters are invalid, the
//! 422 also has `"errors": [{"path": "hosts[3]", "message": "…"}]`, with the first 50 of them.
//!
//! | status | cause |
//! | --- | --- |
//! | 400 | the body is not JSON |
//! | 401 | the request is not authenticated |
//! | 403 | a page of another site requests a change; the caller may not do this |
//! | 404, 405 | unknown path, action, execution, queue or worker; unknown method |
//! | 409 | cancelling an execution that has ended; an idempotency key that was used for something else |
//! | 413, 415 | the body is too large; a browser does not declare it as JSON |
//! | 421 | the header `Host` names a host that is not allowed |
//! | 422 | invalid parameters, options or query |
//! | 429 | too many requests of one user or program, or too many wrong passwords; with `Retry-After` |
//! | 503 | the coordinator is overloaded, unavailable or shutting down; with `Retry-After` |
//! | 504 | the execution has not ended within the timeout, and continues |
//! | 507 | the store is full |
//!
//! # Streams
//!
//! Events have no name and carry compact JSON: `{"type": …, "data": {…}}`, with the type
//! `connected`, `status`, `log`, `progress` or `complete`. `connected` and `complete` have their fields
//! at the top level as well. Every client receives the whole log from
//! its start, at any time. The stream ends after `complete`.
//!
//! The id of a log event is the number of its line. `connected`, `status` and `progress` have the
//! number of the line before them. A client that connects with `Last-Event-ID` (or `?after=`; the
//! header takes precedence) receives the lines above that number. The id of `complete` is `end`. A
//! client that returns with it receives 204, which ends an `EventSource` for good.
//!
//! A silent stream has a comment every 15 seconds ([`HttpConfig::heartbeat`]). Open streams end when
//! the caller may not read what they show any more, or the identity has expired: after an event of the
//! name `denied`. They also end when the coordinator shuts down or the host requests it ([`HttpConfig::shutdown_signal`]), so that they
//! do not delay a graceful shutdown. Clients reconnect and resume.

#[cfg(feature = "access")]
mod accounts;
mod address_range;
mod authenticator;
mod base_path;
mod config;
#[cfg(feature = "access")]
mod cookies;
mod cors;
mod csrf;
mod error;
mod extract;
mod feed;
mod front;
mod gate;
mod hosts;
mod measured;
mod model;
mod openapi;
mod params;
mod principals;
mod proxies;
mod public_url;
mod root_path;
mod router;
mod routes;
mod sse;
mod submission;
#[cfg(feature = "access")]
mod teams;
#[cfg(feature = "testing")]
pub mod testing;
mod unread_body;

#[cfg(feature = "access")]
pub use self::accounts::Accounts;
pub use self::address_range::AddressRange;
pub use self::authenticator::{
    Anonymous, Authenticator, ClientCertificate, Identity, PeerAddress, Presented,
};
#[cfg(feature = "access")]
pub use self::authenticator::{CertificatePrincipal, DirectoryAuthenticator, ProxyUsers};
pub use self::config::HttpConfig;
pub use self::hosts::AllowedHost;
pub use self::principals::PrincipalLimits;
pub use self::proxies::OverTls;
pub use self::public_url::PublicUrl;
pub use self::root_path::RootPath;
pub use self::router::router;

/// The README, whose example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
