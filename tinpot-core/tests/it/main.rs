//! Integration tests of tinpot-core: one binary, one module per subject.

mod attempt_limits;
mod budgets;
mod callers;
mod changes;
mod children;
mod claims;
mod cluster;
mod documentation;
mod draining;
mod executor;
mod faults;
mod front_door;
mod fuzzed;
mod given_back;
mod hub;
mod log_delivery;
mod log_sink;
mod machine;
mod options;
mod parameters;
mod policy;
mod queues;
mod reconnecting;
mod recovery;
mod rerun;
#[cfg(feature = "validation")]
mod schema_oracle;
mod secrets;
mod session_probe;
mod simulation;
mod stats;
mod store;
mod suite_mutants;
mod support;
mod tracing_events;
mod transport;
