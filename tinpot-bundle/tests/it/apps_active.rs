//! Apps as the actions of a coordinator.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tinpot_bundle::{Apps, DeployOptions, Deployment, MemoryBlobStore};
use tinpot_core::access::records::{Change, Changed, MemoryRecords, Record, Records};
use tinpot_core::executor::{ActionSet, ScopedExecutor};
use tinpot_core::{
    Action, Coordinator, Error, ErrorKind, Json, MemoryNetwork, MemoryStore, Outcome, Result,
    Worker,
};

use crate::apps::{Bundle, TEAM, any, by};

/// Records that refuse, on demand, to record the active version.
#[derive(Debug, Default)]
struct Failing {
    records: MemoryRecords,
    fails: AtomicBool,
}

#[async_trait]
impl Records for Failing {
    async fn change(&self, changes: &[Change]) -> Result<u64> {
        let is_version = changes.iter().any(|change| &*change.kind == "app.version");
        let is_app = changes.iter().any(|change| &*change.kind == "app");
        if is_app && !is_version && self.fails.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::StorageFull, "the disk is full"));
        }
        self.records.change(changes).await
    }

    async fn get(&self, kind: &str, id: &str) -> Result<Option<Record>> {
        self.records.get(kind, id).await
    }

    async fn list(&self, kind: &str, after: &str, limit: usize) -> Result<Vec<Record>> {
        self.records.list(kind, after, limit).await
    }

    async fn changed(&self, after: u64) -> Result<Changed> {
        self.records.changed(after).await
    }

    fn stamp(&self) -> Option<u64> {
        self.records.stamp()
    }

    async fn append(&self, log: &str, after: Option<u64>, entries: &[Bytes]) -> Result<u64> {
        self.records.append(log, after, entries).await
    }

    async fn entries(&self, log: &str, after: u64, limit: usize) -> Result<Vec<(u64, Bytes)>> {
        self.records.entries(log, after, limit).await
    }

    async fn trim(&self, log: &str, up_to: u64) -> Result<()> {
        self.records.trim(log, up_to).await
    }
}

/// Stores that outlive a coordinator.
#[derive(Default)]
pub(crate) struct Disk {
    network: MemoryNetwork,
    store: Arc<MemoryStore>,
    blobs: Arc<MemoryBlobStore>,
    records: Arc<Failing>,
}

impl Disk {
    pub(crate) async fn start(&self) -> (Coordinator, Apps) {
        let coordinator = Coordinator::builder(self.network.transport()).store(self.store.clone());
        let coordinator = coordinator.start().await.expect("it starts");
        let apps = Apps::new(self.blobs.clone(), self.records.clone());
        let apps = apps.attach(coordinator.clone()).await.expect("apps");
        (coordinator, apps)
    }

    /// Sets whether the active version of an app can be recorded.
    pub(crate) fn fails(&self, yes: bool) {
        self.records.fails.store(yes, Ordering::Relaxed);
    }

    /// Starts a worker that returns the version of each attempt.
    async fn worker(&self, offer: ActionSet) -> Worker {
        let executor = ScopedExecutor::new(offer, |attempt, _| async move {
            let version = attempt.bundle.map(|bundle| bundle.version);
            Outcome::Succeeded(Json::serialize(&version).expect("JSON"))
        });
        let worker = Worker::builder(self.network.transport()).executor(executor);
        worker.start().await.expect("a worker")
    }
}

async fn deploy(apps: &Apps, says: &str) -> Result<Deployment> {
    let bundle = Bundle::of("hello", says);
    bundle.upload(apps, TEAM).await;
    apps.deploy(&by("ada"), TEAM, "hello", &bundle.deploy(), &any).await
}

async fn created(apps: &Apps, says: &str) -> u32 {
    match deploy(apps, says).await.expect("a deploy") {
        Deployment::Created(version) => version.number,
        other => panic!("{other:?}"),
    }
}

/// Runs the app, and returns the version that ran.
async fn ran(coordinator: &Coordinator) -> u32 {
    let run = coordinator.call::<u32>("hello", ());
    tokio::time::timeout(Duration::from_secs(60), run).await.expect("an end").expect("a version")
}

fn held(coordinator: &Coordinator) -> (u32, bool) {
    let catalogue = coordinator.catalogue();
    let deployed = catalogue["hello"].action.deployed.clone().expect("a version");
    (deployed.version, deployed.enabled)
}

#[tokio::test]
async fn the_active_version_runs_and_a_disabled_app_does_not() {
    let disk = Disk::default();
    let (coordinator, apps) = disk.start().await;
    let _worker = disk.worker(ActionSet::default().runtime("script")).await;
    apps.create(&by("ada"), TEAM, "hello", "").await.expect("an app");
    assert!(coordinator.catalogue().is_empty());
    assert_eq!(created(&apps, "one").await, 1);
    assert_eq!(ran(&coordinator).await, 1);
    assert_eq!(created(&apps, "two").await, 2);
    assert_eq!(ran(&coordinator).await, 2);
    apps.activate(&by("ada"), TEAM, "hello", 1).await.expect("a rollback");
    assert_eq!(ran(&coordinator).await, 1);
    let waits = Bundle::of("hello", "three");
    waits.upload(&apps, TEAM).await;
    let waits = waits.deploy().options(DeployOptions::default().activate(false));
    apps.deploy(&by("ada"), TEAM, "hello", &waits, &any).await.expect("a version");
    assert_eq!(ran(&coordinator).await, 1);
    apps.set_enabled(&by("ada"), TEAM, "hello", false).await.expect("disabled");
    let refused = coordinator.submit("hello", Json::empty_object()).await;
    assert!(refused.expect_err("disabled").message().contains("is disabled"));
    apps.set_enabled(&by("ada"), TEAM, "hello", true).await.expect("enabled");
    assert_eq!(ran(&coordinator).await, 1);

    coordinator.shutdown().await;
    let (coordinator, apps) = disk.start().await;
    assert_eq!(held(&coordinator), (1, true));
    assert_eq!(apps.app(TEAM, "hello").await.expect("an app").versions, 3);
    assert_eq!(ran(&coordinator).await, 1);
}

#[tokio::test]
async fn the_coordinator_decides_about_what_a_crash_left() {
    let disk = Disk::default();
    let (coordinator, apps) = disk.start().await;
    apps.create(&by("ada"), TEAM, "hello", "").await.expect("an app");
    created(&apps, "one").await;
    disk.records.fails.store(true, Ordering::Relaxed);
    let failed = deploy(&apps, "two").await.expect_err("a full disk");
    assert_eq!(failed.kind(), ErrorKind::StorageFull);
    assert_eq!(held(&coordinator), (2, true));
    assert_eq!(apps.app(TEAM, "hello").await.expect("an app").active, Some(1));
    disk.records.fails.store(false, Ordering::Relaxed);
    coordinator.shutdown().await;
    let (coordinator, apps) = disk.start().await;
    assert_eq!(held(&coordinator), (2, true));
    assert_eq!(apps.app(TEAM, "hello").await.expect("an app").active, Some(2));
    coordinator.shutdown().await;
    // Without its store, the coordinator gets the apps again.
    let lost = Disk { store: Arc::default(), network: MemoryNetwork::new(), ..disk };
    let (coordinator, _apps) = lost.start().await;
    assert_eq!(held(&coordinator), (2, true));
}

#[tokio::test]
async fn a_version_that_the_coordinator_refuses_is_not_active() {
    let disk = Disk::default();
    let (coordinator, apps) = disk.start().await;
    let own = ActionSet::new([Action::new("hello").expect("a name")]);
    let worker = disk.worker(own).await;
    let mut catalogue = coordinator.watch_catalogue();
    let known = catalogue.wait_for(|known| known.contains_key("hello"));
    tokio::time::timeout(Duration::from_secs(60), known).await.expect("in time").expect("known");
    apps.create(&by("ada"), TEAM, "hello", "").await.expect("an app");
    let refused = deploy(&apps, "one").await.expect_err("the name is taken");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("offers an action of this name"), "{refused}");
    let app = apps.app(TEAM, "hello").await.expect("an app");
    assert_eq!((app.active, app.versions), (None, 1));
    worker.shutdown(Duration::ZERO).await;
    let mut workers = coordinator.changes();
    let gone = async {
        while !coordinator.workers().await.expect("it lives").is_empty() {
            workers.next().await.expect("it lives");
        }
    };
    tokio::time::timeout(Duration::from_secs(60), gone).await.expect("in time");
    let again = deploy(&apps, "one").await.expect("a deploy");
    assert!(matches!(again, Deployment::Activated(version) if version.number == 1));
    assert_eq!(held(&coordinator), (1, true));
}
