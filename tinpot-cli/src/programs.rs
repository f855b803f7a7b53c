//! The programs that serve: each is settings and a short assembly of the library. Only they start a runtime.

mod coordinator;
mod dev;
mod examples;
mod site;
mod worker;

use std::path::PathBuf;

use clap::{Args, ValueHint};
use tinpot_http::HttpConfig;

use crate::exit::{Code, Done, Failure};
use crate::serve::AnyError;

pub(crate) use self::coordinator::{CoordinatorArgs, coordinator};
pub(crate) use self::dev::{DevArgs, dev};
pub(crate) use self::examples::{init, write_examples};
pub(crate) use self::site::{Plan, Site};
pub(crate) use self::worker::{WorkerArgs, worker};

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

/// What is served beside the API.
#[derive(Args, Clone, Debug)]
pub(crate) struct PagesArgs {
    /// Serve the API alone, without the web interface
    #[arg(long, env = "TINPOT_NO_UI")]
    pub(crate) no_ui: bool,
    /// The origins of pages that may show an execution in a frame, as in https://wiki.example.org; separated by commas, none by default
    #[arg(long, env = "TINPOT_EMBED_PARENTS", value_name = "ORIGIN", value_delimiter = ',')]
    pub(crate) embed_parents: Vec<String>,
}

impl PagesArgs {
    /// As the router takes them.
    pub(crate) fn config(&self) -> HttpConfig {
        let parents = self.embed_parents.iter().map(|origin| origin.trim());
        let parents = parents.filter(|origin| !origin.is_empty());
        HttpConfig::default().ui(!self.no_ui).embed_parents(parents)
    }
}

/// Runs a program to its end.
fn run(program: impl Future<Output = Result<(), AnyError>>) -> Done {
    crate::serve::init_tracing();
    runtime()?.block_on(program)?;
    Ok(Code::Success)
}

/// A runtime for a program, or for what is done once in the background of a command.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|e| Failure::new(Code::Failed, format!("no threads can be started: {e}")))
}
