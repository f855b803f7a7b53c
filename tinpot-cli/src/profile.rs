//! Which server: by flag, variable, profile, or the one on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::args::Global;
use crate::client::Client;
use crate::exit::{Code, Failure};
use crate::{place, suggest};

/// Where `tinpot dev` and a coordinator listen unless they are told otherwise.
pub(crate) const DEFAULT: &str = "http://127.0.0.1:8000";

/// The user's own settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserConfig {
    #[serde(default)]
    profile: BTreeMap<String, Profile>,
}

/// What a profile says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    server: String,
}

/// The server that is meant, and where that is said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) said_by: String,
}

impl Server {
    /// The client of it.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.url)
            .map_err(|failure| Failure::new(failure.code, format!("{failure} ({})", self.said_by)))
    }
}

/// The client of the server that is meant.
pub(crate) fn client(global: &Global) -> Result<Client, Failure> {
    server(global)?.client()
}

/// The server that is meant. A profile that is asked for by flag wins over a server that only a variable names.
pub(crate) fn server(global: &Global) -> Result<Server, Failure> {
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
            Ok(Server { url, said_by: "--server or TINPOT_SERVER".to_owned() })
        }
        (_, Some(name)) => from_profile(&name, config_path().as_deref()),
        _ => Ok(Server { url: DEFAULT.to_owned(), said_by: "the default".to_owned() }),
    }
}

fn from_profile(name: &str, path: Option<&Path>) -> Result<Server, Failure> {
    let Some(path) = path else {
        let message =
            format!("profile {name:?}: neither XDG_CONFIG_HOME nor HOME says where profiles are");
        return Err(Failure::new(Code::NotFound, message));
    };
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| {
        let code =
            if e.kind() == std::io::ErrorKind::NotFound { Code::NotFound } else { Code::Usage };
        let example = format!("[profile.{name}]\nserver = \"http://host:8000\"");
        Failure::new(
            code,
            format!("profile {name:?}: {shown} cannot be read: {e}\nit would have:\n{example}"),
        )
    })?;
    let config: UserConfig =
        toml::from_str(&text).map_err(|e| Failure::usage(place::wrong(path, &text, &e)))?;
    let Some(profile) = config.profile.get(name) else {
        let known = config.profile.keys().map(String::as_str);
        let message =
            format!("there is no profile {name:?} in {shown}{}", suggest::or_list(name, known));
        return Err(Failure::new(Code::NotFound, message));
    };
    Ok(Server { url: profile.server.clone(), said_by: format!("profile {name:?} in {shown}") })
}

fn config_path() -> Option<PathBuf> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    Some(base?.join("tinpot/config.toml"))
}
