//! `tinpot programs`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tinpot_access::{Grant, Grantee, Program, Role};

use super::place::{Place, Server};
use super::users::name_of;
use super::{Store, refused, run};
use crate::args::{Global, Programs, RoleName, StoreFile};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint, clean};
use crate::{suggest, table};

pub(crate) fn programs(command: &Programs, global: &Global) -> Done {
    match command {
        Programs::Add { name, role, store } => {
            let id = match Place::of(global, store)? {
                Place::Store(file) => run(add(global, &file, name, *role))?,
                Place::Server(server) => add_at(&server, name, *role)?,
            };
            let (id_text, name_text) = (clean(&id, false), clean(name, false));
            let text = format!("program {name_text} was added ({id_text})");
            done(global, &json!({ "id": id, "name": name }), &text)
        }
        Programs::List { store } => {
            let programs = match Place::of(global, store)? {
                Place::Store(file) => run(views(global, &file))?,
                Place::Server(server) => server.programs()?,
            };
            show(global, &programs)
        }
        Programs::Remove { name, store } => {
            match Place::of(global, store)? {
                Place::Store(file) => run(remove(global, &file, name))?,
                Place::Server(server) => server.remove("programs", &server.program(name)?)?,
            }
            let text = format!("program {} was removed", clean(name, false));
            done(global, &json!({ "name": name }), &text)
        }
    }
}

/// A program, as a server lists it.
#[derive(Deserialize, Serialize)]
struct View {
    id: String,
    name: String,
    created_at: String,
}

#[derive(Deserialize)]
struct List {
    programs: Vec<View>,
}

impl View {
    fn of(program: &Program) -> Self {
        Self {
            id: program.id.to_string(),
            name: program.name.to_string(),
            created_at: program.created.to_string(),
        }
    }
}

/// Returns the id of the program with this name or id.
fn find(programs: &[View], name: &str) -> Result<String, CliError> {
    let by_name = programs.iter().find(|program| program.name == name);
    let found = by_name.or_else(|| programs.iter().find(|program| program.id == name));
    found.map(|program| program.id.clone()).ok_or_else(|| {
        let known = programs.iter().map(|program| &*program.name);
        let message = format!("no program {name:?}{}", suggest::or_list(name, known));
        CliError::new(Code::NotFound, message)
    })
}

impl Server {
    fn programs(&self) -> Result<Vec<View>, CliError> {
        Ok(self.read::<List>("/api/programs")?.programs)
    }

    /// Returns the id of the program with this name or id.
    pub(super) fn program(&self, name: &str) -> Result<String, CliError> {
        find(&self.programs()?, name)
    }
}

impl Store {
    /// Returns the programs of the team.
    fn programs(&self) -> Vec<View> {
        let programs = self.directory.programs();
        let team = self.directory.team_id();
        programs.iter().filter(|program| program.team == *team).map(View::of).collect()
    }

    /// Returns the id of the program of the team with this name or id.
    pub(super) fn program(&self, name: &str) -> Result<String, CliError> {
        find(&self.programs(), name)
    }
}

async fn add(
    global: &Global,
    file: &StoreFile,
    name: &str,
    role: Option<RoleName>,
) -> Result<String, CliError> {
    let store = Store::open_in_team(file, false, global).await?;
    let team = store.directory.team_id().clone();
    let program = store.directory.add_program(&store.by, &team, name).await.map_err(refused)?;
    if let Some(role) = role {
        let to = Grantee::Principal(program.id.clone());
        let grant = Grant::new(to, Role::from(role)).team(team);
        store.directory.add_grant(&store.by, grant).await.map_err(refused)?;
    }
    Ok(program.id.to_string())
}

fn add_at(server: &Server, name: &str, role: Option<RoleName>) -> Result<String, CliError> {
    let program = server.send("POST", "/api/programs", &json!({ "name": name }))?;
    let id = program["id"].as_str().unwrap_or_default().to_owned();
    if let Some(role) = role {
        let grant = json!({ "to": { "program": id }, "role": name_of(role.into()) });
        server.send("POST", "/api/grants", &grant)?;
    }
    Ok(id)
}

async fn views(global: &Global, file: &StoreFile) -> Result<Vec<View>, CliError> {
    Ok(Store::open_in_team(file, false, global).await?.programs())
}

async fn remove(global: &Global, file: &StoreFile, name: &str) -> Result<(), CliError> {
    let store = Store::open_in_team(file, false, global).await?;
    let id = store.program(name)?;
    store.directory.remove_program(&store.by, &id).await.map_err(refused)
}

fn show(global: &Global, programs: &[View]) -> Done {
    if global.json {
        output::println(&json!({ "programs": programs }).to_string())?;
        return Ok(Code::Success);
    }
    if programs.is_empty() {
        output::say("No programs. Add one with \"tinpot programs add NAME\"");
        return Ok(Code::Success);
    }
    let clock = global.clock();
    let row = |program: &View| {
        let created = clock.short(&program.created_at);
        vec![clean(&program.name, false), created, clean(&program.id, false)]
    };
    let rows: Vec<Vec<String>> = programs.iter().map(row).collect();
    output::println(&table::table(&["NAME", "CREATED", "ID"], &rows, Paint::stdout()))?;
    Ok(Code::Success)
}

fn done(global: &Global, answer: &Value, text: &str) -> Done {
    match global.json {
        true => output::println(&answer.to_string())?,
        false => output::println(text)?,
    }
    Ok(Code::Success)
}
