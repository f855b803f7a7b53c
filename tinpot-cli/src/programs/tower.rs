//! `tinpot tower`: a server in place of MiniTower's.

use std::ffi::OsString;
use std::path::Path;
use std::time::SystemTime;

use jiff::Timestamp;
use tinpot_server::TowerSettings;

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

/// Runs until SIGTERM or Ctrl-C.
pub(crate) fn tower(settings: TowerSettings) -> Done {
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
