//! `tinpot teams`.

use tinpot_access::{NewTeam, Team, TeamUpdate};

use super::{Store, refused, run};
use crate::args::{Global, RoleName, StoreFile, Teams};
use crate::exit::{Code, Done};
use crate::output::{self, Paint, clean};
use crate::table;

pub(crate) fn teams(command: &Teams, global: &Global) -> Done {
    let update = TeamUpdate::default();
    match command {
        Teams::Create { name, description, store } => {
            let new = NewTeam::new(name).description(description);
            run(create(global, store, new))
        }
        Teams::List { store } => run(list(global, store)),
        Teams::Rename { name, other, store } => {
            run(change(global, store, name, update.name(other), "has another name"))
        }
        Teams::Disable { name, store } => {
            run(change(global, store, name, update.disabled(true), "is disabled"))
        }
        Teams::Enable { name, store } => {
            run(change(global, store, name, update.disabled(false), "is enabled"))
        }
        Teams::Remove { name, store } => run(remove(global, store, name)),
        Teams::AddMember { name, user, role, store } => {
            run(add_member(global, store, name, user, *role))
        }
        Teams::RemoveMember { name, user, store } => run(remove_member(global, store, name, user)),
    }
}

async fn create(global: &Global, file: &StoreFile, new: NewTeam) -> Done {
    let store = Store::open(file, true).await?;
    let team = store.directory.create_team(&store.by, new).await.map_err(refused)?;
    done(global, &team, "was created")
}

async fn list(global: &Global, file: &StoreFile) -> Done {
    let store = Store::open(file, false).await?;
    let (teams, users) = (store.directory.teams(), store.directory.users());
    let members = |team: &Team| -> Vec<String> {
        let members = users.iter().filter(|user| user.is_in(&team.id));
        members.map(|user| user.name.to_string()).collect()
    };
    if global.json {
        let of = |team: &Team| {
            serde_json::json!({
                "id": &*team.id,
                "name": &*team.name,
                "description": team.description,
                "disabled": team.is_disabled,
                "members": members(team),
                "created_at": team.created.map(|at| at.to_string()),
            })
        };
        let teams: Vec<_> = teams.iter().map(of).collect();
        output::println(&serde_json::json!({ "teams": teams }).to_string())?;
        return Ok(Code::Success);
    }
    let row = |team: &Team| {
        let state = if team.is_disabled { "disabled" } else { "ok" };
        let members = clean(&members(team).join(", "), false);
        let description = clean(&team.description, false);
        vec![clean(&team.name, false), state.to_owned(), team.id.to_string(), description, members]
    };
    let rows: Vec<Vec<String>> = teams.iter().map(row).collect();
    let head = ["NAME", "STATE", "ID", "DESCRIPTION", "MEMBERS"];
    output::println(&table::table(&head, &rows, Paint::stdout()))?;
    Ok(Code::Success)
}

async fn change(
    global: &Global,
    file: &StoreFile,
    name: &str,
    update: TeamUpdate,
    what: &str,
) -> Done {
    let store = Store::open(file, false).await?;
    let id = store.team(name)?.id;
    let team = store.directory.update_team(&store.by, &id, update).await.map_err(refused)?;
    done(global, &team, what)
}

async fn remove(global: &Global, file: &StoreFile, name: &str) -> Done {
    let store = Store::open(file, false).await?;
    let team = store.team(name)?;
    store.directory.remove_team(&store.by, &team.id).await.map_err(refused)?;
    done(global, &team, "was removed")
}

async fn add_member(
    global: &Global,
    file: &StoreFile,
    name: &str,
    user: &str,
    role: Option<RoleName>,
) -> Done {
    let store = Store::open(file, false).await?;
    let (team, user) = (store.team(name)?, store.user(user)?);
    let role = role.map(Into::into);
    let added = store.directory.add_member(&store.by, &team.id, &user.id, role).await;
    added.map_err(refused)?;
    done(global, &team, &format!("has the member {}", clean(&user.name, false)))
}

async fn remove_member(global: &Global, file: &StoreFile, name: &str, user: &str) -> Done {
    let store = Store::open(file, false).await?;
    let (team, user) = (store.team(name)?, store.user(user)?);
    let removed = store.directory.remove_member(&store.by, &team.id, &user.id).await;
    removed.map_err(refused)?;
    done(global, &team, &format!("no longer has the member {}", clean(&user.name, false)))
}

fn done(global: &Global, team: &Team, what: &str) -> Done {
    if global.json {
        let team = serde_json::json!({ "id": &*team.id, "name": &*team.name });
        output::println(&team.to_string())?;
    } else {
        output::println(&format!("team {} {what}", clean(&team.name, false)))?;
    }
    Ok(Code::Success)
}
