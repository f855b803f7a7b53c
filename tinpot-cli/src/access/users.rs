//! `tinpot users`.

use std::path::Path;

use tinpot_access::{Grant, Grantee, NewUser, PasswordCost, Passwords, Role, Secret, User};

use super::{Store, refused, run};
use crate::args::{Global, RoleName, StoreFile, Users};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint, clean};
use crate::{secret_prompt, table};

pub(crate) fn users(command: &Users, global: &Global) -> Done {
    match command {
        Users::Add { name, admin, role, password_file, store } => {
            let role = if *admin { Some(RoleName::Admin) } else { *role };
            let password = password(password_file.as_deref())?;
            run(add(global, store, name, *admin, role, password))
        }
        Users::List { store } => run(list(global, store)),
        Users::Password { name, password_file, store } => {
            let password = password(password_file.as_deref())?;
            run(set_password(global, store, name, password))
        }
        Users::Disable { name, store } => run(set_disabled(global, store, name, true)),
        Users::Enable { name, store } => run(set_disabled(global, store, name, false)),
        Users::Remove { name, store } => run(remove(global, store, name)),
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
    done(global, &user, "was added")
}

async fn list(global: &Global, file: &StoreFile) -> Done {
    let store = Store::open(file, false).await?;
    let mut users = store.directory.users();
    if let Some(name) = global.team() {
        let team = store.team(name)?.id;
        users.retain(|user| user.is_in(&team));
    }
    if global.json {
        let of = |user: &User| {
            serde_json::json!({
                "id": &*user.id,
                "name": &*user.name,
                "server_admin": store.directory.is_server_admin(&user.id),
                "roles": roles(&store, user),
                "disabled": user.is_disabled,
                "created_at": user.created.to_string(),
            })
        };
        let users: Vec<_> = users.iter().map(of).collect();
        output::println(&serde_json::json!({ "users": users }).to_string())?;
        return Ok(Code::Success);
    }
    if users.is_empty() {
        output::say("No users. Add one with \"tinpot users add NAME\"");
        return Ok(Code::Success);
    }
    let clock = global.clock();
    let row = |user: &User| {
        let mut roles = roles(&store, user);
        if store.directory.is_server_admin(&user.id) {
            roles.insert(0, "server admin".to_owned());
        }
        if user.is_disabled {
            roles.insert(0, "disabled".to_owned());
        }
        let created = clock.short(&user.created.to_string());
        vec![clean(&user.name, false), created, user.id.to_string(), roles.join(", ")]
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
    done(global, &user, "has another password, and is signed out everywhere")
}

async fn set_disabled(global: &Global, file: &StoreFile, name: &str, is_disabled: bool) -> Done {
    let store = Store::open(file, false).await?;
    let user = store.user(name)?;
    store.directory.set_disabled(&store.by, &user.id, is_disabled).await.map_err(refused)?;
    done(global, &user, if is_disabled { "is disabled" } else { "is enabled" })
}

async fn remove(global: &Global, file: &StoreFile, name: &str) -> Done {
    let store = Store::open(file, false).await?;
    let user = store.user(name)?;
    store.directory.remove_user(&store.by, &user.id).await.map_err(refused)?;
    done(global, &user, "was removed")
}

fn done(global: &Global, user: &User, what: &str) -> Done {
    if global.json {
        let user = serde_json::json!({ "id": &*user.id, "name": &*user.name });
        output::println(&user.to_string())?;
    } else {
        output::println(&format!("{} {what}", clean(&user.name, false)))?;
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

fn name_of(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Developer => "developer",
        Role::Admin => "admin",
        _ => "other",
    }
}
