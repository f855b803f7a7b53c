//! Integration tests of tinpot-http-transport: one binary, one module per subject.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod conformance;
mod deployment;
mod proxy;
mod rights;
mod support;
