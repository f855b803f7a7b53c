//! `tinpot apps` and `tinpot rollback`.

use serde::Deserialize;
use serde_json::json;

use super::versions::{self, VersionPage};
use crate::args::{Apps, Global, RollbackArgs};
use crate::client::{Client, RequestError, encoded};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint, clean};
use crate::times::Clock;
use crate::{json, profile, suggest, table};

/// The versions that `apps show` lists.
const LATEST: u32 = 5;

#[derive(Deserialize)]
struct AppPage {
    apps: Vec<App>,
}

#[derive(Deserialize)]
pub(super) struct App {
    name: String,
    description: String,
    enabled: bool,
    pub(super) active_version: Option<u32>,
    latest_version: u32,
    /// Earlier servers do not say it.
    #[serde(default)]
    actions: Vec<String>,
    created_at: String,
    created_by: String,
    updated_at: String,
}

impl App {
    fn active(&self) -> String {
        self.active_version.map_or_else(|| "none".to_owned(), |version| version.to_string())
    }

    fn state(&self, paint: Paint) -> String {
        if self.enabled { "enabled".to_owned() } else { paint.yellow("disabled") }
    }
}

pub(crate) fn apps(command: &Apps, global: &Global) -> Done {
    let client = profile::client(global)?;
    match command {
        Apps::List if global.json => output::println(&json::line(&client.get("/api/apps")?))?,
        Apps::List => list(&client, &global.clock())?,
        Apps::Show { app } => {
            let text =
                client.get(&path(app, "")).map_err(|refused| missing(&client, app, refused))?;
            if global.json {
                output::println(&json::line(&text))?;
            } else {
                show(&client, &client.parse(&text)?, &global.clock())?;
            }
        }
        Apps::Create { app, description } => {
            let body = json!({ "name": app, "description": description }).to_string();
            let text = client.post("/api/apps", Some(&body))?;
            changed(&text, &format!("{app} was created: `tinpot deploy` adds a version"), global)?;
        }
        Apps::Remove { app } => {
            let removed = client.delete(&path(app, ""));
            removed.map_err(|refused| missing(&client, app, refused))?;
            output::say(&format!("{app} was removed with its versions"));
        }
        Apps::Enable { app } => set_enabled(&client, app, true, global)?,
        Apps::Disable { app } => set_enabled(&client, app, false, global)?,
    }
    Ok(Code::Success)
}

fn list(client: &Client, clock: &Clock) -> Result<(), CliError> {
    let page: AppPage = client.read("/api/apps")?;
    if page.apps.is_empty() {
        output::say("no apps; `tinpot deploy` makes one of a directory with a Towerfile");
        return Ok(());
    }
    let paint = Paint::stdout();
    let row = |app: &App| {
        vec![
            app.name.clone(),
            app.state(paint),
            app.active(),
            app.latest_version.to_string(),
            clock.brief(&app.updated_at),
            clean(app.description.lines().next().unwrap_or_default(), false),
        ]
    };
    let rows: Vec<_> = page.apps.iter().map(row).collect();
    let head = ["NAME", "STATE", "ACTIVE", "LATEST", "CHANGED", "DESCRIPTION"];
    output::println(&table::table(&head, &rows, paint))
}

fn show(client: &Client, app: &App, clock: &Clock) -> Result<(), CliError> {
    let paint = Paint::stdout();
    let mut lines = vec![paint.bold(&app.name)];
    lines.extend(app.description.lines().map(|line| clean(line, false)));
    lines.push(format!("\nstate    {}", app.state(paint)));
    lines.push(format!("active   {}", app.active()));
    if app.actions.iter().any(|action| *action != app.name) {
        lines.push(format!("actions  {}", clean(&app.actions.join(", "), false)));
    }
    let by = clean(&app.created_by, false);
    lines.push(format!("created  {} by {by}", clock.full(&app.created_at)));
    output::println(&lines.join("\n"))?;
    if app.latest_version == 0 {
        output::say("no versions; `tinpot deploy` adds one");
        return Ok(());
    }
    let page: VersionPage = client.read(&path(&app.name, &format!("/versions?limit={LATEST}")))?;
    output::println("")?;
    versions::print(&page.versions, clock)
}

fn set_enabled(client: &Client, app: &str, enabled: bool, global: &Global) -> Result<(), CliError> {
    let body = json!({ "enabled": enabled }).to_string();
    let text = client.send("PATCH", &path(app, ""), &body);
    let text = text.map_err(|refused| missing(client, app, refused))?;
    let what = match enabled {
        true => "is enabled",
        false => "is disabled: it takes no submissions, and runs what it has accepted",
    };
    changed(&text, &format!("{app} {what}"), global)
}

fn changed(text: &str, message: &str, global: &Global) -> Result<(), CliError> {
    output::println(&if global.json { json::line(text) } else { message.to_owned() })
}

pub(crate) fn rollback(arguments: &RollbackArgs, global: &Global) -> Done {
    let client = profile::client(global)?;
    let name = &arguments.app;
    let app = find(&client, name)?;
    let number = match (arguments.version, app.active_version) {
        (Some(number), _) => number,
        (None, Some(active @ 2..)) => active - 1,
        (None, active) => {
            let message = match active {
                Some(active) => format!("app {name:?} has no version before {active}"),
                None => format!("app {name:?} has no active version: name one"),
            };
            return Err(CliError::new(Code::Conflict, message));
        }
    };
    let body = json!({ "active_version": number }).to_string();
    let text = client.send("PATCH", &path(name, ""), &body)?;
    let message = match app.active_version {
        Some(former) if former == number => format!("{name}: version {number} was active already"),
        Some(former) => format!("{name}: version {number} is active, instead of {former}"),
        None => format!("{name}: version {number} is active"),
    };
    changed(&text, &message, global)?;
    Ok(Code::Success)
}

/// Returns an app.
///
/// # Errors
/// Fails if the server does not know it; the message suggests a near name.
pub(super) fn find(client: &Client, name: &str) -> Result<App, CliError> {
    client.read(&path(name, "")).map_err(|refused| missing(client, name, refused))
}

/// Returns the error about an app, with a near name if it is unknown.
pub(super) fn missing(client: &Client, name: &str, refused: RequestError) -> CliError {
    let page: Option<AppPage> =
        refused.is_not_found().then(|| client.read("/api/apps").ok()).flatten();
    let Some(page) = page else { return refused.into() };
    if page.apps.iter().any(|app| app.name == name) {
        return refused.into();
    }
    let near = suggest::or_list(name, page.apps.iter().map(|app| &*app.name));
    CliError::new(Code::NotFound, format!("no app {name:?} on {}{near}", client.base()))
}

/// Returns the path of an app.
pub(super) fn path(app: &str, rest: &str) -> String {
    format!("/api/apps/{}{rest}", encoded(app))
}
