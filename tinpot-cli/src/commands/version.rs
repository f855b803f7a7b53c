//! `tinpot version` and `tinpot openapi`.

use std::time::Duration;

use serde::Deserialize;

use crate::args::Global;
use crate::exit::{Code, Done};
use crate::output;
use crate::{json, profile};

/// The time limit for the server, which the command does not depend on.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
struct Version {
    version: String,
}

/// Prints the versions. A missing server is no error.
pub(crate) fn version(global: &Global) -> Done {
    let own = env!("CARGO_PKG_VERSION");
    let server = profile::server(global)?;
    let client = server.patient_client(PATIENCE)?;
    let theirs = client.read::<Version>("/api/version").map(|version| version.version);
    if global.json {
        let theirs = theirs.ok();
        let text =
            serde_json::json!({"version": own, "server": {"url": server.url, "version": theirs}});
        output::println(&text.to_string())?;
        return Ok(Code::Success);
    }
    output::println(&format!("tinpot {own}"))?;
    output::println(&match theirs {
        Ok(version) => format!("server {version} at {}", server.url),
        Err(refused) if refused.status.is_some() => {
            format!("server at {}: unknown version", server.url)
        }
        Err(_) => format!("server: none at {}", server.url),
    })?;
    Ok(Code::Success)
}

pub(crate) fn openapi(global: &Global) -> Done {
    let text = profile::client(global)?.get("/openapi.json")?;
    output::println(&if global.json { json::line(&text) } else { json::pretty(&text) })?;
    Ok(Code::Success)
}
