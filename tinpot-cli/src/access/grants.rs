//! `tinpot grants` and `tinpot groups`.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tinpot_access::{Grant, Grantee, Role};

use super::place::{Place, Server, UserView};
use super::users::name_of;
use super::{Store, refused, run};
use crate::args::{Global, GrantTo, GrantWhere, Grants, Groups, RoleName, StoreFile};
use crate::client::encoded;
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint, clean};
use crate::table;

pub(crate) fn grants(command: &Grants, global: &Global) -> Done {
    match command {
        Grants::Add { role, to, place, store } => match Place::of(global, store)? {
            Place::Store(file) => run(add(global, &file, *role, to, place)),
            Place::Server(server) => add_at(global, &server, *role, to, place),
        },
        Grants::List { store } => match Place::of(global, store)? {
            Place::Store(file) => run(list(global, &file)),
            Place::Server(server) => {
                let List { grants } = server.read("/api/grants")?;
                let users: Users = server.read("/api/users")?;
                show(global, grants, &|id| users.name(id))
            }
        },
        Grants::Remove { id, store } => {
            match Place::of(global, store)? {
                Place::Store(file) => run(remove(&file, id))?,
                Place::Server(server) => server.remove("grants", id)?,
            }
            done(global, &json!({ "id": id }), &format!("grant {id} was removed"))
        }
    }
}

pub(crate) fn groups(command: &Groups, global: &Global) -> Done {
    match command {
        Groups::Set { name, users, store } => {
            let members = match Place::of(global, store)? {
                Place::Store(file) => run(set_group(global, &file, name, users))?,
                Place::Server(server) => {
                    let ids = users.iter().map(|user| Ok(server.user(user)?.id));
                    let ids: Vec<String> = ids.collect::<Result<_, CliError>>()?;
                    let path = format!("/api/groups/{}", encoded(name));
                    server.send("PUT", &path, &json!({ "members": ids }))?;
                    ids.len()
                }
            };
            let name = clean(name, false);
            let plural = if members == 1 { "" } else { "s" };
            let text = format!("group {name} has {members} member{plural}");
            done(global, &json!({ "name": name, "members": members }), &text)
        }
        Groups::List { store } => {
            let groups = match Place::of(global, store)? {
                Place::Store(file) => run(group_views(global, &file))?,
                Place::Server(server) => {
                    let GroupList { mut groups } = server.read("/api/groups")?;
                    let users: Users = server.read("/api/users")?;
                    for member in groups.iter_mut().flat_map(|group| &mut group.members) {
                        *member = users.name(member);
                    }
                    groups
                }
            };
            show_groups(global, &groups)
        }
        Groups::Remove { name, store } => {
            match Place::of(global, store)? {
                Place::Store(file) => run(remove_group(global, &file, name))?,
                Place::Server(server) => server.remove("groups", name)?,
            }
            let text = format!("group {} was removed", clean(name, false));
            done(global, &json!({ "name": name }), &text)
        }
    }
}

/// A grant, as a server lists it.
#[derive(Deserialize, Serialize)]
struct View {
    id: String,
    to: To,
    role: String,
    actions: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    queues: Option<Vec<String>>,
    environments: Option<Vec<String>>,
    own_only: bool,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum To {
    User(String),
    Program(String),
    Group(String),
    Action(String),
}

#[derive(Deserialize)]
struct List {
    grants: Vec<View>,
}

#[derive(Deserialize)]
struct Users {
    users: Vec<UserView>,
}

impl Users {
    /// Returns the name of a user; the id of one that is not there.
    fn name(&self, id: &str) -> String {
        let user = self.users.iter().find(|user| user.id == id);
        user.map_or(id, |user| &user.name).to_owned()
    }
}

/// A group, as a server lists it.
#[derive(Deserialize, Serialize)]
struct GroupView {
    name: String,
    members: Vec<String>,
}

#[derive(Deserialize)]
struct GroupList {
    groups: Vec<GroupView>,
}

/// Returns the names of a list, which is no limit if it is empty.
fn limit(names: &[String]) -> Option<Vec<String>> {
    (!names.is_empty()).then(|| names.to_vec())
}

async fn add(
    global: &Global,
    file: &StoreFile,
    role: RoleName,
    to: &GrantTo,
    place: &GrantWhere,
) -> Done {
    let store = Store::open_in_team(file, false, global).await?;
    let grantee = match (&to.user, &to.to_group, &to.program, &to.to_action) {
        (Some(name), ..) => Grantee::Principal(store.user(name)?.id),
        (_, Some(name), ..) => Grantee::Group(name.as_str().into()),
        (_, _, Some(name), _) => Grantee::Principal(store.program(name)?.into()),
        (.., name) => Grantee::Action(name.as_deref().unwrap_or_default().into()),
    };
    let mut grant = Grant::new(grantee, Role::from(role)).team(store.directory.team_id().clone());
    grant.actions = limit(&place.actions);
    grant.groups = limit(&place.groups);
    grant.queues = limit(&place.queues);
    grant.own_only = place.own_only;
    let grant = store.directory.add_grant(&store.by, grant).await.map_err(refused)?;
    added(global, &grant.id)
}

fn add_at(
    global: &Global,
    server: &Server,
    role: RoleName,
    to: &GrantTo,
    place: &GrantWhere,
) -> Done {
    let grantee = match (&to.user, &to.to_group, &to.program, &to.to_action) {
        (Some(name), ..) => To::User(server.user(name)?.id),
        (_, Some(name), ..) => To::Group(name.clone()),
        (_, _, Some(name), _) => To::Program(server.program(name)?),
        (.., name) => To::Action(name.clone().unwrap_or_default()),
    };
    let body = json!({
        "to": grantee,
        "role": name_of(role.into()),
        "actions": limit(&place.actions),
        "groups": limit(&place.groups),
        "queues": limit(&place.queues),
        "own_only": place.own_only,
    });
    let grant = server.send("POST", "/api/grants", &body)?;
    // A typing error grants nothing, and is easily overlooked.
    for name in place.actions.iter().filter(|name| !name.contains('*')) {
        if server.read::<Value>(&format!("/api/actions/{}", encoded(name))).is_err() {
            output::say(&format!(
                "no action {name:?} is known yet, or you may not see it: the grant counts once there is \
                 one"
            ));
        }
    }
    added(global, grant["id"].as_str().unwrap_or_default())
}

fn added(global: &Global, id: &str) -> Done {
    done(global, &json!({ "id": id }), &format!("grant {} was added", clean(id, false)))
}

async fn list(global: &Global, file: &StoreFile) -> Done {
    let store = Store::open_in_team(file, false, global).await?;
    let users = store.directory.users();
    let name = |id: &str| {
        let user = users.iter().find(|user| *user.id == *id);
        user.map_or_else(|| id.to_owned(), |user| user.name.to_string())
    };
    let mut grants = store.directory.grants();
    grants.retain(|grant| grant.team == *store.directory.team_id());
    let view = |grant: Grant| View {
        id: grant.id.to_string(),
        to: match &grant.to {
            Grantee::Principal(id) if id.starts_with("program:") => To::Program(id.to_string()),
            Grantee::Principal(id) => To::User(id.to_string()),
            Grantee::Action(name) => To::Action(name.to_string()),
            Grantee::Group(name) => To::Group(name.to_string()),
            _ => To::Group(String::new()),
        },
        role: name_of(grant.role).to_owned(),
        actions: grant.actions,
        groups: grant.groups,
        queues: grant.queues,
        environments: grant.environments,
        own_only: grant.own_only,
    };
    show(global, grants.into_iter().map(view).collect(), &name)
}

fn show(global: &Global, grants: Vec<View>, name: &dyn Fn(&str) -> String) -> Done {
    if global.json {
        output::println(&json!({ "grants": grants }).to_string())?;
        return Ok(Code::Success);
    }
    if grants.is_empty() {
        output::say("No grants. Add one with \"tinpot grants add ROLE --user NAME\"");
        return Ok(Code::Success);
    }
    let row = |grant: &View| {
        let (kind, to) = match &grant.to {
            To::User(id) => ("user", name(id)),
            To::Program(id) => ("program", id.clone()),
            To::Group(name) => ("group", name.clone()),
            To::Action(name) => ("action", name.clone()),
        };
        let lists = [
            ("actions", &grant.actions),
            ("groups", &grant.groups),
            ("queues", &grant.queues),
            ("environments", &grant.environments),
        ];
        let limits = lists.into_iter().filter_map(|(what, names)| {
            names.as_ref().map(|names| format!("{what} {}", names.join(", ")))
        });
        let own = grant.own_only.then(|| "own executions".to_owned());
        let limits: Vec<String> = limits.chain(own).collect();
        let to = format!("{kind} {to}");
        let cells = [&to, &grant.role, &limits.join("; "), &grant.id];
        cells.map(|text| clean(text, false)).to_vec()
    };
    let rows: Vec<Vec<String>> = grants.iter().map(row).collect();
    output::println(&table::table(&["TO", "ROLE", "LIMITS", "ID"], &rows, Paint::stdout()))?;
    Ok(Code::Success)
}

async fn remove(file: &StoreFile, id: &str) -> Result<(), CliError> {
    let store = Store::open(file, false).await?;
    store.directory.remove_grant(&store.by, id).await.map_err(refused)
}

async fn set_group(
    global: &Global,
    file: &StoreFile,
    name: &str,
    users: &[String],
) -> Result<usize, CliError> {
    let store = Store::open_in_team(file, false, global).await?;
    let ids = users.iter().map(|user| Ok(store.user(user)?.id));
    let ids: Vec<Arc<str>> = ids.collect::<Result<_, CliError>>()?;
    store.directory.set_group(&store.by, name, &ids).await.map_err(refused)?;
    Ok(ids.len())
}

async fn group_views(global: &Global, file: &StoreFile) -> Result<Vec<GroupView>, CliError> {
    let store = Store::open_in_team(file, false, global).await?;
    let users = store.directory.users();
    let name = |id: &Arc<str>| {
        let user = users.iter().find(|user| user.id == *id);
        user.map_or(id, |user| &user.name).to_string()
    };
    let groups = store.directory.groups().into_iter();
    let of_team = groups.filter(|group| group.team == *store.directory.team_id());
    let view = |group: tinpot_access::Group| GroupView {
        name: group.name.to_string(),
        members: group.members.iter().map(name).collect(),
    };
    Ok(of_team.map(view).collect())
}

fn show_groups(global: &Global, groups: &[GroupView]) -> Done {
    if global.json {
        output::println(&json!({ "groups": groups }).to_string())?;
        return Ok(Code::Success);
    }
    if groups.is_empty() {
        output::say("No groups. Create one with \"tinpot groups set NAME --user USER\"");
        return Ok(Code::Success);
    }
    let row = |group: &GroupView| {
        vec![clean(&group.name, false), clean(&group.members.join(", "), false)]
    };
    let rows: Vec<Vec<String>> = groups.iter().map(row).collect();
    output::println(&table::table(&["NAME", "MEMBERS"], &rows, Paint::stdout()))?;
    Ok(Code::Success)
}

async fn remove_group(global: &Global, file: &StoreFile, name: &str) -> Result<(), CliError> {
    let store = Store::open_in_team(file, false, global).await?;
    store.directory.remove_group(&store.by, name).await.map_err(refused)
}

fn done(global: &Global, answer: &Value, text: &str) -> Done {
    match global.json {
        true => output::println(&answer.to_string())?,
        false => output::println(text)?,
    }
    Ok(Code::Success)
}
