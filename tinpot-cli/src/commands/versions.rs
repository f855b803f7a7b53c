//! `tinpot versions`.

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
    bytes: Option<u64>,
    executable: bool,
    link: Option<String>,
}

#[derive(Deserialize)]
struct Diff {
    files: Vec<FileChange>,
}

#[derive(Deserialize)]
struct FileChange {
    path: String,
    change: String,
    old: Option<BundleFile>,
    new: Option<BundleFile>,
    text: Option<String>,
    #[serde(default)]
    no_text: Option<String>,
}

impl FileChange {
    /// Returns what the difference of the texts does not show.
    fn what(&self) -> Option<String> {
        let link = |file: &Option<BundleFile>| file.as_ref().and_then(|file| file.link.clone());
        let executable = |file: &Option<BundleFile>| file.as_ref().map(|file| file.executable);
        let size = |file: &Option<BundleFile>| {
            file.as_ref()
                .and_then(|file| file.bytes)
                .map_or_else(|| "none".to_owned(), output::size)
        };
        if let Some(to) = link(&self.new) {
            return Some(format!("link to {to}"));
        }
        match (self.no_text.as_deref(), executable(&self.old), executable(&self.new)) {
            (Some("binary"), ..) => {
                Some(format!("not text: {} before, {} now", size(&self.old), size(&self.new)))
            }
            (Some("too_large"), ..) => Some(format!(
                "too large to compare: {} before, {} now",
                size(&self.old),
                size(&self.new)
            )),
            (_, Some(false), Some(true)) => Some("executable now".to_owned()),
            (_, Some(true), Some(false)) => Some("not executable any more".to_owned()),
            _ => None,
        }
    }
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
        Versions::Diff { app, from, to, names } => {
            let to = number(&client, app, *to)?;
            let text = get(app, &format!("/versions/{to}/diff?from={from}"))?;
            if global.json {
                output::println(&json::line(&text))?;
            } else {
                diff(&client.parse(&text)?, *names)?;
            }
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

fn diff(diff: &Diff, names: bool) -> Result<(), CliError> {
    let paint = Paint::stdout();
    for file in &diff.files {
        let mark = match &*file.change {
            "added" => paint.green("+"),
            "removed" => paint.red("-"),
            _ => paint.yellow("~"),
        };
        output::println(&format!("{mark} {}", clean(&file.path, false)))?;
        if names {
            continue;
        }
        if let Some(what) = file.what() {
            output::println(&format!("  {}", paint.dim(&clean(&what, false))))?;
        }
        let lines = file.text.iter().flat_map(|text| text.lines()).map(|line| {
            let line = clean(line, false);
            match line.chars().next() {
                Some('+') => paint.green(&line),
                Some('-') => paint.red(&line),
                Some('@') => paint.dim(&line),
                _ => line,
            }
        });
        let lines: Vec<String> = lines.collect();
        if !lines.is_empty() {
            output::println(&lines.join("\n"))?;
        }
    }
    if diff.files.is_empty() {
        output::say("no differences");
    }
    Ok(())
}
