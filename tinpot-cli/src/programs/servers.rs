//! `tinpot coordinator` and `tinpot worker`: the servers of `tinpot-server`, with a settings file.

use std::path::Path;

use clap::Args;
use tinpot_server::{CoordinatorSettings, WorkerSettings};

use super::ConfigArgs;
use crate::exit::{CliError, Done};

/// The options of `tinpot coordinator`.
#[derive(Args, Clone, Debug)]
pub(crate) struct CoordinatorArgs {
    #[command(flatten)]
    settings: CoordinatorSettings,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// The options of `tinpot worker`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    settings: WorkerSettings,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
}

/// Runs a coordinator until SIGTERM or Ctrl-C.
pub(crate) fn coordinator(arguments: CoordinatorArgs) -> Done {
    let settings = arguments.settings;
    settings.check().map_err(|error| CliError::usage(error.message()))?;
    super::run(async { settings.serve(tinpot_server::shutdown()?).await })
}

/// Runs a worker until SIGTERM or Ctrl-C.
pub(crate) fn worker(arguments: WorkerArgs) -> Done {
    let settings = arguments.settings;
    super::run(async { settings.serve(Path::new("actions"), tinpot_server::shutdown()?).await })
}
