//! Integration tests of tinpot-mqtt: one binary, one module per subject.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod broker;
mod certificates;
mod conformance;
mod connecting;
mod faults;
mod fuzzed;
mod gateway;
mod mosquitto;
mod sealed;
mod support;
mod urls;
