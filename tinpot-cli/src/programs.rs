//! The programs that serve: each is settings and a short assembly of the library. Only they start a runtime.

mod dev;
mod examples;
mod servers;

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::exit::{Code, Done, Failure};

pub(crate) use self::dev::{DevArgs, dev};
pub(crate) use self::examples::{init, write_examples};
pub(crate) use self::servers::{CoordinatorArgs, WorkerArgs, coordinator, worker};

/// Where a program's settings come from, and whether they are only to be shown.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConfigArgs {
    /// A TOML file with settings: flags and environment variables win over it
    #[arg(long, env = "TINPOT_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Print the settings that are in effect and where each comes from, as such a file, and end; passwords are not shown
    #[arg(long)]
    pub(crate) show_config: bool,
}

/// Runs a program to its end.
fn run(program: impl Future<Output = tinpot_core::Result<()>>) -> Done {
    tinpot_server::init_tracing();
    runtime()?.block_on(program)?;
    Ok(Code::Success)
}

/// A runtime for a program, or for what is done once in the background of a command.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|e| Failure::new(Code::Failed, format!("no threads can be started: {e}")))
}
