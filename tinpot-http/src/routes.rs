//! The routes, by resource.

pub(crate) mod actions;
#[cfg(feature = "access")]
pub(crate) mod audit;
pub(crate) mod bulk;
pub(crate) mod details;
pub(crate) mod executions;
#[cfg(feature = "access")]
pub(crate) mod grants;
pub(crate) mod health;
pub(crate) mod logs;
pub(crate) mod queues;
pub(crate) mod rerun;
pub(crate) mod session;
#[cfg(feature = "access")]
pub(crate) mod sign_in;
pub(crate) mod stats;
pub(crate) mod stream;
#[cfg(feature = "access")]
pub(crate) mod tokens;
#[cfg(feature = "ui")]
pub(crate) mod ui;
#[cfg(feature = "access")]
pub(crate) mod users;
pub(crate) mod version;
pub(crate) mod workers;
