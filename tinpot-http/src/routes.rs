//! The routes, by resource.

pub(crate) mod actions;
pub(crate) mod bulk;
pub(crate) mod details;
pub(crate) mod executions;
pub(crate) mod health;
pub(crate) mod logs;
pub(crate) mod queues;
pub(crate) mod rerun;
pub(crate) mod stats;
pub(crate) mod stream;
#[cfg(feature = "ui")]
pub(crate) mod ui;
pub(crate) mod version;
pub(crate) mod workers;
