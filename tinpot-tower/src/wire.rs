//! The form of requests and answers.

pub(crate) mod body;
pub(crate) mod error;
pub(crate) mod json;
pub(crate) mod numbers;
pub(crate) mod times;
