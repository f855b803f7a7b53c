//! The server to talk to, and the token for it: named by a flag, a variable or a profile, otherwise the one on this
//! machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use ureq::http::HeaderValue;

use crate::args::Global;
use crate::client::Client;
use crate::credentials::{self, Credentials};
use crate::dev_file;
use crate::exit::{CliError, Code};
use crate::token::{OF_DEV, Token};
use crate::{suggest, toml_span};

/// The address at which `tinpot dev` and a coordinator listen by default.
pub(crate) const DEFAULT: &str = "http://127.0.0.1:8000";

/// The source of that address.
const DEFAULT_SOURCE: &str = "the default";

/// The settings of the user.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserConfig {
    #[serde(default)]
    profile: BTreeMap<String, Profile>,
}

/// A named server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    server: String,
    /// The team to act in, on a server with several.
    #[serde(default)]
    team: Option<String>,
}

/// A server, the setting that names it, and the token for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) source: String,
    token: Option<Token>,
    /// The team to act in.
    pub(crate) team: Option<String>,
}

impl Server {
    /// Returns the source of the token, if there is one.
    pub(crate) fn token_source(&self) -> Option<&str> {
        self.token.as_ref().map(|token| &*token.source)
    }

    /// Returns true if an option or a variable names the server.
    pub(crate) fn is_named(&self) -> bool {
        self.source != DEFAULT_SOURCE
    }

    /// Returns a client of the server.
    pub(crate) fn client(&self) -> Result<Client, CliError> {
        self.with_token(Client::new(&self.url))
    }

    /// Returns a client of the server without a token.
    pub(crate) fn anonymous_client(&self) -> Result<Client, CliError> {
        Self { token: None, ..self.clone() }.client()
    }

    /// Returns a client of the server with another token.
    pub(crate) fn client_with(&self, token: &str) -> Result<Client, CliError> {
        let token = Some(Token::new(token, "the credentials".to_owned())?);
        Self { token, ..self.clone() }.client()
    }

    /// Returns the header with the token.
    pub(crate) fn header(&self) -> Option<String> {
        let value = self.token.as_ref()?.header.to_str().ok()?;
        Some(format!("authorization: {value}"))
    }

    /// Returns a client of the server with this time limit for connections and answers.
    pub(crate) fn patient_client(&self, patience: Duration) -> Result<Client, CliError> {
        self.with_token(Client::with_patience(&self.url, patience, patience))
    }

    fn with_token(&self, client: Result<Client, CliError>) -> Result<Client, CliError> {
        let team = self.team.as_deref().map(team_header).transpose()?;
        client
            .and_then(|client| client.with_token(self.token.clone()))
            .map(|client| client.with_team(team))
            .map_err(|failure| CliError::new(failure.code, format!("{failure} ({})", self.source)))
    }
}

/// Returns a client of the server that the options name.
pub(crate) fn client(global: &Global) -> Result<Client, CliError> {
    server(global)?.client()
}

/// Returns the server that the options name. A profile from a flag wins over a server from a
/// variable.
pub(crate) fn server(global: &Global) -> Result<Server, CliError> {
    let Named { url, source, team } = named(global)?;
    let team = global.team().map(str::to_owned).or(team);
    if let Some(token) = Token::of(global)? {
        return Ok(Server { url, source, token: Some(token), team });
    }
    let path = credentials::path().ok().filter(|path| path.exists());
    if let Some(path) = path
        && let Some(credential) = Credentials::read(&path)?.of(&url, team.as_deref())
    {
        let token = Token::new(&credential.token, path.display().to_string())?;
        return Ok(Server { url, source, token: Some(token), team });
    }
    match dev_file::find(&url) {
        Some(file) => {
            let token = Token::new(&file.token, OF_DEV.to_owned())?;
            Ok(Server { url: file.url, source, token: Some(token), team })
        }
        None => Ok(Server { url, source, token: None, team }),
    }
}

/// Returns the value of the header that names a team.
fn team_header(team: &str) -> Result<HeaderValue, CliError> {
    HeaderValue::from_bytes(team.as_bytes()).map_err(|_| {
        CliError::usage(format!("--team must be the name of a team, in one line (got {team:?})"))
    })
}

/// The URL of a server, the setting that names it, and the team of a profile.
struct Named {
    url: String,
    source: String,
    team: Option<String>,
}

/// Returns the server that the options name.
fn named(global: &Global) -> Result<Named, CliError> {
    let filled = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (url, name) = (filled(&global.server), filled(&global.profile));
    let variable = |name: &str| std::env::var(name).ok();
    let by_flag = |text: &Option<String>, name: &str| text.is_some() && *text != variable(name);
    let profile_by_flag = by_flag(&name, "TINPOT_PROFILE");
    match (url, name) {
        (Some(url), name)
            if name.is_none()
                || !profile_by_flag
                || by_flag(&Some(url.clone()), "TINPOT_SERVER") =>
        {
            let source = "--server or TINPOT_SERVER".to_owned();
            Ok(Named { url, source, team: None })
        }
        (_, Some(name)) => from_profile(&name, config_path().as_deref()),
        _ => {
            let (url, source) = (DEFAULT.to_owned(), DEFAULT_SOURCE.to_owned());
            Ok(Named { url, source, team: None })
        }
    }
}

fn from_profile(name: &str, path: Option<&Path>) -> Result<Named, CliError> {
    let Some(path) = path else {
        let message =
            format!("profile {name:?}: cannot find the profiles: set XDG_CONFIG_HOME or HOME");
        return Err(CliError::new(Code::NotFound, message));
    };
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| {
        let code =
            if e.kind() == std::io::ErrorKind::NotFound { Code::NotFound } else { Code::Usage };
        let example = format!("[profile.{name}]\nserver = \"http://host:8000\"");
        CliError::new(
            code,
            format!("profile {name:?}: cannot read {shown}: {e}\nexpected content:\n{example}"),
        )
    })?;
    let config: UserConfig =
        toml::from_str(&text).map_err(|e| CliError::usage(toml_span::wrong(path, &text, &e)))?;
    let Some(profile) = config.profile.get(name) else {
        let known = config.profile.keys().map(String::as_str);
        let message = format!("no profile {name:?} in {shown}{}", suggest::or_list(name, known));
        return Err(CliError::new(Code::NotFound, message));
    };
    let (url, source) = (profile.server.clone(), format!("profile {name:?} in {shown}"));
    Ok(Named { url, source, team: profile.team.clone().filter(|team| !team.is_empty()) })
}

/// Returns the names of the profiles; none if they cannot be read.
pub(crate) fn names() -> Vec<String> {
    let text = config_path().and_then(|path| std::fs::read_to_string(path).ok());
    let config = text.and_then(|text| toml::from_str::<UserConfig>(&text).ok());
    config.unwrap_or_default().profile.into_keys().collect()
}

fn config_path() -> Option<PathBuf> {
    Some(config_folder()?.join("config.toml"))
}

/// Returns the folder with the settings of the user.
pub(crate) fn config_folder() -> Option<PathBuf> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    Some(base?.join("tinpot"))
}
