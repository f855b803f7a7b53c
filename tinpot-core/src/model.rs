//! Plain data: imports nothing above it.

pub mod action;
pub(crate) mod address;
pub(crate) mod deployed;
pub(crate) mod digest;
pub(crate) mod error;
pub(crate) mod execution;
pub(crate) mod failure;
pub(crate) mod fence;
pub(crate) mod id;
pub(crate) mod json;
pub(crate) mod log;
pub(crate) mod names;
pub(crate) mod opened;
pub(crate) mod outcome;
pub(crate) mod page;
mod result;
pub(crate) mod retry;
pub(crate) mod search;
pub(crate) mod secret;
pub(crate) mod serde_millis;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod transition;
pub(crate) mod violation;
pub(crate) mod visible;
