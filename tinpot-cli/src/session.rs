//! `tinpot login`, `logout`, `whoami` and `open`.

mod device;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::args::{Global, LoginArgs};
use crate::client::{RequestError, user_name};
use crate::credentials::{self, Credential, Credentials};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, clean};
use crate::profile::{self, Server};
use crate::{json, secret_prompt};

#[derive(Deserialize)]
struct Options {
    methods: Vec<String>,
    anonymous: bool,
    set_up: bool,
    /// Absent in servers of earlier versions.
    #[serde(default)]
    device: bool,
}

#[derive(Deserialize)]
struct Me {
    name: String,
    via: String,
    valid_until: Option<String>,
    #[serde(default)]
    team: String,
    /// Only of a server with several.
    #[serde(default)]
    teams: Vec<TeamName>,
}

#[derive(Deserialize)]
struct TeamName {
    id: String,
    name: String,
}

#[derive(Deserialize, Serialize)]
struct Ticket {
    ticket: String,
}

/// Signs the user in at a server, and keeps a token for it.
pub(crate) fn login(arguments: &LoginArgs, global: &Global) -> Done {
    let server = server(arguments.server.as_deref(), global)?;
    let client = server.anonymous_client()?;
    let options: Options = client.read("/api/auth/options").map_err(|refused| old(&refused))?;
    if options.anonymous {
        output::say(&format!("{} needs no sign-in", server.url));
        return Ok(Code::Success);
    }
    if options.set_up {
        let message = format!(
            "{} has no users yet: open the address that it printed when it started, or add one in \
             its store with \"tinpot users add NAME --admin\"",
            server.url
        );
        return Err(CliError::new(Code::NotAuthorised, message));
    }
    let LoginArgs { password, user, password_file, .. } = arguments;
    let by_password = *password || user.is_some() || password_file.is_some();
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let credential = if options.device && !by_password {
        device::login(&client, &host, arguments)?
    } else if options.methods.iter().any(|method| method == "password") {
        let user = user.clone().or_else(user_name).unwrap_or_default();
        let password = self::password(&user, password_file.as_deref())?;
        let name = format!("tinpot login on {host}");
        let LoginArgs { days, scopes, .. } = arguments;
        let (id, token) = client.make_token(&user, &password, &name, *days, scopes)?;
        Credential { id, user, token }
    } else {
        let message = format!("{} has no sign-in with a password: use a token", server.url);
        return Err(CliError::usage(message));
    };
    let user = clean(&credential.user, false);
    let path = credentials::path()?;
    let mut all = Credentials::read(&path)?;
    let team = server.team.as_deref();
    let before = all.remove(&server.url, team);
    all.set(&server.url, team, credential);
    all.write(&path)?;
    if let Some(before) = before {
        // The one before is of no use any more. It may have ended.
        let revoked = server.client_with(&before.token).map(|client| revoke(&client, &before.id));
        drop(revoked);
    }
    if global.json {
        output::println(&json!({"server": server.url, "user": user}).to_string())?;
    } else {
        let days = arguments.days;
        output::println(&format!("signed in to {} as {user}, for {days} days", server.url))?;
    }
    Ok(Code::Success)
}

fn password(user: &str, file: Option<&Path>) -> Result<String, CliError> {
    if let Some(file) = file {
        return Ok(tinpot_server::settings::read_password(file, "--password-file")?);
    }
    if !secret_prompt::can_ask() {
        let message = "no terminal to ask for the password: name a file with --password-file";
        return Err(CliError::usage(message));
    }
    secret_prompt::ask(&format!("password of {user}"))
}

fn revoke(client: &crate::client::Client, id: &str) -> Result<(), RequestError> {
    client.delete(&format!("/api/tokens/{id}")).map(drop)
}

/// Revokes and forgets the token of a server.
pub(crate) fn logout(named: Option<&str>, global: &Global) -> Done {
    let server = server(named, global)?;
    let path = credentials::path()?;
    let mut all = Credentials::read(&path)?;
    let Some(credential) = all.remove(&server.url, server.team.as_deref()) else {
        let message = format!("not signed in to {}", server.url);
        return Err(CliError::new(Code::NotFound, message));
    };
    let revoked = revoke(&server.client_with(&credential.token)?, &credential.id);
    all.write(&path)?;
    match revoked {
        Ok(()) => {}
        // It has ended, or was revoked.
        Err(refused) if refused.code() == Code::NotAuthorised || refused.is_not_found() => {}
        Err(refused) => output::say(&format!(
            "warning: the token is forgotten here, and was not revoked: {}",
            refused.detail
        )),
    }
    if global.json {
        output::println(&json!({"server": server.url}).to_string())?;
    } else {
        output::println(&format!("signed out of {}", server.url))?;
    }
    Ok(Code::Success)
}

/// Prints who the server takes the command for, or the header with the token.
pub(crate) fn whoami(header: bool, global: &Global) -> Done {
    let server = profile::server(global)?;
    if header {
        let Some(line) = server.header() else {
            let message = format!(
                "no token for {}: run \"tinpot login {}\", or name its file with --token-file",
                server.url, server.url
            );
            return Err(CliError::new(Code::NotAuthorised, message));
        };
        // Not to a server that others could be.
        server.client()?;
        output::println(&line)?;
        return Ok(Code::Success);
    }
    let text = server.client()?.get("/api/auth/me")?;
    if global.json {
        output::println(&json::line(&text))?;
        return Ok(Code::Success);
    }
    let me: Me = server.client()?.parse(&text)?;
    let until = me.valid_until.map(|until| format!(", until {}", global.clock().short(&until)));
    let via = me.via.replace('_', "-");
    let who = if me.name.is_empty() { "an anonymous caller".to_owned() } else { me.name };
    let team = me.teams.iter().find(|team| team.id == me.team);
    let team = team.map(|team| format!(" in team {}", clean(&team.name, false)));
    output::println(&format!(
        "{}{} at {} (by {via}{})",
        clean(&who, false),
        team.unwrap_or_default(),
        server.url,
        until.unwrap_or_default()
    ))?;
    Ok(Code::Success)
}

/// Prints the URL of the web UI: for the server of `tinpot dev`, with a ticket that signs in once.
pub(crate) fn open(global: &Global) -> Done {
    let server = profile::server(global)?;
    let client = server.client()?;
    let url = match client.post("/api/auth/tickets", None) {
        Ok(text) => {
            let Ticket { ticket } = client.parse(&text)?;
            format!("{}/?ticket={ticket}", client.base())
        }
        // Its users sign in with passwords, or it needs no sign-in.
        Err(refused) if refused.code() == Code::Conflict || refused.is_not_found() => {
            client.base().to_owned()
        }
        Err(refused) => return Err(refused.into()),
    };
    if global.json {
        output::println(&json!({ "url": url }).to_string())?;
    } else {
        output::println(&url)?;
    }
    Ok(Code::Success)
}

/// Returns the server of an argument, or the one that the options name.
fn server(named: Option<&str>, global: &Global) -> Result<Server, CliError> {
    match named {
        Some(url) => profile::server(&Global { server: Some(url.to_owned()), ..global.clone() }),
        None => profile::server(global),
    }
}

/// Returns the error of a server that does not know how to sign in.
fn old(refused: &RequestError) -> CliError {
    let code = refused.code();
    let message = match refused.is_not_found() {
        true => "the server is of a version without sign-in".to_owned(),
        false => refused.detail.clone(),
    };
    CliError::new(code, message)
}
