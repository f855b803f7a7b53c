//! `tinpot coordinator` and `tinpot worker`: the servers of `tinpot-server`, with a settings file.

use std::path::Path;

use clap::{Args, Subcommand};
use tinpot_python::Directories;
use tinpot_server::settings::{BrokerSettings, BundleSettings, IdentitySettings};
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
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    settings: WorkerSettings,
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    #[command(subcommand)]
    command: Option<WorkerCommand>,
}

impl WorkerArgs {
    /// Sets the settings of single directories, which only a file has.
    pub(crate) fn set_directories(&mut self, directories: Directories) {
        self.settings.actions.directories = directories;
    }
}

#[derive(Clone, Debug, Subcommand)]
enum WorkerCommand {
    /// Join with a token: have the key of this worker enrolled, and write worker.key and worker.toml
    Join(JoinArgs),
}

/// The options of `tinpot worker join`.
#[derive(Args, Clone, Debug)]
struct JoinArgs {
    /// URL of the broker, in place of --broker; or of the server, for a worker that uses HTTP
    #[arg(value_name = "URL")]
    broker_url: Option<String>,
    /// Name of the worker
    #[arg(long, env = "WORKER_NAME", default_value = "worker")]
    name: String,
    #[command(flatten)]
    broker: BrokerSettings,
    #[command(flatten)]
    bundles: BundleSettings,
    #[command(flatten)]
    identity: IdentitySettings,
    /// Replace the key that this worker has
    #[arg(long)]
    replace: bool,
}

/// Runs a coordinator until SIGTERM or Ctrl-C.
pub(crate) fn coordinator(arguments: CoordinatorArgs) -> Done {
    let settings = arguments.settings;
    settings.check().map_err(|error| CliError::usage(error.message()))?;
    super::run(settings.log, false, async move { settings.serve(tinpot_server::shutdown()?).await })
}

/// Runs a worker until SIGTERM or Ctrl-C.
///
/// `server` is the URL of `--server`, in place of that of a broker. The variable of that option is for
/// commands that call the API.
pub(crate) fn worker(arguments: WorkerArgs, server: Option<String>) -> Done {
    let server = server.filter(|url| std::env::var("TINPOT_SERVER").as_ref() != Ok(url));
    if let Some(WorkerCommand::Join(join)) = arguments.command {
        let mut settings = WorkerSettings::default();
        (settings.name, settings.broker) = (join.name, join.broker);
        (settings.bundles, settings.identity) = (join.bundles, join.identity);
        settings.broker.url = join.broker_url.or(server).unwrap_or(settings.broker.url);
        return super::run(settings.log, false, settings.join(join.replace));
    }
    let mut settings = arguments.settings;
    settings.broker.url = server.unwrap_or(settings.broker.url);
    let (log, runs_here) = (settings.log, settings.actions.run_here());
    let serve =
        async move { settings.serve(Path::new("actions"), tinpot_server::shutdown()?).await };
    super::run(log, runs_here, serve)
}
