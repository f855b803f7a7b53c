#![doc = include_str!("../README.md")]

mod app;
mod artifacts;
mod attempt;
mod executor;
mod folders;
mod inputs;
mod output;
mod python;
mod run;
mod workspace;

pub use self::executor::{ProcessExecutor, ProcessExecutorBuilder};
pub use tinpot_bundle::RunLimits;
pub use tinpot_bundle::worker::{BundleEnvironments, FetchBlob, FetchOptions, StoredBlobs};
pub use tinpot_contain::{Containment, ContainmentMode, Surroundings, supervise_if_asked};
