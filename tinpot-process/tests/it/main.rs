//! The tests of tinpot-process, with real programs.

mod bundles;
mod conformance;
mod environment;
mod limits;
mod output;
mod reload;
mod results;
mod setup;
mod stopping;
mod support;
mod worker_death;
