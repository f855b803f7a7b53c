//! Integration tests of tinpot-zmq: one binary, one module per subject.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod conformance;
mod deployment;
mod hostile;
mod places;
mod proxy;
mod support;
