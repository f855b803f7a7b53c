//! The router in front of a real coordinator and a real worker, in memory.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod actions;
mod apps;
mod authenticator;
mod base_path;
mod bulk;
mod bundles;
#[cfg(feature = "access")]
mod certificates;
mod client;
mod cluster;
mod cors;
#[cfg(feature = "access")]
mod enrolment;
mod errors;
#[cfg(feature = "access")]
mod escalation;
mod executions;
mod feed;
mod fuzzed;
mod headers;
mod health;
mod hosts;
mod log_parts;
mod logs;
#[cfg(feature = "access")]
mod manage;
mod messages;
mod metrics;
#[cfg(feature = "oidc")]
mod oidc;
mod openapi;
mod operations;
mod parameters;
#[cfg(feature = "access")]
mod people;
mod principals;
#[cfg(feature = "access")]
mod proxy_users;
#[cfg(feature = "access")]
mod rights;
mod secrets;
#[cfg(feature = "access")]
mod sign_in;
mod stream;
mod stream_live;
mod submissions;
mod sync_execute;
#[cfg(feature = "access")]
mod team_privacy;
#[cfg(feature = "access")]
mod teams;
mod tickets;
#[cfg(feature = "access")]
mod tokens;
#[cfg(feature = "ui")]
mod ui;
mod uploads;
