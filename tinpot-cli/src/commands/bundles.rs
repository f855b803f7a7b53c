//! `tinpot pack` and `tinpot deploy`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tinpot_bundle::{
    Digest, Kind, Limits, PackEntry, PackOptions, Packed, TOWERFILE, Towerfile, actions_towerfile,
    list, pack as pack_dir, read_towerfile, unpack,
};
use tinpot_core::{Action, Error, ErrorKind, Executor};
use tinpot_python::{BundlePools, ContainmentMode, PythonPool};
use ureq::http::StatusCode;

use crate::args::{BundleDir, DeployArgs, Global, PackArgs};
use crate::client::{Client, RequestError, encoded};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint};
use crate::programs::runtime;
use crate::{json, profile};

/// The tries of an upload while the server takes others, with a second between them.
const TRIES: usize = 30;
const WAIT: Duration = Duration::from_secs(1);

pub(crate) fn pack(arguments: &PackArgs, global: &Global) -> Done {
    if arguments.list {
        return list_files(&arguments.bundle, global);
    }
    let packed = packed(&arguments.bundle, "packed")?;
    let manifest = &packed.manifest;
    match arguments.output.as_deref() {
        Some(path) if path == Path::new("-") => {
            io::copy(&mut &packed.archive, &mut io::stdout().lock())?;
            io::stdout().flush()?;
            return Ok(Code::Success);
        }
        Some(path) => write(&packed.archive, path)?,
        None => {}
    }
    let (name, files) = (&packed.towerfile.name, manifest.files.len());
    if global.json {
        let text = json!({
            "app": name,
            "runtime": manifest.runtime,
            "content": manifest.content,
            "bundle": manifest.digest()?,
            "archive": manifest.artifact,
            "files": files,
        });
        output::println(&text.to_string())?;
        return Ok(Code::Success);
    }
    let size = output::size(manifest.artifact.bytes);
    let files = count(files, "file");
    output::println(&format!("{name}: {files}, {size}, content {}", manifest.content.short()))?;
    match &arguments.output {
        Some(path) => output::say(&format!("written to {}", path.display())),
        None => output::say("not written: --output FILE writes the archive"),
    }
    Ok(Code::Success)
}

fn list_files(bundle: &BundleDir, global: &Global) -> Done {
    let options = options(bundle)?;
    let towerfile = match &options.towerfile {
        Some(text) => Towerfile::parse(text),
        None => read_towerfile(&bundle.dir),
    };
    let towerfile = towerfile.map_err(|error| failed(&bundle.dir, error))?;
    warn(&towerfile.warnings);
    let entries =
        list(&bundle.dir, &towerfile, &options).map_err(|error| failed(&bundle.dir, error))?;
    for entry in &entries {
        let text = match (entry, global.json) {
            (PackEntry::File { path, bytes, executable }, true) => {
                json!({ "path": path, "bytes": bytes, "executable": executable }).to_string()
            }
            (PackEntry::Link { path, target }, true) => {
                json!({ "path": path, "link": target }).to_string()
            }
            (PackEntry::Link { path, target }, false) => {
                output::clean(&format!("{path} -> {target}"), false)
            }
            (entry, true) => json!({ "path": entry.path() }).to_string(),
            (entry, false) => output::clean(entry.path(), false),
        };
        output::println(&text)?;
    }
    Ok(Code::Success)
}

/// Returns the options for a directory: with a Towerfile if it has none, and has Python files.
fn options(bundle: &BundleDir) -> Result<PackOptions, CliError> {
    let options = PackOptions::default().exclude(&bundle.exclude);
    let dir = &bundle.dir;
    if fs::symlink_metadata(dir.join(TOWERFILE)).is_ok() || !has_python(dir) {
        return match &bundle.app {
            Some(_) if dir.join(TOWERFILE).exists() => Err(CliError::usage(format!(
                "--app does not go with a {TOWERFILE}: its app.name counts (in {})",
                dir.display()
            ))),
            _ => Ok(options),
        };
    }
    let name = match &bundle.app {
        Some(name) => name.clone(),
        None => fs::canonicalize(dir)?.file_name().map(app_name).unwrap_or_default(),
    };
    let towerfile = actions_towerfile(&name).map_err(|error| {
        let advice = "name the app with --app NAME";
        CliError::usage(format!("{}: {advice} (in {})", error.message(), dir.display()))
    })?;
    Ok(options.towerfile(towerfile))
}

/// Returns the name of an app that is most like that of its directory.
fn app_name(dir: &OsStr) -> String {
    let name = dir.to_string_lossy().to_lowercase();
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// Returns true if there is a Python file in the directory, or in one directly below it.
fn has_python(dir: &Path) -> bool {
    let files = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    let is_python = |path: &Path| path.extension().is_some_and(|end| end == "py");
    files(dir)
        .map(|entry| entry.path())
        .any(|path| is_python(&path) || files(&path).any(|entry| is_python(&entry.path())))
}

/// Packs a directory, and prints the warnings about its Towerfile. `done` is what happens to it.
fn packed(bundle: &BundleDir, done: &str) -> Result<Packed, CliError> {
    let options = options(bundle)?;
    let mut packed = pack_dir(&bundle.dir, &options).map_err(|error| failed(&bundle.dir, error))?;
    warn(&packed.towerfile.warnings);
    if packed.towerfile.tinpot.kind == Kind::Actions {
        packed.towerfile.check_actions().map_err(|error| failed(&bundle.dir, error))?;
        let actions = imported(&mut packed, bundle.python.first().map(|path| &**path), done)?;
        if actions.is_empty() {
            return Err(nothing(&bundle.dir));
        }
        let manifest = packed.manifest.clone().with_actions(actions.iter().map(|one| &**one))?;
        // The server checks it in the same way.
        let checked = manifest.app_actions(&packed.towerfile);
        checked.map_err(|error| failed(&bundle.dir, error))?;
        packed.manifest = manifest;
    }
    Ok(packed)
}

/// Imports the actions of an archive as a worker does. The server never runs Python.
fn imported(
    packed: &mut Packed,
    python: Option<&Path>,
    done: &str,
) -> Result<Vec<Arc<Action>>, CliError> {
    let archive = &mut packed.archive;
    let folder = tempfile::tempdir().map_err(unwritten)?;
    let root = folder.path().join(BundlePools::FOLDER);
    unpack(&*archive, &root, &Limits::default())?;
    archive.rewind().map_err(unwritten)?;
    let mut builder =
        PythonPool::builder(root).size(1).reload(false).containment(ContainmentMode::ProcessGroup);
    builder = builder.of_bundle(&packed.towerfile);
    if let Some(python) = python {
        builder = builder.python(python);
    }
    let offered = runtime()?.block_on(async {
        let pool = builder.start().await?;
        let offered = pool.actions().current();
        pool.close().await?;
        Ok::<_, Error>(offered)
    })?;
    let errors: Vec<_> = offered.load_errors.iter().filter(|error| !error.notice).collect();
    if errors.is_empty() {
        return Ok(offered.actions.clone());
    }
    let label = Paint::stderr().red("load error");
    for error in errors {
        output::say(&format!("{label} {}", output::clean(&error.place, false)));
        for line in error.message.lines() {
            output::say(&format!("    {}", output::clean(line, false)));
        }
    }
    let message = format!("the directory cannot be imported: nothing was {done}");
    Err(CliError::new(Code::Failed, message))
}

fn warn(warnings: &[String]) {
    let label = Paint::stderr().yellow("warning:");
    for warning in warnings {
        output::say(&format!("{label} {TOWERFILE}: {}", output::clean(warning, false)));
    }
}

fn failed(dir: &Path, error: Error) -> CliError {
    let shown = dir.display();
    match error.kind() {
        ErrorKind::NotFound if !dir.is_dir() => {
            let message = format!("no directory {shown}: name one that has a {TOWERFILE}");
            CliError::new(Code::NotFound, message)
        }
        ErrorKind::NotFound if !dir.join(TOWERFILE).exists() => nothing(dir),
        ErrorKind::InvalidInput => CliError::usage(format!("{error} (in {shown})")),
        _ => error.into(),
    }
}

/// Returns the error for a directory that has nothing to deploy.
fn nothing(dir: &Path) -> CliError {
    let shown = dir.display();
    let message = match dir.join(TOWERFILE).exists() {
        true => format!("no Python function with @action in {shown}: write one"),
        false => format!(
            "no {TOWERFILE} and no Python function with @action in {shown}: write a {TOWERFILE} with \
             [app], name = \"…\" and script = \"…\", write an action, or name another directory"
        ),
    };
    CliError::new(Code::NotFound, message)
}

/// Writes the archive next to its place first, so that a failure leaves no half of it.
fn write(mut archive: &File, path: &Path) -> Result<(), CliError> {
    let failed = |error: io::Error| {
        let message = format!("cannot write {}: {error}", path.display());
        CliError::new(Code::Failed, message)
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut draft =
        tempfile::NamedTempFile::new_in(parent.unwrap_or(Path::new("."))).map_err(failed)?;
    io::copy(&mut archive, &mut draft).map_err(failed)?;
    draft.as_file().sync_all().map_err(failed)?;
    draft.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

pub(crate) fn deploy(arguments: &DeployArgs, global: &Global) -> Done {
    deployed(arguments, global, true)
}

/// The answer to a deploy.
#[derive(Deserialize)]
struct Answer {
    result: String,
    version: Option<Version>,
    missing: Vec<Digest>,
    enabled: bool,
    app_created: bool,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
    active: bool,
}

/// Deploys a directory, or uploads it as a version that is not active.
pub(super) fn deployed(arguments: &DeployArgs, global: &Global, activate: bool) -> Done {
    let packed = packed(&arguments.bundle, "deployed")?;
    let client = profile::client(global)?;
    let (text, answer) = Deploy { client: &client, packed: &packed, activate }.run()?;
    if global.json {
        output::println(&json::line(&text))?;
        return Ok(Code::Success);
    }
    let (name, number) = match &answer.version {
        Some(version) => (&packed.towerfile.name, version.version),
        None => return Err(CliError::new(Code::Failed, "the server made no version")),
    };
    if answer.app_created {
        output::say(&format!("created app {name}"));
    }
    let is_active = answer.version.as_ref().is_some_and(|version| version.active);
    output::println(&match (answer.result.as_str(), is_active) {
        ("created", true) => format!("{name}: version {number} is active"),
        ("created", false) => format!(
            "{name}: version {number} is there; `tinpot rollback {name} {number}` activates it"
        ),
        ("activated", _) => {
            format!("{name}: version {number} is active again, with the same content")
        }
        (_, true) => format!("{name}: unchanged, version {number} is active"),
        (_, false) => format!("{name}: unchanged, version {number} has this content"),
    })?;
    if !answer.enabled {
        output::say(&format!("the app is disabled: `tinpot apps enable {name}` enables it"));
    }
    Ok(Code::Success)
}

struct Deploy<'a> {
    client: &'a Client,
    packed: &'a Packed,
    activate: bool,
}

impl Deploy<'_> {
    fn run(&self) -> Result<(String, Answer), CliError> {
        let first = self.ask()?;
        if first.1.missing.is_empty() {
            return Ok(first);
        }
        for digest in &first.1.missing {
            self.upload(digest)?;
        }
        let second = self.ask()?;
        if !second.1.missing.is_empty() {
            let message = "the server does not keep what was uploaded: try again";
            return Err(CliError::new(Code::Failed, message));
        }
        Ok(second)
    }

    fn path(&self, rest: &str) -> String {
        format!("/api/apps/{}{rest}", encoded(&self.packed.towerfile.name))
    }

    /// Asks the server what it needs, or to make the version if it has all.
    fn ask(&self) -> Result<(String, Answer), RequestError> {
        let manifest = &self.packed.manifest;
        let digest = manifest.digest().map_err(|error| RequestError {
            status: None,
            detail: error.to_string(),
            errors: Vec::new(),
        })?;
        let body = json!({
            "content": manifest.content,
            "manifest": digest,
            "archive": manifest.artifact.digest,
            "activate": self.activate,
            // Only with a version: what is refused leaves no app behind.
            "create": true,
        });
        let text = self.client.post(&self.path("/versions"), Some(&body.to_string()))?;
        let answer = self.client.parse(&text)?;
        Ok((text, answer))
    }

    fn upload(&self, digest: &Digest) -> Result<(), CliError> {
        let manifest = &self.packed.manifest;
        let written;
        let file = if *digest == manifest.artifact.digest {
            &self.packed.archive
        } else {
            let mut file = tempfile::tempfile().map_err(unwritten)?;
            file.write_all(&manifest.to_bytes()?).map_err(unwritten)?;
            written = file;
            &written
        };
        for attempt in 1..=TRIES {
            let mut reader = file;
            reader.rewind().map_err(unwritten)?;
            match self.client.upload(&format!("/api/blobs/{digest}"), file) {
                Err(refused)
                    if refused.status == Some(StatusCode::SERVICE_UNAVAILABLE)
                        && attempt < TRIES =>
                {
                    std::thread::sleep(WAIT);
                }
                uploaded => return Ok(uploaded.map(drop)?),
            }
        }
        Ok(())
    }
}

fn unwritten(error: io::Error) -> CliError {
    CliError::new(Code::Failed, format!("cannot use a temporary file: {error}"))
}

/// Returns a number with its noun.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::app_name;

    /// The names that the tests of the web UI pin, too.
    #[test]
    fn an_app_without_a_towerfile_has_the_name_of_its_directory() {
        let names = ["tools", "My Tools", "ops_tools.v2", "--a--", "Ünder"];
        let found = names.map(|name| app_name(name.as_ref()));
        assert_eq!(found, ["tools", "my-tools", "ops-tools-v2", "a", "nder"]);
    }
}
