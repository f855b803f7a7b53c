//! The commands that start servers. Only these start a runtime.

mod dev;
mod init;
mod servers;
mod tower;

use std::path::PathBuf;
use std::pin::Pin;

use clap::{Args, ValueHint};
use tinpot_server::settings::LogSettings;

use crate::exit::{CliError, Code, Done};

pub(crate) use self::dev::{DevArgs, dev};
pub(crate) use self::init::{init, write_examples};
pub(crate) use self::servers::{CoordinatorArgs, WorkerArgs, coordinator, worker};
pub(crate) use self::tower::{as_minitowerd, tower};

/// The settings file of a server.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    /// TOML file with settings; flags and environment variables override it
    #[arg(long, env = "TINPOT_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Print the effective settings and their sources as a settings file without passwords, and
    /// exit
    #[arg(long)]
    pub(crate) show_config: bool,
}

/// Runs a server to its end. If it runs actions in its own process, these read their secrets from its
/// environment.
fn run(
    log: LogSettings,
    runs_actions_here: bool,
    program: impl Future<Output = tinpot_core::Result<()>> + 'static,
) -> Done {
    // First: it needs a process without threads.
    tinpot_server::hide_secret_variables(runs_actions_here);
    tinpot_server::keep_private();
    tinpot_server::init_tracing_as(log.log_format, None);
    // Boxed, because `block_on` is compiled for two kinds of runtimes, each with all of the future.
    let program: Pin<Box<dyn Future<Output = tinpot_core::Result<()>>>> = Box::pin(program);
    runtime()?.block_on(program)?;
    Ok(Code::Success)
}

/// Returns a runtime for a server, or for a command that needs one once.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|e| CliError::new(Code::Failed, format!("cannot start threads: {e}")))
}
