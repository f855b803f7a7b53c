//! `tinpot tower`: a server in place of MiniTower's.

use std::ffi::OsString;
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use tinpot_server::{TowerImport, TowerImported, TowerSettings};

use crate::access::refused;
use crate::args::{Global, TowerArgs, TowerCommand};
use crate::exit::{CliError, Code, Done};
use crate::output;

/// The name of MiniTower's server.
const MINITOWERD: &str = "minitowerd";

/// Returns the arguments of `tinpot tower` for a program that was started as MiniTower's server.
pub(crate) fn as_minitowerd(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let name = arguments.first().map(Path::new).and_then(Path::file_name);
    if name.is_some_and(|name| name == MINITOWERD) {
        arguments.insert(1, "tower".into());
    }
    arguments
}

/// Runs until SIGTERM or Ctrl-C, or makes a store and ends.
pub(crate) fn tower(arguments: TowerArgs, global: &Global) -> Done {
    match arguments.command {
        Some(TowerCommand::Import(settings)) => import(settings, global),
        None => serve(arguments.settings),
    }
}

fn import(settings: TowerImport, global: &Global) -> Done {
    tinpot_server::keep_private();
    let (store, is_dry_run) = (settings.store.display().to_string(), settings.dry_run);
    let (taken, blobs) = match super::runtime()?.block_on(settings.run()).map_err(refused)? {
        TowerImported::Done { taken, blobs } => (taken, blobs.display().to_string()),
        _ => {
            output::say(&format!("{store} has all of it already: nothing was changed"));
            return Ok(Code::Success);
        }
    };
    for notice in &taken.notices {
        output::say(&format!("warning: {}", output::clean(notice, false)));
    }
    if taken.more_notices > 0 {
        output::say(&format!("warning: and {} more", taken.more_notices));
    }
    if global.json {
        let counts = serde_json::json!({
            "teams": taken.teams,
            "tokens": taken.tokens,
            "runners": taken.runners,
            "apps": taken.apps,
            "versions": taken.versions,
            "runs": taken.runs,
            "log_lines": taken.log_lines,
            "notices": taken.notices,
            "more_notices": taken.more_notices,
            "dry_run": is_dry_run,
        });
        output::println(&counts.to_string())?;
        return Ok(Code::Success);
    }
    let what = if is_dry_run { "would take" } else { "took" };
    output::println(&format!(
        "{what} {} teams, {} tokens, {} runners, {} apps, {} versions, {} runs, {} log lines",
        taken.teams,
        taken.tokens,
        taken.runners,
        taken.apps,
        taken.versions,
        taken.runs,
        taken.log_lines
    ))?;
    output::say(&match is_dry_run {
        true => "nothing was written: leave out --dry-run".to_owned(),
        false => format!("start it: tinpot tower --db-path {store} --objects-dir {blobs}"),
    });
    Ok(Code::Success)
}

fn serve(settings: TowerSettings) -> Done {
    let settings = settings.with_tokens(|name| std::env::var(name).ok());
    if let Err(error) = settings.check() {
        // What supervises MiniTower's server reads its log.
        let time = Timestamp::try_from(SystemTime::now()).unwrap_or_default().to_string();
        let line = serde_json::json!({
            "time": time,
            "level": "ERROR",
            "msg": "config error",
            "error": error.message(),
        });
        output::println(&line.to_string())?;
        return Err(CliError::new(Code::Failed, ""));
    }
    let log = settings.log;
    super::run(log, false, async move { settings.serve(tinpot_server::shutdown()?).await })
}
