//! Integration tests of tinpot-mqtt: one binary, one module per subject.

mod conformance;
mod mosquitto;
