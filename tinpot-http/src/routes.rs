//! The routes, by resource.

pub(crate) mod actions;
pub(crate) mod details;
pub(crate) mod executions;
pub(crate) mod health;
pub(crate) mod logs;
#[cfg(feature = "ui")]
pub(crate) mod ui;
pub(crate) mod workers;
