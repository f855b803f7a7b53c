//! Integration tests of tinpot-core: one binary, one module per subject.

mod cluster;
mod simulation;
mod transport;
