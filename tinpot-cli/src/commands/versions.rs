//! `tinpot versions`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::apps::{find, missing, path};
use super::bundles::{count, deployed};
use crate::args::{Global, Versions};
use crate::client::Client;
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint, clean};
use crate::times::Clock;
use crate::{json, profile, table};

#[derive(Deserialize)]
pub(super) struct VersionPage {
    pub(super) versions: Vec<Version>,
}

#[derive(Deserialize)]
pub(super) struct Version {
    version: u32,
    active: bool,
    bundle: String,
    content: String,
    archive: Archive,
    runtime: String,
    created_at: String,
    created_by: String,
    #[serde(default)]
    pruned_at: Option<String>,
}

impl Version {
    fn state(&self, paint: Paint) -> String {
        match (self.active, &self.pruned_at) {
            (true, _) => paint.green("active"),
            (false, Some(_)) => paint.red("pruned"),
            (false, None) => String::new(),
        }
    }
}

#[derive(Deserialize)]
struct Archive {
    digest: String,
    bytes: u64,
}

/// A version with its files.
#[derive(Deserialize)]
struct Details {
    #[serde(flatten)]
    version: Version,
    towerfile: String,
    files: Vec<BundleFile>,
}

#[derive(Clone, Deserialize, PartialEq)]
struct BundleFile {
    path: String,
    digest: Option<String>,
    bytes: Option<u64>,
    executable: bool,
    link: Option<String>,
}

pub(crate) fn versions(command: &Versions, global: &Global) -> Done {
    if let Versions::Upload(arguments) = command {
        return deployed(arguments, global, false);
    }
    let client = profile::client(global)?;
    let get = |app: &str, rest: &str| {
        client.get(&path(app, rest)).map_err(|refused| missing(&client, app, refused))
    };
    match command {
        Versions::List { app, limit } => {
            let text = get(app, &format!("/versions?limit={limit}"))?;
            if global.json {
                output::println(&json::line(&text))?;
                return Ok(Code::Success);
            }
            let page: VersionPage = client.parse(&text)?;
            if page.versions.is_empty() {
                output::say("no versions; `tinpot deploy` adds one");
                return Ok(Code::Success);
            }
            print(&page.versions, &global.clock())?;
        }
        Versions::Show { app, version } => {
            let number = number(&client, app, *version)?;
            let text = get(app, &format!("/versions/{number}"))?;
            if global.json {
                output::println(&json::line(&text))?;
            } else {
                show(app, &client.parse(&text)?, &global.clock())?;
            }
        }
        Versions::Diff { app, from, to } => {
            let to = number(&client, app, *to)?;
            let read = |number: u32| {
                let text = get(app, &format!("/versions/{number}"))?;
                Ok::<Details, CliError>(client.parse(&text)?)
            };
            diff(&read(*from)?, &read(to)?, global)?;
        }
        // Needs no client.
        Versions::Upload(_) => {}
    }
    Ok(Code::Success)
}

/// Returns the number of a version: that of the active one if none is given.
fn number(client: &Client, app: &str, given: Option<u32>) -> Result<u32, CliError> {
    if let Some(number) = given {
        return Ok(number);
    }
    find(client, app)?.active_version.ok_or_else(|| {
        let message = format!("app {app:?} has no active version: name one");
        CliError::new(Code::Conflict, message)
    })
}

/// Prints a table of versions.
pub(super) fn print(versions: &[Version], clock: &Clock) -> Result<(), CliError> {
    let paint = Paint::stdout();
    let row = |version: &Version| {
        vec![
            version.version.to_string(),
            version.state(paint),
            clock.brief(&version.created_at),
            clean(&version.created_by, false),
            output::size(version.archive.bytes),
            version.runtime.clone(),
            short(&version.content),
        ]
    };
    let rows: Vec<_> = versions.iter().map(row).collect();
    let head = ["VERSION", "STATE", "CREATED", "BY", "SIZE", "RUNTIME", "CONTENT"];
    output::println(&table::table(&head, &rows, paint))
}

fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

fn show(app: &str, details: &Details, clock: &Clock) -> Result<(), CliError> {
    let paint = Paint::stdout();
    let Details { version, towerfile, files } = details;
    let mut state = version.state(paint);
    if state.is_empty() {
        "not active".clone_into(&mut state);
    }
    let mut lines = vec![
        format!("{}  {state}", paint.bold(&format!("{app} {}", version.version))),
        String::new(),
        format!(
            "created  {} by {}",
            clock.full(&version.created_at),
            clean(&version.created_by, false)
        ),
        format!("runtime  {}", version.runtime),
        format!("bundle   {}", version.bundle),
        format!("content  {}", version.content),
        format!("archive  {} ({})", version.archive.digest, output::size(version.archive.bytes)),
        String::new(),
        paint.bold(&count(files.len(), "file")),
    ];
    lines.extend(files.iter().map(|file| {
        let text = match (&file.link, file.bytes) {
            (Some(link), _) => format!("  {} -> {link}", file.path),
            (None, bytes) => {
                let mark = if file.executable { "*" } else { "" };
                format!("  {}{mark}  {}", file.path, output::size(bytes.unwrap_or_default()))
            }
        };
        clean(&text, false)
    }));
    lines.push(String::new());
    lines.push(paint.bold("Towerfile"));
    lines.extend(towerfile.lines().map(|line| format!("  {}", clean(line, false))));
    output::println(&lines.join("\n"))
}

fn diff(from: &Details, to: &Details, global: &Global) -> Result<(), CliError> {
    let of = |details: &Details| -> BTreeMap<String, BundleFile> {
        details.files.iter().map(|file| (file.path.clone(), file.clone())).collect()
    };
    let (old, new) = (of(from), of(to));
    let removed = old.keys().filter(|path| !new.contains_key(*path)).map(|path| ("removed", path));
    let rest = new.iter().filter_map(|(path, file)| match old.get(path) {
        None => Some(("added", path)),
        Some(former) if former != file => Some(("changed", path)),
        Some(_) => None,
    });
    let mut changes: Vec<(&str, &String)> = removed.chain(rest).collect();
    changes.sort_by_key(|(_, path)| *path);
    if global.json {
        let files: Vec<_> = changes
            .iter()
            .map(|(what, path)| serde_json::json!({ "path": path, "change": what }))
            .collect();
        let (from, to) = (from.version.version, to.version.version);
        let text = serde_json::json!({ "from": from, "to": to, "files": files });
        return output::println(&text.to_string());
    }
    let paint = Paint::stdout();
    for (what, path) in &changes {
        let mark = match *what {
            "added" => paint.green("+"),
            "removed" => paint.red("-"),
            _ => paint.yellow("~"),
        };
        output::println(&format!("{mark} {}", clean(path, false)))?;
    }
    if changes.is_empty() {
        output::say("no differences");
    }
    Ok(())
}
