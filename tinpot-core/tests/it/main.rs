//! Integration tests of tinpot-core: one binary, one module per subject.

mod cluster;
mod documentation;
mod executor;
mod log_sink;
mod machine;
mod simulation;
mod store;
mod transport;
