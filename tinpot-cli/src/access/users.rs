//! `tinpot users`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tinpot_access::{Grant, Grantee, NewUser, PasswordCost, Passwords, Role, Secret, User};

use super::place::{Place, Server};
use super::{Store, refused, run};
use crate::args::{Global, RoleName, StoreFile, Users};
use crate::client::encoded;
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint, clean};
use crate::{secret_prompt, table};

pub(crate) fn users(command: &Users, global: &Global) -> Done {
    match command {
        Users::Add { name, admin, role, password_file, store } => {
            let role = if *admin { Some(RoleName::Admin) } else { *role };
            let password = password(password_file.as_deref())?;
            match Place::of(global, store)? {
                Place::Store(file) => run(add(global, &file, name, *admin, role, password)),
                Place::Server(server) => add_at(global, &server, name, *admin, role, &password),
            }
        }
        Users::List { store } => match Place::of(global, store)? {
            Place::Store(file) => run(list(global, &file)),
            Place::Server(server) => {
                let listed: Listed = server.read("/api/users")?;
                show(global, &listed.users)
            }
        },
        Users::Password { name, password_file, store } => {
            let place = Place::of(global, store)?;
            let password = password(password_file.as_deref())?;
            match place {
                Place::Store(file) => run(set_password(global, &file, name, password)),
                Place::Server(server) => {
                    let change = json!({ "password": password.expose() });
                    change_at(global, &server, name, &change, NEW_PASSWORD)
                }
            }
        }
        Users::Disable { name, store } => disable(global, &Place::of(global, store)?, name, true),
        Users::Enable { name, store } => disable(global, &Place::of(global, store)?, name, false),
        Users::Remove { name, store } => match Place::of(global, store)? {
            Place::Store(file) => run(remove(global, &file, name)),
            Place::Server(server) => {
                let user = server.user(name)?;
                server.remove("users", &user.id)?;
                done(global, &user.id, &user.name, REMOVED)
            }
        },
    }
}

const NEW_PASSWORD: &str = "has another password, and is signed out everywhere";
const REMOVED: &str = "was removed";

/// A user, as it is listed.
#[derive(Deserialize, Serialize)]
struct View {
    id: String,
    name: String,
    server_admin: bool,
    roles: Vec<String>,
    disabled: bool,
    created_at: String,
}

#[derive(Deserialize)]
struct Listed {
    users: Vec<View>,
}

fn add_at(
    global: &Global,
    server: &Server,
    name: &str,
    is_admin: bool,
    role: Option<RoleName>,
    password: &Secret,
) -> Done {
    let role = role.map(|role| name_of(role.into()));
    let body = json!({
        "name": name,
        "password": password.expose(),
        "role": role,
        "server_admin": is_admin,
    });
    let user = server.send("POST", "/api/users", &body)?;
    done(global, user["id"].as_str().unwrap_or_default(), name, "was added")
}

fn change_at(global: &Global, server: &Server, name: &str, change: &Value, what: &str) -> Done {
    let user = server.user(name)?;
    server.send("PATCH", &format!("/api/users/{}", encoded(&user.id)), change)?;
    done(global, &user.id, &user.name, what)
}

fn disable(global: &Global, place: &Place, name: &str, is_disabled: bool) -> Done {
    let what = if is_disabled { "is disabled" } else { "is enabled" };
    match place {
        Place::Store(file) => run(set_disabled(global, file, name, is_disabled, what)),
        Place::Server(server) => {
            change_at(global, server, name, &json!({ "disabled": is_disabled }), what)
        }
    }
}

/// Returns the password in a file, or asks for one.
fn password(file: Option<&Path>) -> Result<Secret, CliError> {
    if let Some(file) = file {
        return Ok(Secret::new(tinpot_server::settings::read_password(file, "--password-file")?));
    }
    if !secret_prompt::can_ask() {
        let message = "no terminal to ask for the password: name a file with --password-file";
        return Err(CliError::usage(message));
    }
    let first = Secret::new(secret_prompt::ask("password")?);
    let second = Secret::new(secret_prompt::ask("password again")?);
    if first.expose() != second.expose() {
        return Err(CliError::usage("the two passwords differ"));
    }
    Ok(first)
}

async fn hash(name: &str, password: Secret) -> Result<String, CliError> {
    let passwords = Passwords::new(PasswordCost::default())?;
    passwords.hash(name, password).await.map_err(refused)
}

async fn add(
    global: &Global,
    file: &StoreFile,
    name: &str,
    is_admin: bool,
    role: Option<RoleName>,
    password: Secret,
) -> Done {
    let hash = hash(name, password).await?;
    let store = Store::open_in_team(file, true, global).await?;
    let mut new = NewUser::new(name).password_hash(hash);
    if is_admin {
        new = new.server_admin();
    }
    if let Some(role) = role {
        new = new.role(role.into());
    }
    let user = store.directory.add_user(&store.by, new).await.map_err(refused)?;
    done(global, &user.id, &user.name, "was added")
}

async fn list(global: &Global, file: &StoreFile) -> Done {
    let store = Store::open(file, false).await?;
    let view = |user: User| View {
        server_admin: store.directory.is_server_admin(&user.id),
        roles: roles(&store, &user),
        disabled: user.is_disabled,
        created_at: user.created.to_string(),
        id: user.id.to_string(),
        name: user.name.to_string(),
    };
    let mut users = store.directory.users();
    if let Some(name) = global.team() {
        let team = store.team(name)?.id;
        users.retain(|user| user.is_in(&team));
    }
    let users: Vec<View> = users.into_iter().map(view).collect();
    show(global, &users)
}

fn show(global: &Global, users: &[View]) -> Done {
    if global.json {
        output::println(&json!({ "users": users }).to_string())?;
        return Ok(Code::Success);
    }
    if users.is_empty() {
        output::say("No users. Add one with \"tinpot users add NAME\"");
        return Ok(Code::Success);
    }
    let clock = global.clock();
    let row = |user: &View| {
        let mut roles = user.roles.clone();
        if user.server_admin {
            roles.insert(0, "server admin".to_owned());
        }
        if user.disabled {
            roles.insert(0, "disabled".to_owned());
        }
        let created = clock.short(&user.created_at);
        vec![clean(&user.name, false), created, clean(&user.id, false), roles.join(", ")]
    };
    let rows: Vec<Vec<String>> = users.iter().map(row).collect();
    output::println(&table::table(&["NAME", "ADDED", "ID", "ROLES"], &rows, Paint::stdout()))?;
    Ok(Code::Success)
}

/// Returns the roles of a user's own grants; those of parts of a team have a star.
fn roles(store: &Store, user: &User) -> Vec<String> {
    let to = Grantee::Principal(user.id.clone());
    let grants = store.directory.grants();
    let own = grants.iter().filter(|grant| grant.to == to);
    let role = |grant: &Grant| {
        format!("{}{}", name_of(grant.role), if grant.is_for_all() { "" } else { " *" })
    };
    own.map(role).collect()
}

async fn set_password(global: &Global, file: &StoreFile, name: &str, password: Secret) -> Done {
    let store = Store::open(file, false).await?;
    let user = store.user(name)?;
    let hash = hash(&user.name, password).await?;
    store.directory.set_password_hash(&store.by, &user.id, &hash).await.map_err(refused)?;
    done(global, &user.id, &user.name, NEW_PASSWORD)
}

async fn set_disabled(
    global: &Global,
    file: &StoreFile,
    name: &str,
    is_disabled: bool,
    what: &str,
) -> Done {
    let store = Store::open(file, false).await?;
    let user = store.user(name)?;
    store.directory.set_disabled(&store.by, &user.id, is_disabled).await.map_err(refused)?;
    done(global, &user.id, &user.name, what)
}

async fn remove(global: &Global, file: &StoreFile, name: &str) -> Done {
    let store = Store::open(file, false).await?;
    let user = store.user(name)?;
    store.directory.remove_user(&store.by, &user.id).await.map_err(refused)?;
    done(global, &user.id, &user.name, REMOVED)
}

fn done(global: &Global, id: &str, name: &str, what: &str) -> Done {
    if global.json {
        output::println(&json!({ "id": id, "name": name }).to_string())?;
    } else {
        output::println(&format!("{} {what}", clean(name, false)))?;
    }
    Ok(Code::Success)
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::Viewer => Role::Viewer,
            RoleName::Operator => Role::Operator,
            RoleName::Developer => Role::Developer,
            RoleName::Admin => Role::Admin,
        }
    }
}

pub(super) fn name_of(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Developer => "developer",
        Role::Admin => "admin",
        _ => "other",
    }
}
