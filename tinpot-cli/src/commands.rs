//! The commands that talk to a server.

mod actions;
mod apps;
mod bundles;
mod executions;
mod logs;
mod run;
mod version;
mod versions;
mod workers;

pub(crate) use self::actions::{actions, catalogue, find};
pub(crate) use self::apps::{apps, rollback};
pub(crate) use self::bundles::{deploy, pack};
pub(crate) use self::executions::{executions, rerun};
pub(crate) use self::run::{
    Exec, Target, global_of, options, run, run_with, submit_options, without_name,
};
pub(crate) use self::version::{openapi, version};
pub(crate) use self::versions::versions;
pub(crate) use self::workers::{queues, workers};
