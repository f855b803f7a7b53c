//! A server that is killed at each step of a deploy, and of the collection after it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tinpot_bundle::Hasher;

use crate::bundles::{By, Place};
use crate::support::{PATIENCE, Process, Ran, ask, file};

/// The steps of a deploy at which a server can kill itself.
const DEPLOY: [&str; 11] = [
    "blob.draft",
    "blob.piece",
    "blob.complete",
    "blob.before-rename",
    "blob.after-rename",
    "apps.blob-stored",
    "apps.blob-recorded",
    "apps.checked",
    "apps.audited",
    "apps.announced",
    "apps.recorded",
];
/// Those of a collection.
const COLLECT: [&str; 5] = [
    "collect.pruned",
    "blob.before-delete",
    "blob.after-delete",
    "collect.deleted",
    "collect.forgotten",
];
/// Those of a worker that fetches and unpacks a bundle: `worker_kills` has them.
const WORKER: [&str; 3] = ["tree.manifest", "tree.archive", "tree.unpacked"];
/// The signal of `abort`.
const SIGABRT: i32 = 6;
const APP: &str = "greet";

/// A server, a worker elsewhere, and an app whose versions say their number.
struct Site {
    place: Place,
    _worker: Process,
    /// The number of the latest files.
    says: u32,
}

impl Site {
    fn start() -> Self {
        let place = Place::start(By::Http);
        let mut command = place.joined("web");
        command.env("CONCURRENCY", "2");
        let mut worker = Process::start(command);
        worker.line("reaches its coordinator by");
        let mut site = Self { place, _worker: worker, says: 0 };
        site.write(APP);
        site
    }

    /// Writes other files of an app.
    fn write(&mut self, app: &str) {
        self.says += 1;
        let towerfile = format!(
            "[app]\nname = \"{app}\"\nscript = \"main.sh\"\n\n[[parameters]]\nname = \"stop\"\n\
             default = \"\"\n"
        );
        let script = format!(
            "while [ -n \"$stop\" ] && [ ! -e \"$stop\" ]; do sleep 0.05; done\n\
             printf {} > \"$TINPOT_RESULT\"\n",
            self.says
        );
        file(self.place.folder.path(), &format!("{app}/Towerfile"), &towerfile);
        file(self.place.folder.path(), &format!("{app}/main.sh"), &script);
    }

    fn deploy(&self, app: &str) -> Ran {
        self.place.run(&["deploy", app, "--json"])
    }

    fn get(&self, path: &str) -> Value {
        let answer = ask(&self.place.url(), "GET", path, "accept: application/json\r\n", "");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {body}"))
    }

    /// Returns the digests of the stored blobs, and asserts that each has its content, and that
    /// there is nothing else.
    fn blobs(&self) -> BTreeSet<String> {
        let root = self.place.folder.path().join("tinpot.db.blobs");
        let mut found = BTreeSet::new();
        for entry in fs::read_dir(&root).expect("a folder").flatten() {
            let first = entry.file_name().into_string().expect("UTF-8");
            if first == ".lock" {
                continue;
            }
            let files = fs::read_dir(entry.path()).expect("a folder");
            let files: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
            if first == "tmp" {
                assert!(files.is_empty(), "incomplete content: {files:?}");
                continue;
            }
            for path in files {
                let rest = path.file_name().and_then(|name| name.to_str()).expect("UTF-8");
                // A collection may delete it at this moment.
                let Ok(content) = fs::read(&path) else { continue };
                let digest = Hasher::of(&content).to_string();
                assert_eq!(format!("{first}{rest}"), digest, "the content of {}", path.display());
                found.insert(digest);
            }
        }
        found
    }

    /// Returns the blobs of all versions that were not pruned, and asserts that the apps and their
    /// actions are whole.
    fn referred(&self) -> BTreeSet<String> {
        let stored = self.blobs();
        let actions = self.get("/api/actions");
        let mut referred = BTreeSet::new();
        for app in self.get("/api/apps")["apps"].as_array().expect("apps") {
            let name = app["name"].as_str().expect("a name");
            let latest = app["latest_version"].as_u64().expect("a number");
            assert!(latest > 0, "an app without versions: {app}");
            let versions = self.get(&format!("/api/apps/{name}/versions?limit=1000"));
            let versions = versions["versions"].as_array().expect("versions");
            let numbers = versions.iter().map(|version| version["version"].as_u64());
            assert!(numbers.eq((1..=latest).rev().map(Some)), "a gap: {versions:?}");
            for version in versions {
                let number = &version["version"];
                let shown = self.get(&format!("/api/apps/{name}/versions/{number}"));
                let text = shown["towerfile"].as_str().expect("a Towerfile");
                referred.insert(Hasher::of(text.as_bytes()).to_string());
                referred.insert(shown["bundle"].as_str().expect("a digest").to_owned());
                if version["pruned_at"].is_null() {
                    let archive = shown["archive"]["digest"].as_str().expect("a digest");
                    referred.insert(archive.to_owned());
                }
            }
            if app["active_version"] != Value::Null {
                assert_eq!(actions[name]["version"], app["active_version"], "{app}");
            }
        }
        let missing: Vec<_> = referred.difference(&stored).collect();
        assert_eq!(missing, [""; 0], "blobs that versions refer to are gone");
        referred
    }

    /// Deploys the files that may have been deployed, and asserts that they are what runs now.
    fn is_deployed(&self, app: &str) {
        let packed = self.place.run(&["pack", app, "--json"]).json();
        let answer = self.deploy(app).json();
        let version = &answer["version"];
        assert_eq!(version["active"], true, "{answer}");
        for part in ["content", "bundle"] {
            assert_eq!(version[part], packed[part], "{part} of {answer}");
        }
        self.runs(app, self.says);
    }

    #[track_caller]
    fn runs(&self, app: &str, says: u32) {
        assert_eq!(self.place.run(&["run", app]).ok().trim(), says.to_string());
    }

    /// Starts the server with a step at which it kills itself, and deploys. Returns true if it died,
    /// with the server running again.
    fn dies_at(&mut self, failpoint: &str, app: &str) -> bool {
        self.place.restart_with(&[("TINPOT_FAILPOINT", failpoint)]);
        let ran = self.deploy(app);
        if ran.code == Some(0) {
            return false;
        }
        let status = self.place.coordinator.end();
        assert_eq!(status.signal(), Some(SIGABRT), "{failpoint}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{failpoint}: {ran:?}");
        self.place.restart();
        true
    }
}

#[test]
fn a_deploy_is_there_whole_or_not_at_all_wherever_the_server_dies() {
    let mut site = Site::start();
    site.deploy(APP).ok();
    site.runs(APP, 1);
    let stop = site.place.folder.path().join("stop");
    let stop = stop.to_str().expect("UTF-8");
    // It runs the first version while all others are deployed.
    let first = site.place.run(&["run", APP, "--stop", stop, "--detach"]);
    let first = first.ok().trim().to_owned();
    site.place.wait_for(&first, "running");
    for failpoint in DEPLOY {
        let mut deaths = 0;
        loop {
            site.write(APP);
            let active = site.get("/api/apps/greet")["active_version"].clone();
            if !site.dies_at(&format!("{failpoint}:{}", deaths + 1), APP) {
                break;
            }
            deaths += 1;
            site.referred();
            let now = site.get("/api/apps/greet");
            let new = &now["latest_version"];
            assert!(now["active_version"] == active || now["active_version"] == *new, "{now}");
            site.is_deployed(APP);
            assert_eq!(site.get("/api/apps/greet")["latest_version"], deployed_after(&active));
        }
        assert!(deaths > 0, "{failpoint} is not passed");
    }
    fs::write(stop, "").expect("a file");
    let ended = site.place.wait_for(&first, "succeeded");
    assert_eq!(ended["outcome"]["result"], 1, "{ended}");
    assert_eq!(ended["attempts"].as_array().map(Vec::len), Some(1), "{ended}");
}

/// Returns the number after that of the version that was active before.
fn deployed_after(active: &Value) -> u64 {
    active.as_u64().expect("a version") + 1
}

#[test]
fn a_first_deploy_that_is_interrupted_leaves_no_app_without_versions() {
    let mut site = Site::start();
    for failpoint in ["apps.checked", "apps.audited", "apps.announced", "apps.recorded"] {
        for pass in 1.. {
            let app = format!("{}-{pass}", failpoint.replace('.', "-"));
            site.write(&app);
            if !site.dies_at(&format!("{failpoint}:{pass}"), &app) {
                assert!(pass > 1, "{failpoint} is not passed");
                break;
            }
            site.referred();
            site.is_deployed(&app);
        }
    }
}

#[test]
fn a_collection_that_is_interrupted_is_completed_by_the_next() {
    let mut site = Site::start();
    // Versions that nothing used lately, and what interrupted deploys have left.
    for _ in 0..3 {
        site.write(APP);
        site.deploy(APP).ok();
    }
    let active = site.says;
    site.runs(APP, active);
    for failpoint in ["apps.blob-stored", "apps.checked"] {
        site.write(APP);
        assert!(site.dies_at(failpoint, APP));
    }
    let root = site.place.folder.path().join("tinpot.db.blobs");
    let age = || {
        let long_ago = SystemTime::now() - Duration::from_secs(3 * 86_400);
        for folder in fs::read_dir(&root).expect("a folder").flatten() {
            for blob in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
                let blob = fs::File::options().write(true).open(blob.path()).expect("a blob");
                blob.set_modified(long_ago).expect("a time");
            }
        }
    };
    let left = site.blobs().difference(&site.referred()).count();
    assert!(left >= 3, "{left} blobs without a version");
    let often = ("TINPOT_TEST_COLLECT_MS", "20");
    for failpoint in COLLECT {
        age();
        let environment = [often, ("TINPOT_KEEP_VERSIONS", "1"), ("TINPOT_FAILPOINT", failpoint)];
        site.place.restart_with(&environment);
        let status = site.place.coordinator.end();
        assert_eq!(status.signal(), Some(SIGABRT), "{failpoint}");
        site.place.restart();
        site.referred();
        site.runs(APP, active);
    }
    site.place.restart_with(&[often, ("TINPOT_KEEP_VERSIONS", "1")]);
    let deadline = Instant::now() + PATIENCE;
    while site.blobs() != site.referred() {
        assert!(Instant::now() < deadline, "{:?}", site.blobs().difference(&site.referred()));
    }
    let versions = site.get("/api/apps/greet/versions");
    let pruned = versions["versions"].as_array().expect("versions").iter();
    let pruned = pruned.filter(|version| !version["pruned_at"].is_null()).count();
    assert_eq!(pruned, 2, "{versions}");
    // What was collected is uploaded again.
    site.place.restart();
    site.is_deployed(APP);
}

/// A step that no test names would be one at which no test kills.
#[test]
fn each_step_has_a_kill() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tinpot-bundle/src");
    let mut folders = vec![source];
    let mut found = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            let text = fs::read_to_string(entry.path()).expect("a source");
            for (at, call) in text.match_indices("failpoint(\"") {
                let name = text[at + call.len()..].split('"').next().expect("a name");
                found.insert(name.to_owned());
            }
        }
    }
    let known = DEPLOY.iter().chain(&COLLECT).chain(&WORKER);
    assert_eq!(found, known.map(|name| (*name).to_owned()).collect());
}
