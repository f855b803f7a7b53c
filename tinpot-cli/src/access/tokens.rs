//! `tinpot tokens`.

use std::time::Duration;

use tinpot_access::{NewToken, Secret, Token};
use tinpot_core::Timestamp;

use super::{Store, refused, run};
use crate::args::{Global, StoreFile, Tokens};
use crate::exit::{Code, Done};
use crate::output::{self, Paint, clean};
use crate::table;

pub(crate) fn tokens(command: &Tokens, global: &Global) -> Done {
    match command {
        Tokens::Create { name, user, scopes, days, never, store } => {
            let lifetime = (!never).then(|| Duration::from_secs(days * 86_400));
            run(create(global, store, name, user, scopes, lifetime))
        }
        Tokens::List { store } => run(list(global, store)),
        Tokens::Rotate { id, overlap, store } => {
            run(rotate(global, store, id, Duration::from_secs(*overlap)))
        }
        Tokens::Revoke { id, store } => run(revoke(global, store, id)),
    }
}

async fn create(
    global: &Global,
    file: &StoreFile,
    name: &str,
    user: &str,
    scopes: &[String],
    lifetime: Option<Duration>,
) -> Done {
    let store = Store::open_in_team(file, false, global).await?;
    let mut new = NewToken::new(name, store.user(user)?.id);
    if !scopes.is_empty() {
        let scopes: Vec<&str> = scopes.iter().map(String::as_str).collect();
        new = new.scopes(&scopes);
    }
    new = match lifetime {
        Some(lifetime) => new.lifetime(lifetime),
        None => new.never_expires(),
    };
    let (secret, token) = store.directory.create_token(&store.by, new).await.map_err(refused)?;
    shown(global, &secret, &token)
}

async fn rotate(global: &Global, file: &StoreFile, id: &str, overlap: Duration) -> Done {
    let store = Store::open(file, false).await?;
    let rotated = store.directory.rotate_token(&store.by, id, overlap).await;
    let (secret, token) = rotated.map_err(refused)?;
    shown(global, &secret, &token)
}

/// Prints the secret: alone on standard output, so that a script can keep it.
fn shown(global: &Global, secret: &Secret, token: &Token) -> Done {
    let expires = token.expires.map(|at| at.to_string());
    if global.json {
        let text = serde_json::json!({
            "id": &*token.id,
            "token": secret.expose(),
            "expires_at": expires,
        });
        output::println(&text.to_string())?;
        return Ok(Code::Success);
    }
    output::println(secret.expose())?;
    let until = match expires {
        Some(at) => format!("valid until {}", global.clock().short(&at)),
        None => "valid until it is revoked".to_owned(),
    };
    output::say(&format!("token {} is {until}; it is not shown again", token.id));
    Ok(Code::Success)
}

async fn list(global: &Global, file: &StoreFile) -> Done {
    let store = Store::open(file, false).await?;
    let tokens = store.directory.tokens();
    let users = store.directory.users();
    let owner = |token: &Token| {
        let user = users.iter().find(|user| user.id == token.principal);
        user.map_or_else(|| token.principal.to_string(), |user| user.name.to_string())
    };
    if global.json {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        let of = |token: &Token| {
            serde_json::json!({
                "id": &*token.id,
                "name": &*token.name,
                "principal": &*token.principal,
                "scopes": token.scopes,
                "created_at": token.created.to_string(),
                "expires_at": time(token.expires),
                "last_used_at": time(token.last_used),
            })
        };
        let tokens: Vec<_> = tokens.iter().map(of).collect();
        output::println(&serde_json::json!({ "tokens": tokens }).to_string())?;
        return Ok(Code::Success);
    }
    if tokens.is_empty() {
        output::say("No tokens. Create one with \"tinpot tokens create NAME --user USER\"");
        return Ok(Code::Success);
    }
    let clock = global.clock();
    let time = |at: Option<Timestamp>| {
        at.map_or_else(|| "never".to_owned(), |at| clock.short(&at.to_string()))
    };
    let row = |token: &Token| {
        vec![
            token.id.to_string(),
            clean(&token.name, false),
            clean(&owner(token), false),
            time(token.expires),
            time(token.last_used),
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
    if global.json {
        output::println(&serde_json::json!({ "id": id }).to_string())?;
    } else {
        output::println(&format!("token {id} was revoked"))?;
    }
    Ok(Code::Success)
}
