//! `tinpot manual DIR`: the manual pages, for packages.

use std::path::Path;

use clap::CommandFactory;

use crate::args::Cli;
use crate::exit::{CliError, Code, Done};

/// Writes a page for each command: `tinpot.1`, `tinpot-run.1` and so on.
pub(crate) fn write(dir: &Path) -> Done {
    // The help is wrapped for a terminal; a page is wrapped by its reader.
    let root = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(root, dir).map_err(|error| {
        CliError::new(Code::Failed, format!("cannot write to {}: {error}", dir.display()))
    })?;
    Ok(Code::Success)
}
