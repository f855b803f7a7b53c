//! Tinpot's HTTP API as an axum router: REST, server-sent events for logs, and the web UI.
//!
//! [`router`] never binds. Serve it as it is, or nest it anywhere in an application of your own:
//!
//! ```
//! # async fn example() -> Result<(), tinpot_core::Error> {
//! use tinpot_core::{Coordinator, MemoryNetwork};
//! use tinpot_http::HttpConfig;
//!
//! let coordinator = Coordinator::builder(MemoryNetwork::new().transport()).start().await?;
//! let app: axum::Router = axum::Router::new()
//!     .nest_service("/automation", tinpot_http::router(coordinator, HttpConfig::default()));
//! # Ok(())
//! # }
//! ```
//!
//! `nest` works too, but never passes on `/automation/` with its last slash.
//!
//! # The web UI
//!
//! With the default feature `ui`, `GET /` and every path that a browser asks a page of, and that the API does not know, answer the page of the UI,
//! which finds its place by the path that the router is mounted at. Its files are below `/ui/`. `/embed/executions/{id}` is one execution for the
//! frames of other pages: of those that [`HttpConfig::embed_parents`] names. [`HttpConfig::ui`] leaves all of it out.
//!
//! # Routes
//!
//! | route | answer |
//! | --- | --- |
//! | `GET /api/actions` | every action by name: group, description, queue, parameters, schema, result_schema, whether a worker offers it now |
//! | `GET /api/actions/{name}` | one of them |
//! | `POST /api/actions/{name}/execute` | `{execution_id, action_name, status: "submitted", stream_url}` |
//! | `POST /api/actions/{name}/sync_execute?timeout=` | `{execution_id, action_name, status, result, error}`, or 504 and the execution goes on |
//! | `GET /api/executions?status=&action=&queue=&requested_by=&since=&until=&before=&limit=` | `{executions, next}`, newest first; `status` may name several, with commas; times are in RFC 3339, of the acceptance |
//! | `GET /api/executions/{id}` | everything that is recorded |
//! | `GET /api/executions/{id}/status` | `{execution_id, state, ready, successful, info}` |
//! | `GET /api/executions/{id}/stream?after=` | server-sent events, see below |
//! | `GET /api/executions/{id}/logs?after=&limit=&format=` | `{lines, next}`, or the text as a download with `format=text` |
//! | `POST /api/executions/{id}/cancel?force=` | `{execution_id, status: "cancelled" \| "cancelling"}` |
//! | `POST /api/executions/{id}/rerun` | 202, as for `execute`: the same action with the recorded parameters and options; the body may have other `options` |
//! | `GET /api/workers`, `GET /api/queues` | `{workers}`, `{queues}` |
//! | `POST /api/workers/{id}/drain` | 202: the worker is given nothing new, and ends when its attempts have ended |
//! | `POST /api/queues/{name}/pause`, `…/resume` | the queue: while it is paused it accepts, and nothing of it is given to workers |
//! | `GET /api/stats?minutes=` | `{since, minute_seconds, minutes}`: what was accepted and how it ended, minute by minute |
//! | `GET /api/version` | `{version, api}` |
//! | `GET /health` | 503 while the transport is down or the coordinator does not answer |
//! | `GET /ready` | 503 as well while there is no live worker |
//!
//! A submission is `{"parameters": {…}, "options": {…}}`; both fields may be left out, and so may the body. What is left out of the options,
//! or null, is as the action says:
//!
//! | option | value |
//! | --- | --- |
//! | `idempotency_key` (or the header `Idempotency-Key`) | 1 to 255 characters: the same key and parameters are the same execution |
//! | `priority` | a whole number, higher first |
//! | `delay`, or `not_before` | seconds; a time in RFC 3339, or seconds since 1970 |
//! | `expires_in`, `timeout` | seconds |
//! | `retries`, `max_lost_attempts` | whole numbers |
//! | `backoff`, `retry_delay`, `max_retry_delay`, `retry_jitter` | `"exponential"` or `"fixed"`; seconds; seconds; 0 to 1 |
//! | `queue` | the name of a queue |
//! | `requested_by` (or the header `X-Requested-By`) | 1 to 255 characters: who asks, for people; not checked |
//!
//! `state` is one of `PENDING`, `STARTED`, `SUCCESS`, `FAILURE` and `REVOKED`; `status`, where an execution or attempt has
//! one, is a [`Status`](tinpot_core::Status).
//!
//! Every error is `{"detail": "…"}`: 400 a body that is not JSON, 403 what a page of another site wants to change, 404, 405, 409 (cancelling what has ended, a key that was used for
//! something else), 413, 415, 422 naming what is
//! wrong, 503 with `Retry-After`, 504, 507 when the store is full. Errors that come after an execution was accepted have its `execution_id`.
//! Where single parameters are wrong, the 422 also has `"errors": [{"path": "hosts[3]", "message": "…"}]`: the first 50, and `detail` says how
//! many there are.
//!
//! Parameters whose schema says `"writeOnly": true` are shown as `"***"`.
//!
//! # Streams
//!
//! Events have no name and carry compact JSON: `{"type": …, "data": {…}}`, with type `connected`, `status`, `log`, `progress` or
//! `complete`. Whoever connects gets the whole log from its start, at any time, and the stream ends after `complete`.
//!
//! The id of a log event is the number of its line; `connected`, `status` and `progress` have the number of the line before them. A client
//! that connects with `Last-Event-ID` (or `?after=`; the header counts) gets the lines above that number. The id of `complete` is `end`:
//! whoever comes back with it gets 204, which ends an `EventSource` for good.
//!
//! A stream without news has a comment every 15 seconds ([`HttpConfig::heartbeat`]). Open streams end when the coordinator shuts down or the
//! host says so ([`HttpConfig::shutdown_signal`]), so that they do not hold up a graceful shutdown; clients come back and resume.

mod base_path;
mod config;
mod csrf;
mod error;
mod extract;
mod feed;
mod model;
mod openapi;
mod params;
mod router;
mod routes;
mod sse;
mod submission;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::config::HttpConfig;
pub use self::router::router;
