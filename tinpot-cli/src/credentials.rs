//! The tokens of `tinpot login`, one for each server.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::{CliError, Code};
use crate::private;
use crate::profile::config_folder;

/// The tokens by the URLs of their servers, and by the teams in which they act.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Credentials {
    #[serde(default)]
    server: BTreeMap<String, Credential>,
}

/// A token of one server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Credential {
    /// The id of the token.
    pub(crate) id: String,
    pub(crate) user: String,
    pub(crate) token: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("id", &self.id).finish_non_exhaustive()
    }
}

pub(crate) fn path() -> Result<PathBuf, CliError> {
    let message = "cannot find the credentials: set XDG_CONFIG_HOME or HOME";
    let folder = config_folder().ok_or_else(|| CliError::new(Code::Failed, message))?;
    Ok(folder.join("credentials.toml"))
}

/// Returns the key under which the token of a server is kept: its URL, with the team as its fragment.
fn key(url: &str, team: Option<&str>) -> String {
    let url = url.trim().trim_end_matches('/');
    match team {
        Some(team) => format!("{url}#{}", team.to_lowercase()),
        None => url.to_owned(),
    }
}

impl Credentials {
    /// Reads the file; without one, there are none.
    ///
    /// # Errors
    /// Fails if others can read the file, or if it is not what `login` wrote.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let wrong = |why: String| CliError::usage(format!("{}: {why}", path.display()));
        match private::read(path).map_err(|error| wrong(error.to_string()))? {
            Some(text) => toml::from_str(&text).map_err(|error| wrong(error.message().to_owned())),
            None => Ok(Self::default()),
        }
    }

    /// Returns the token of a server.
    pub(crate) fn of(&self, url: &str, team: Option<&str>) -> Option<&Credential> {
        let of_team = team.and_then(|team| self.server.get(&key(url, Some(team))));
        of_team.or_else(|| self.server.get(&key(url, None)))
    }

    pub(crate) fn set(&mut self, url: &str, team: Option<&str>, credential: Credential) {
        self.server.insert(key(url, team), credential);
    }

    pub(crate) fn remove(&mut self, url: &str, team: Option<&str>) -> Option<Credential> {
        self.server.remove(&key(url, team))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Those of the file system.
    pub(crate) fn write(&self, path: &Path) -> Result<(), CliError> {
        let cannot = |why: String| {
            CliError::new(Code::Failed, format!("cannot write {}: {why}", path.display()))
        };
        let text = toml::to_string(self).map_err(|error| cannot(error.to_string()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let written = private::folder(folder).and_then(|()| private::write(path, &text));
        written.map_err(|error| cannot(error.to_string()))
    }
}
