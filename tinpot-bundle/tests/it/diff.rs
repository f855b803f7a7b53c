//! Differences between versions.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use tinpot_bundle::{
    Apps, Deploy, Deployment, MemoryBlobStore, PackOptions, PutOptions, TextChange, Version, body,
    pack,
};
use tinpot_core::access::MemoryRecords;

use crate::apps::{TEAM, any, by};

async fn deployed(apps: &Apps, folder: &Path) -> Version {
    let mut packed = pack(folder, &PackOptions::default()).expect("a bundle");
    let mut archive = Vec::new();
    packed.archive.read_to_end(&mut archive).expect("an archive");
    for content in [archive, packed.manifest.to_bytes().expect("JSON")] {
        apps.put_blob(TEAM, body(content), PutOptions::default()).await.expect("a blob");
    }
    let deploy = Deploy::new(&packed.manifest).expect("a manifest");
    match apps.deploy(&by("ada"), TEAM, "hello", &deploy, &any).await.expect("a deploy") {
        Deployment::Created(version) => version,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn files_are_compared_by_their_lines_as_far_as_they_are_text() {
    let apps = Apps::new(Arc::new(MemoryBlobStore::new()), Arc::new(MemoryRecords::new()));
    apps.create(&by("ada"), TEAM, "hello", "").await.expect("an app");
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, content: &[u8]| {
        fs::write(folder.path().join(name), content).expect("a file");
    };
    put("Towerfile", b"[app]\nname = \"hello\"\nscript = \"main.sh\"\n");
    put("main.sh", b"echo one\n");
    put("same", b"the same\n");
    put("gone", b"a\nb");
    put("data", &[0, 1, 2]);
    put("latin", b"caf\xe9\n");
    put("large", &vec![b'x'; 300 << 10]);
    put("mode", b"#!/bin/sh\n");
    symlink("same", folder.path().join("link")).expect("a link");
    let first = deployed(&apps, folder.path()).await;

    put("main.sh", b"echo one\necho two\n");
    put("new", b"new\n");
    put("data", &[0, 1, 3]);
    put("latin", b"cafe\n");
    put("large", &vec![b'y'; 300 << 10]);
    fs::remove_file(folder.path().join("gone")).expect("a file");
    fs::remove_file(folder.path().join("link")).expect("a link");
    symlink("new", folder.path().join("link")).expect("a link");
    let mode = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path().join("mode"), mode).expect("a mode");
    let second = deployed(&apps, folder.path()).await;

    let unified = |text: &str| TextChange::Unified(text.to_owned());
    let changes = apps.diff(&first, &second, true).await.expect("a diff");
    let found: Vec<_> = changes.iter().map(|change| (&*change.path, change.text.clone())).collect();
    assert_eq!(
        found,
        [
            ("data", TextChange::Binary),
            ("gone", unified("@@ -1,2 +0,0 @@\n-a\n-b\n\\ No newline at end of file\n")),
            ("large", TextChange::TooLarge),
            ("latin", TextChange::Binary),
            ("link", unified("")),
            ("main.sh", unified("@@ -1 +1,2 @@\n echo one\n+echo two\n")),
            ("mode", unified("")),
            ("new", unified("@@ -0,0 +1 @@\n+new\n")),
        ]
    );
    assert!(changes[1].new.is_none() && changes[7].old.is_none());
    let names = apps.diff(&first, &second, false).await.expect("a diff");
    assert_eq!(names.len(), changes.len());
    assert!(names.iter().all(|change| change.text == TextChange::LeftOut));
    assert!(apps.diff(&second, &second, true).await.expect("a diff").is_empty());
}
