//! Packed apps for tests.

use std::fs;
use std::io::Read;
use std::sync::Arc;

use serde_json::{Value, json};
use tinpot_bundle::{
    Apps, Deploy, Deployment, Manifest, MemoryBlobStore, PackOptions, PutOptions, Version, body,
    pack,
};
use tinpot_core::access::{AuditWho, MemoryRecords};

/// A packed app.
pub(crate) struct Bundle {
    pub(crate) manifest: Manifest,
    pub(crate) archive: Vec<u8>,
}

impl Bundle {
    /// Packs an app whose script says this.
    pub(crate) fn of(name: &str, says: &str) -> Self {
        Self::with(&format!("[app]\nname = \"{name}\"\nscript = \"main.sh\"\n"), says)
    }

    /// Packs an app with this Towerfile.
    pub(crate) fn with(towerfile: &str, says: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Towerfile"), towerfile).unwrap();
        fs::write(folder.path().join("main.sh"), format!("echo {says}\n")).unwrap();
        let mut packed = pack(folder.path(), &PackOptions::default()).unwrap();
        let mut archive = Vec::new();
        packed.archive.read_to_end(&mut archive).unwrap();
        Self { manifest: packed.manifest, archive }
    }

    pub(crate) fn name(&self) -> &str {
        self.manifest.towerfile["name"].as_str().unwrap()
    }

    /// The body of its deploy.
    pub(crate) fn body(&self) -> Value {
        json!({
            "content": self.manifest.content,
            "manifest": self.manifest.digest().unwrap(),
            "archive": self.manifest.artifact.digest,
        })
    }

    /// Its blobs, by digest.
    pub(crate) fn blobs(&self) -> [(String, Vec<u8>); 2] {
        let manifest = self.manifest.to_bytes().unwrap();
        [
            (self.manifest.digest().unwrap().to_string(), manifest),
            (self.manifest.artifact.digest.to_string(), self.archive.clone()),
        ]
    }
}

pub(crate) fn memory_apps() -> Apps {
    Apps::new(Arc::new(MemoryBlobStore::new()), Arc::new(MemoryRecords::new()))
}

/// Creates the app of a bundle in a team, and deploys it.
pub(crate) async fn deployed(apps: &Apps, team: &str, bundle: &Bundle) -> Version {
    let by = AuditWho::new("user", "user:ada", "ada");
    apps.create(&by, team, bundle.name(), "").await.unwrap();
    for (_, content) in bundle.blobs() {
        apps.put_blob(team, body(content), PutOptions::default()).await.unwrap();
    }
    let deploy = Deploy::new(&bundle.manifest).unwrap();
    match apps.deploy(&by, team, bundle.name(), &deploy, &|_| Ok(())).await.unwrap() {
        Deployment::Created(version) => version,
        other => panic!("{other:?}"),
    }
}
