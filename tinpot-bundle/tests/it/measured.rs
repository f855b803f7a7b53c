//! The ends of deploys, as they are measured.

use std::sync::{Arc, Mutex};

use tinpot_bundle::{Apps, MemoryBlobStore};
use tinpot_core::access::records::MemoryRecords;
use tinpot_core::observer::{DeployEnd, Measure, Observer};

use crate::apps::{Bundle, TEAM, any, by};

#[derive(Debug, Default)]
struct Seen(Mutex<Vec<DeployEnd>>);

impl Observer for Seen {
    fn observe(&self, measure: &Measure<'_>) {
        if let Measure::Deployed(end) = measure {
            self.0.lock().expect("no test has failed").push(*end);
        }
    }
}

#[tokio::test]
async fn each_deploy_is_measured_once_when_it_has_ended() {
    let seen = Arc::new(Seen::default());
    let apps = Apps::new(Arc::new(MemoryBlobStore::new()), Arc::new(MemoryRecords::new()));
    let (apps, ada) = (apps.observer(seen.clone()), by("ada"));
    let bundle = Bundle::of("hello", "one");
    let deploy = async |bundle: &Bundle, app: &str| {
        let _ = apps.deploy(&ada, TEAM, app, &bundle.deploy(), &any).await;
        std::mem::take(&mut *seen.0.lock().expect("no test has failed"))
    };
    assert_eq!(deploy(&bundle, "hello").await, [DeployEnd::Refused], "there is no such app");
    apps.create(&ada, TEAM, "hello", "").await.expect("an app");
    assert!(deploy(&bundle, "hello").await.is_empty(), "the blobs are missing");
    bundle.upload(&apps, TEAM).await;
    assert_eq!(deploy(&bundle, "hello").await, [DeployEnd::Created]);
    assert_eq!(deploy(&bundle, "hello").await, [DeployEnd::Unchanged]);
    let other = Bundle::of("hello", "two");
    other.upload(&apps, TEAM).await;
    assert_eq!(deploy(&other, "hello").await, [DeployEnd::Created]);
    assert_eq!(deploy(&bundle, "hello").await, [DeployEnd::Activated]);
}
