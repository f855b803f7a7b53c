//! `tinpot tokens`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tinpot_access::{NewToken, Token};
use tinpot_core::Timestamp;

use super::place::{Place, Server};
use super::{Store, refused, run};
use crate::args::{Global, StoreFile, Tokens};
use crate::client::encoded;
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint, clean};
use crate::table;

pub(crate) fn tokens(command: &Tokens, global: &Global) -> Done {
    match command {
        Tokens::Create { name, user, program, scopes, days, never, store } => {
            let lifetime = (!never).then(|| Duration::from_secs(days * 86_400));
            match Place::of(global, store)? {
                Place::Store(file) => {
                    let of = match (user, program) {
                        (Some(name), _) => Of::User(name),
                        (None, Some(name)) => Of::Program(name),
                        (None, None) => {
                            let message =
                                "--user or --program is required with the file of a store";
                            return Err(CliError::usage(message));
                        }
                    };
                    run(create(global, &file, name, of, scopes, lifetime))
                }
                Place::Server(server) => {
                    let mut body =
                        json!({ "name": name, "scopes": scopes, "never_expires": never });
                    if !never {
                        body["days"] = (*days).into();
                    }
                    if let Some(user) = user {
                        body["principal"] = server.principal(user)?.into();
                    }
                    if let Some(program) = program {
                        body["principal"] = server.program(program)?.into();
                    }
                    made(global, &server.send("POST", "/api/tokens", &body)?)
                }
            }
        }
        Tokens::List { store } => match Place::of(global, store)? {
            Place::Store(file) => run(list(global, &file)),
            Place::Server(server) => show(global, &server.tokens()?),
        },
        Tokens::Rotate { id, overlap, store } => match Place::of(global, store)? {
            Place::Store(file) => run(rotate(global, &file, id, Duration::from_secs(*overlap))),
            Place::Server(server) => {
                let path = format!("/api/tokens/{}/rotate", encoded(id));
                made(global, &server.send("POST", &path, &json!({ "overlap_s": overlap }))?)
            }
        },
        Tokens::Revoke { id, store } => match Place::of(global, store)? {
            Place::Store(file) => run(revoke(global, &file, id)),
            Place::Server(server) => {
                server.remove("tokens", id)?;
                revoked(global, id)
            }
        },
    }
}

/// The principal of a new token, by its name.
#[derive(Clone, Copy)]
enum Of<'a> {
    User(&'a str),
    Program(&'a str),
}

/// A token, as it is listed.
#[derive(Deserialize, Serialize)]
struct View {
    id: String,
    name: String,
    principal: String,
    #[serde(default)]
    principal_name: String,
    scopes: Vec<String>,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    tokens: Vec<View>,
}

#[derive(Deserialize)]
struct Me {
    id: String,
    name: String,
    rights: Vec<String>,
}

impl Server {
    /// Returns the id of a user, who may be the caller.
    fn principal(&self, user: &str) -> Result<String, CliError> {
        let me: Me = self.read("/api/auth/me")?;
        if me.name == user { Ok(me.id) } else { Ok(self.user(user)?.id) }
    }

    /// Returns the tokens that the caller may see.
    fn tokens(&self) -> Result<Vec<View>, CliError> {
        let me: Me = self.read("/api/auth/me")?;
        let all = me.rights.iter().any(|right| right == "manage_team");
        let path = if all { "/api/tokens?all=true" } else { "/api/tokens" };
        Ok(self.read::<Listed>(path)?.tokens)
    }
}

/// Prints the secret in the answer of a server.
fn made(global: &Global, answer: &Value) -> Done {
    let token = &answer["token"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let expires = token["expires_at"].as_str().map(str::to_owned);
    shown(global, &text(&answer["secret"]), &text(&token["id"]), expires)
}

async fn create(
    global: &Global,
    file: &StoreFile,
    name: &str,
    of: Of<'_>,
    scopes: &[String],
    lifetime: Option<Duration>,
) -> Done {
    let store = Store::open_in_team(file, false, global).await?;
    let principal = match of {
        Of::User(user) => store.user(user)?.id,
        Of::Program(program) => store.program(program)?.into(),
    };
    let mut new = NewToken::new(name, principal);
    if !scopes.is_empty() {
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        new = new.scopes(&scopes);
    }
    new = match lifetime {
        Some(lifetime) => new.lifetime(lifetime),
        None => new.never_expires(),
    };
    let (secret, token) = store.directory.create_token(&store.by, new).await.map_err(refused)?;
    shown(global, secret.expose(), &token.id, token.expires.map(|at| at.to_string()))
}

async fn rotate(global: &Global, file: &StoreFile, id: &str, overlap: Duration) -> Done {
    let store = Store::open(file, false).await?;
    let rotated = store.directory.rotate_token(&store.by, id, overlap).await;
    let (secret, token) = rotated.map_err(refused)?;
    shown(global, secret.expose(), &token.id, token.expires.map(|at| at.to_string()))
}

/// Prints the secret: alone on standard output, so that a script can keep it.
fn shown(global: &Global, secret: &str, id: &str, expires: Option<String>) -> Done {
    if global.json {
        let text = json!({ "id": id, "token": secret, "expires_at": expires });
        output::println(&text.to_string())?;
        return Ok(Code::Success);
    }
    output::println(secret)?;
    let until = match expires {
        Some(at) => format!("valid until {}", global.clock().short(&at)),
        None => "valid until it is revoked".to_owned(),
    };
    output::say(&format!("token {id} is {until}; it is not shown again"));
    Ok(Code::Success)
}

async fn list(global: &Global, file: &StoreFile) -> Done {
    let store = Store::open(file, false).await?;
    let (users, programs) = (store.directory.users(), store.directory.programs());
    let named = |id: &str| {
        let user = users.iter().find(|user| *user.id == *id).map(|user| &user.name);
        let program = || programs.iter().find(|one| *one.id == *id).map(|one| &one.name);
        user.or_else(program).map_or_else(|| id.to_owned(), ToString::to_string)
    };
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    let view = |token: Token| View {
        principal_name: named(&token.principal),
        id: token.id.to_string(),
        name: token.name.to_string(),
        principal: token.principal.to_string(),
        scopes: token.scopes,
        created_at: token.created.to_string(),
        expires_at: time(token.expires),
        last_used_at: time(token.last_used),
    };
    let tokens: Vec<View> = store.directory.tokens().into_iter().map(view).collect();
    show(global, &tokens)
}

fn show(global: &Global, tokens: &[View]) -> Done {
    if global.json {
        output::println(&json!({ "tokens": tokens }).to_string())?;
        return Ok(Code::Success);
    }
    if tokens.is_empty() {
        output::say("No tokens. Create one with \"tinpot tokens create NAME --user USER\"");
        return Ok(Code::Success);
    }
    let clock = global.clock();
    let time =
        |at: &Option<String>| at.as_ref().map_or_else(|| "never".to_owned(), |at| clock.short(at));
    let row = |token: &View| {
        vec![
            clean(&token.id, false),
            clean(&token.name, false),
            clean(&token.principal_name, false),
            time(&token.expires_at),
            time(&token.last_used_at),
            clean(&token.scopes.join(", "), false),
        ]
    };
    let rows: Vec<Vec<String>> = tokens.iter().map(row).collect();
    let head = ["ID", "NAME", "USER", "EXPIRES", "LAST USED", "SCOPES"];
    output::println(&table::table(&head, &rows, Paint::stdout()))?;
    Ok(Code::Success)
}

async fn revoke(global: &Global, file: &StoreFile, id: &str) -> Done {
    let store = Store::open(file, false).await?;
    store.directory.revoke_token(&store.by, id).await.map_err(refused)?;
    revoked(global, id)
}

fn revoked(global: &Global, id: &str) -> Done {
    if global.json {
        output::println(&json!({ "id": id }).to_string())?;
    } else {
        output::println(&format!("token {id} was revoked"))?;
    }
    Ok(Code::Success)
}
