//! Apps: their versions against a model, with several writers, and after failures.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::sync::Arc;
use std::sync::Mutex;

use async_trait::async_trait;
use tinpot_bundle::{
    Apps, BlobStore, ByteRange, Deploy, DeployOptions, Deployment, Digest, Hasher, Limits,
    Manifest, MemoryBlobStore, PackOptions, PutOptions, Runtime, Version, body, pack,
};
use tinpot_core::access::records::{Change, MemoryRecords, Records};
use tinpot_core::access::{AuditEvent, AuditSink, AuditWho};
use tinpot_core::{Action, Error, ErrorKind, Result};

pub(crate) const TEAM: &str = "default";

pub(crate) fn by(name: &str) -> AuditWho {
    AuditWho::new("user", format!("user:{name}"), name)
}

pub(crate) fn any(_: &Action) -> Result<()> {
    Ok(())
}

/// A packed app.
#[derive(Clone)]
pub(crate) struct Bundle {
    pub(crate) manifest: Manifest,
    archive: Vec<u8>,
}

impl Bundle {
    /// Packs an app whose script says this.
    pub(crate) fn of(name: &str, says: &str) -> Self {
        Self::with(&format!("[app]\nname = \"{name}\"\nscript = \"main.sh\"\n"), says)
    }

    fn with(towerfile: &str, says: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("Towerfile"), towerfile).expect("a file");
        fs::write(folder.path().join("main.sh"), format!("echo {says}\n")).expect("a file");
        let mut packed = pack(folder.path(), &PackOptions::default()).expect("a bundle");
        let mut archive = Vec::new();
        packed.archive.read_to_end(&mut archive).expect("an archive");
        Self { manifest: packed.manifest, archive }
    }

    /// Packs a folder of Python actions, as if an import had found these.
    pub(crate) fn folder(app: &str, actions: &[&str]) -> Self {
        let towerfile = format!("[app]\nname = \"{app}\"\n[tinpot]\nkind = \"actions\"\n");
        let mut this = Self::with(&towerfile, &actions.join(" "));
        let actions: Vec<Action> =
            actions.iter().map(|name| Action::new(*name).expect("a name")).collect();
        this.manifest = this.manifest.with_actions(&actions).expect("JSON");
        this
    }

    pub(crate) fn deploy(&self) -> Deploy {
        Deploy::new(&self.manifest).expect("a manifest")
    }

    pub(crate) async fn upload(&self, apps: &Apps, team: &str) {
        for content in [self.archive.clone(), self.manifest.to_bytes().expect("JSON")] {
            apps.put_blob(team, body(content), PutOptions::default()).await.expect("a blob");
        }
    }
}

fn memory() -> Apps {
    Apps::new(Arc::new(MemoryBlobStore::new()), Arc::new(MemoryRecords::new()))
}

async fn created(apps: &Apps, app: &str, says: &str) -> Version {
    let bundle = Bundle::of(app, says);
    bundle.upload(apps, TEAM).await;
    match apps.deploy(&by("ada"), TEAM, app, &bundle.deploy(), &any).await.expect("a deploy") {
        Deployment::Created(version) => version,
        other => panic!("{other:?}"),
    }
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("an error").kind()
}

#[tokio::test]
async fn an_archive_alone_is_a_version_each_time_whatever_its_towerfile_is_called() {
    let (apps, ada) = (memory(), by("ada"));
    apps.create(&ada, TEAM, "hello", "").await.expect("an app");
    let bundle = Bundle::of("elsewhere", "hello");
    let artifact = bundle.manifest.artifact.digest;
    assert_eq!(kind(apps.inspect(&artifact).await), ErrorKind::NotFound);
    let archive = body(bundle.archive.clone());
    apps.put_blob(TEAM, archive, PutOptions::default()).await.expect("a blob");
    let inspection = apps.inspect(&artifact).await.expect("an archive");
    for number in 1..=2 {
        let upload = apps.upload(&ada, TEAM, "hello", inspection.clone(), &any);
        let version = upload.await.expect("a version");
        assert_eq!((version.number, version.artifact.digest), (number, artifact));
        assert_eq!(apps.action(&version).await.expect("an action").name, "hello");
        assert_eq!(apps.app(TEAM, "hello").await.expect("an app").active, Some(number));
        assert_eq!(apps.manifest(&version).await.expect("a manifest"), bundle.manifest);
    }
    // Another team has not uploaded it.
    apps.create(&ada, "other", "hello", "").await.expect("an app");
    let stolen = apps.upload(&ada, "other", "hello", inspection.clone(), &any).await;
    assert_eq!(kind(stolen), ErrorKind::NotFound);
    let forbidden = |action: &Action| {
        assert_eq!(action.name, "hello");
        Err(Error::new(ErrorKind::Forbidden, "no"))
    };
    let refused = apps.upload(&ada, TEAM, "hello", inspection, &forbidden).await;
    assert_eq!(kind(refused), ErrorKind::Forbidden);
    assert_eq!(apps.app(TEAM, "hello").await.expect("an app").versions, 2);
}

#[tokio::test]
async fn a_deploy_says_what_is_missing_and_then_makes_a_version() {
    let apps = memory();
    let app = apps.create(&by("ada"), TEAM, "hello", "Greets.").await.expect("an app");
    assert_eq!((app.enabled, app.active, app.versions), (true, None, 0));
    let bundle = Bundle::of("hello", "hello");
    let (deploy, ada) = (bundle.deploy(), by("ada"));
    let missing = apps.deploy(&ada, TEAM, "hello", &deploy, &any).await.expect("an answer");
    let artifact = bundle.manifest.artifact.digest;
    assert_eq!(missing, Deployment::Missing(vec![deploy.manifest, artifact]));
    bundle.upload(&apps, TEAM).await;
    let Deployment::Created(version) =
        apps.deploy(&ada, TEAM, "hello", &deploy, &any).await.expect("an answer")
    else {
        panic!("not created");
    };
    assert_eq!(
        (version.number, version.bundle, version.content),
        (1, deploy.manifest, deploy.content)
    );
    assert_eq!((version.runtime, &*version.created_by), (Runtime::Script, "ada"));
    let again = apps.deploy(&ada, TEAM, "hello", &deploy, &any).await.expect("an answer");
    assert_eq!(again, Deployment::Unchanged(version.clone()));
    let app = apps.app(TEAM, "hello").await.expect("an app");
    assert_eq!((app.active, app.versions), (Some(1), 1));
    assert_eq!(apps.version(TEAM, "hello", 1).await.expect("a version"), version);
    assert_eq!(apps.manifest(&version).await.expect("a manifest"), bundle.manifest);
    let action = apps.action(&version).await.expect("an action");
    assert_eq!(action, Action::new("hello").expect("a name"));
    let file = apps.file(&version, "main.sh", 1_000).await.expect("a file");
    assert_eq!(&*file, b"echo hello\n");
    let towerfile = apps.file(&version, "Towerfile", 1_000).await.expect("a file");
    assert!(towerfile.starts_with(b"[app]"));
    assert_eq!(kind(apps.file(&version, "none", 1_000).await), ErrorKind::NotFound);
    assert_eq!(kind(apps.file(&version, "main.sh", 5).await), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn an_earlier_content_is_activated_again_and_a_version_can_wait() {
    let apps = memory();
    apps.create(&by("ada"), TEAM, "hello", "").await.expect("an app");
    let first = created(&apps, "hello", "one").await;
    let second = created(&apps, "hello", "two").await;
    assert_eq!((first.number, second.number), (1, 2));
    let deploy = Bundle::of("hello", "one").deploy();
    let back = apps.deploy(&by("eve"), TEAM, "hello", &deploy, &any).await.expect("an answer");
    assert_eq!(back, Deployment::Activated(first));
    assert_eq!(apps.app(TEAM, "hello").await.expect("an app").active, Some(1));

    let third = Bundle::of("hello", "three");
    third.upload(&apps, TEAM).await;
    let waits = third.deploy().options(DeployOptions::default().activate(false));
    let uploaded = apps.deploy(&by("eve"), TEAM, "hello", &waits, &any).await.expect("an answer");
    assert!(matches!(uploaded, Deployment::Created(version) if version.number == 3));
    let app = apps.app(TEAM, "hello").await.expect("an app");
    assert_eq!((app.active, app.versions), (Some(1), 3));
    let uploaded = apps.deploy(&by("eve"), TEAM, "hello", &waits, &any).await.expect("an answer");
    assert!(matches!(uploaded, Deployment::Unchanged(version) if version.number == 3));

    let numbers = async |before, limit| -> Vec<u32> {
        let page = apps.versions(TEAM, "hello", before, limit).await.expect("versions");
        page.iter().map(|version| version.number).collect()
    };
    assert_eq!(numbers(None, 2).await, [3, 2]);
    assert_eq!(numbers(Some(2), 2).await, [1]);
    assert_eq!(numbers(Some(1), 2).await, [0; 0]);
    assert_eq!(numbers(Some(99), 0).await, [0; 0]);
}

#[tokio::test]
async fn what_is_wrong_is_refused_and_changes_nothing() {
    let apps = memory();
    let ada = by("ada");
    for name in ["", "ab", "Hello", "api", "a/b", "a b c"] {
        assert_eq!(
            kind(apps.create(&ada, TEAM, name, "").await),
            ErrorKind::InvalidInput,
            "{name}"
        );
    }
    let long = "x".repeat(5_000);
    assert_eq!(kind(apps.create(&ada, TEAM, "hello", &long).await), ErrorKind::InvalidInput);
    apps.create(&ada, TEAM, "hello", "").await.expect("an app");
    assert_eq!(kind(apps.create(&ada, TEAM, "hello", "").await), ErrorKind::Conflict);
    assert_eq!(kind(apps.app(TEAM, "other").await), ErrorKind::NotFound);
    assert_eq!(kind(apps.activate(&ada, TEAM, "hello", 1).await), ErrorKind::NotFound);
    assert_eq!(kind(apps.activate(&ada, TEAM, "other", 1).await), ErrorKind::NotFound);

    let refused = async |bundle: &Bundle, deploy: Deploy, expected: &str| {
        bundle.upload(&apps, TEAM).await;
        let result = apps.deploy(&ada, TEAM, "hello", &deploy, &any).await;
        let error = result.expect_err(expected);
        assert!(error.to_string().contains(expected), "{error} does not contain {expected:?}");
        assert_eq!(apps.app(TEAM, "hello").await.expect("an app").versions, 0);
    };
    let other = Bundle::of("other", "hi");
    refused(&other, other.deploy(), "app.name must be \"hello\"").await;
    let hello = Bundle::of("hello", "hi");
    let lies = Deploy::of(Hasher::of(b"x"), hello.deploy().manifest);
    refused(&hello, lies, "content must be that of the manifest").await;
    let actions = "[app]\nname = \"hello\"\n[tinpot]\nkind = \"actions\"\n";
    let actions = Bundle::with(actions, "hi");
    refused(&actions, actions.deploy(), "manifest: has no actions").await;
    // The archive of another app under the manifest of this one.
    let mut forged = hello.clone();
    forged.manifest.artifact = other.manifest.artifact;
    other.upload(&apps, TEAM).await;
    refused(&forged, forged.deploy(), "must describe the archive").await;
    let mut garbage = hello.clone();
    garbage.archive = b"no archive".to_vec();
    garbage.manifest.artifact.digest = Hasher::of(&garbage.archive);
    refused(&garbage, garbage.deploy(), "tar.gz").await;

    hello.upload(&apps, TEAM).await;
    let never = |_: &Action| Err(Error::new(ErrorKind::Forbidden, "no"));
    let denied = apps.deploy(&ada, TEAM, "hello", &hello.deploy(), &never).await;
    assert_eq!(kind(denied), ErrorKind::Forbidden);
    assert_eq!(apps.app(TEAM, "hello").await.expect("an app").versions, 0);
}

#[tokio::test]
async fn teams_do_not_see_each_others_apps_and_blobs() {
    let apps = memory();
    let bundle = Bundle::of("hello", "hi");
    apps.create(&by("ada"), TEAM, "hello", "").await.expect("an app");
    bundle.upload(&apps, TEAM).await;
    let digest = bundle.manifest.artifact.digest;
    assert!(apps.blob_info("b", &digest).await.expect("an answer").is_none());
    assert!(apps.blob("b", &digest, ByteRange::ALL).await.expect("an answer").is_none());
    assert!(apps.blob(TEAM, &digest, ByteRange::ALL).await.expect("an answer").is_some());
    assert_eq!(kind(apps.app("b", "hello").await), ErrorKind::NotFound);
    assert!(apps.list("b").await.expect("apps").is_empty());
    apps.create(&by("bob"), "b", "hello", "").await.expect("an app");
    let deployed = apps.deploy(&by("bob"), "b", "hello", &bundle.deploy(), &any).await;
    assert!(
        matches!(deployed.expect("an answer"), Deployment::Missing(missing) if missing.len() == 2)
    );
    bundle.upload(&apps, "b").await;
    let deployed = apps.deploy(&by("bob"), "b", "hello", &bundle.deploy(), &any).await;
    let Deployment::Created(version) = deployed.expect("an answer") else { panic!("not created") };
    assert_eq!(apps.action(&version).await.expect("an action").team, "b");
    assert_eq!(apps.list(TEAM).await.expect("apps").len(), 1);
    assert_eq!(apps.list(TEAM).await.expect("apps")[0].versions, 0);
}

#[tokio::test]
async fn an_upload_is_within_the_limits_of_bundles() {
    let mut limits = Limits::default();
    limits.packed_bytes = 10;
    let apps = memory().limits(limits);
    let put =
        async |bytes: usize| apps.put_blob(TEAM, body(vec![0; bytes]), PutOptions::default()).await;
    assert!(put(10).await.is_ok());
    assert_eq!(kind(put(11).await), ErrorKind::InvalidInput);
    let digest = Hasher::of(&[0; 11]);
    assert!(apps.blob_info(TEAM, &digest).await.expect("an answer").is_none());
}

/// The deterministic choices of a test (SplitMix64).
struct Choices(u64);

impl Choices {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct ModelApp {
    contents: Vec<Digest>,
    active: Option<u32>,
    enabled: bool,
}

#[tokio::test]
async fn random_operations_behave_as_a_model() {
    let names = ["one", "two-2", "three"];
    let bundles: BTreeMap<&str, Vec<Bundle>> = names
        .iter()
        .map(|name| (*name, (0..4).map(|says| Bundle::of(name, &says.to_string())).collect()))
        .collect();
    for seed in 0..20 {
        let mut choices = Choices(seed);
        let apps = memory();
        let mut model: BTreeMap<(&str, &str), ModelApp> = BTreeMap::new();
        for _ in 0..60 {
            let team = [TEAM, "b"][choices.below(2) as usize];
            let name = names[choices.below(3) as usize];
            let ada = by("ada");
            let known = model.get_mut(&(team, name));
            match (choices.below(6), known) {
                (0, None) => {
                    apps.create(&ada, team, name, "").await.expect("an app");
                    let app = ModelApp { enabled: true, ..ModelApp::default() };
                    model.insert((team, name), app);
                }
                (0, Some(_)) => {
                    assert_eq!(kind(apps.create(&ada, team, name, "").await), ErrorKind::Conflict);
                }
                (1, Some(app)) => {
                    app.enabled = choices.below(2) == 0;
                    let set = apps.set_enabled(&ada, team, name, app.enabled).await;
                    assert_eq!(set.expect("an app").enabled, app.enabled);
                }
                (2, Some(app)) => {
                    let number = choices.below(5) as u32;
                    let activated = apps.activate(&ada, team, name, number).await;
                    if number >= 1 && number as usize <= app.contents.len() {
                        app.active = Some(number);
                        assert_eq!(activated.expect("an app").active, app.active);
                    } else {
                        assert_eq!(kind(activated), ErrorKind::NotFound);
                    }
                }
                (_, Some(app)) => {
                    let bundle = &bundles[name][choices.below(4) as usize];
                    bundle.upload(&apps, team).await;
                    let activate = choices.below(3) > 0;
                    let deploy =
                        bundle.deploy().options(DeployOptions::default().activate(activate));
                    let answer = apps.deploy(&ada, team, name, &deploy, &any).await;
                    let answer = answer.expect("an answer");
                    let content = bundle.manifest.content;
                    let known = app.contents.iter().position(|other| *other == content);
                    match known.map(|at| at as u32 + 1) {
                        Some(number) if activate && app.active != Some(number) => {
                            app.active = Some(number);
                            assert!(
                                matches!(answer, Deployment::Activated(v) if v.number == number)
                            );
                        }
                        Some(number) => {
                            assert!(
                                matches!(answer, Deployment::Unchanged(v) if v.number == number)
                            );
                        }
                        None => {
                            app.contents.push(content);
                            let number = app.contents.len() as u32;
                            if activate {
                                app.active = Some(number);
                            }
                            assert!(matches!(answer, Deployment::Created(v) if v.number == number));
                        }
                    }
                }
                (_, None) => {
                    assert_eq!(kind(apps.app(team, name).await), ErrorKind::NotFound);
                    let enabled = apps.set_enabled(&ada, team, name, false).await;
                    assert_eq!(kind(enabled), ErrorKind::NotFound);
                    let deploy = bundles[name][0].deploy();
                    let deployed = apps.deploy(&ada, team, name, &deploy, &any).await;
                    assert_eq!(kind(deployed), ErrorKind::NotFound);
                }
            }
            let mut found = BTreeMap::new();
            for team in [TEAM, "b"] {
                for app in apps.list(team).await.expect("apps") {
                    let versions =
                        apps.versions(team, &app.name, None, 100).await.expect("versions");
                    let contents = versions.iter().rev().map(|version| version.content).collect();
                    let numbers: Vec<u32> = versions.iter().rev().map(|v| v.number).collect();
                    assert_eq!(numbers, (1..=app.versions).collect::<Vec<_>>());
                    let name = names.iter().find(|name| ***name == *app.name).expect("a name");
                    let (active, enabled) = (app.active, app.enabled);
                    found.insert((team, *name), ModelApp { contents, active, enabled });
                }
            }
            assert_eq!(found, model, "seed {seed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_writers_number_versions_without_gap_or_repeat() {
    let (blobs, records) = (Arc::new(MemoryBlobStore::new()), Arc::new(MemoryRecords::new()));
    // As of several processes: each has its own lock.
    let process = || Apps::new(blobs.clone(), records.clone());
    process().create(&by("ada"), TEAM, "hello", "").await.expect("an app");
    let writers = (0..4).map(|writer| {
        let apps = process();
        tokio::spawn(async move {
            let mut numbers = Vec::new();
            for round in 0..5 {
                numbers.push(created(&apps, "hello", &format!("{writer}-{round}")).await.number);
            }
            numbers
        })
    });
    let mut numbers = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        numbers.extend(writer.await.expect("a writer"));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
    let app = process().app(TEAM, "hello").await.expect("an app");
    assert_eq!(app.versions, 20);
    assert!(app.active.is_some_and(|active| (1..=20).contains(&active)));
    let versions = process().versions(TEAM, "hello", None, 100).await.expect("versions");
    let numbers: Vec<u32> = versions.iter().rev().map(|version| version.number).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
}

/// Records events, and fails on demand.
#[derive(Debug, Default)]
struct Audit {
    events: Mutex<Vec<String>>,
    fails: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl AuditSink for Audit {
    async fn record(&self, events: &[AuditEvent]) -> Result<()> {
        if self.fails.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::StorageFull, "the disk is full"));
        }
        let mut recorded = self.events.lock().expect("not poisoned");
        recorded.extend(events.iter().map(|event| {
            let AuditEvent { who, what, target, detail, .. } = event;
            let detail = detail.split(", bundle").next().unwrap_or_default();
            format!("{} {what} {}/{} {detail}", who.name, target.team, target.id)
        }));
        Ok(())
    }
}

#[tokio::test]
async fn every_change_is_audited_once_and_fails_without_the_audit() {
    let audit = Arc::new(Audit::default());
    let apps = memory().audit(audit.clone());
    let ada = by("ada");
    apps.create(&ada, TEAM, "hello", "").await.expect("an app");
    created(&apps, "hello", "one").await;
    created(&apps, "hello", "two").await;
    for _ in 0..2 {
        apps.activate(&ada, TEAM, "hello", 1).await.expect("an app");
        apps.set_enabled(&ada, TEAM, "hello", false).await.expect("an app");
    }
    let expected = [
        "ada app.create default/hello ",
        "ada app.upload default/hello version 1",
        "ada app.activate default/hello version 1",
        "ada app.upload default/hello version 2",
        "ada app.activate default/hello version 2 instead of 1",
        "ada app.activate default/hello version 1 instead of 2",
        "ada app.disable default/hello ",
    ];
    assert_eq!(*audit.events.lock().expect("not poisoned"), expected);
    audit.fails.store(true, std::sync::atomic::Ordering::Relaxed);
    let before = apps.app(TEAM, "hello").await.expect("an app");
    assert_eq!(kind(apps.activate(&ada, TEAM, "hello", 2).await), ErrorKind::StorageFull);
    assert_eq!(kind(apps.set_enabled(&ada, TEAM, "hello", true).await), ErrorKind::StorageFull);
    assert_eq!(kind(apps.create(&ada, TEAM, "other", "").await), ErrorKind::StorageFull);
    assert_eq!(apps.app(TEAM, "hello").await.expect("an app"), before);
    assert_eq!(apps.list(TEAM).await.expect("apps").len(), 1);
}

#[tokio::test]
async fn blobs_that_are_gone_are_named() {
    let (blobs, records) = (Arc::new(MemoryBlobStore::new()), Arc::new(MemoryRecords::new()));
    let apps = Apps::new(blobs.clone(), records.clone());
    apps.create(&by("ada"), TEAM, "hello", "").await.expect("an app");
    let version = created(&apps, "hello", "one").await;
    let later = tinpot_core::Timestamp(u64::MAX);
    blobs.delete(&version.towerfile, later).await.expect("an answer");
    let error = apps.action(&version).await.expect_err("a missing blob");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(&version.towerfile.to_string()), "{error}");
    // A damaged record is an error, and no panic.
    let id = format!("{TEAM}/broken");
    records.change(&[Change::create("app", id, "{")]).await.expect("a record");
    assert_eq!(kind(apps.app(TEAM, "broken").await), ErrorKind::Malformed);
}
