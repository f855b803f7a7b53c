//! Integration tests of tinpot-mqtt: one binary, one module per subject.

mod broker;
mod certificates;
mod conformance;
mod connecting;
mod faults;
mod mosquitto;
mod support;
mod urls;
