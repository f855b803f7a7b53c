//! Apps that are folders of Python actions.

use tinpot_bundle::{Apps, DeployOptions, Deployment};
use tinpot_core::{Action, Coordinator, Error, ErrorKind, ListOptions, Result};

use crate::apps::{Bundle, TEAM, any, by};
use crate::apps_active::Disk;

async fn deploy(apps: &Apps, app: &str, bundle: &Bundle) -> Result<u32> {
    if apps.app(TEAM, app).await.is_err() {
        apps.create(&by("ada"), TEAM, app, "").await.expect("an app");
    }
    bundle.upload(apps, TEAM).await;
    match apps.deploy(&by("ada"), TEAM, app, &bundle.deploy(), &any).await? {
        Deployment::Created(version) => Ok(version.number),
        other => panic!("{other:?}"),
    }
}

async fn folder(apps: &Apps, app: &str, actions: &[&str]) -> Result<u32> {
    deploy(apps, app, &Bundle::folder(app, actions)).await
}

/// Returns the enabled actions with their apps.
fn enabled(coordinator: &Coordinator) -> Vec<(String, String)> {
    let catalogue = coordinator.catalogue();
    let deployed = catalogue.values().filter_map(|entry| {
        let deployed = entry.action.deployed.as_ref().filter(|deployed| deployed.enabled)?;
        let app = deployed.app.as_deref().unwrap_or(&entry.action.name);
        Some((entry.action.name.clone(), app.to_owned()))
    });
    deployed.collect()
}

fn of(app: &str, actions: &[&str]) -> Vec<(String, String)> {
    actions.iter().map(|action| ((*action).to_owned(), app.to_owned())).collect()
}

#[tokio::test]
async fn the_actions_of_an_app_are_those_of_its_active_version() {
    let disk = Disk::default();
    let (coordinator, apps) = disk.start().await;
    folder(&apps, "tools", &["add", "sub"]).await.expect("a version");
    assert_eq!(enabled(&coordinator), of("tools", &["add", "sub"]));
    folder(&apps, "tools", &["mul", "sub"]).await.expect("a version");
    assert_eq!(enabled(&coordinator), of("tools", &["mul", "sub"]));
    let app = apps.app(TEAM, "tools").await.expect("an app");
    assert_eq!((app.action_names(), app.actions.len()), (vec!["mul", "sub"], 3));
    // The folder becomes a program, and a folder again.
    deploy(&apps, "tools", &Bundle::of("tools", "hello")).await.expect("a version");
    assert_eq!(enabled(&coordinator), of("tools", &["tools"]));
    folder(&apps, "tools", &["mul"]).await.expect("a version");
    assert_eq!(enabled(&coordinator), of("tools", &["mul"]));
    apps.activate(&by("ada"), TEAM, "tools", 1).await.expect("a rollback");
    assert_eq!(enabled(&coordinator), of("tools", &["add", "sub"]));
    apps.set_enabled(&by("ada"), TEAM, "tools", false).await.expect("disabled");
    assert_eq!(enabled(&coordinator), []);
    coordinator.shutdown().await;

    let (coordinator, apps) = disk.start().await;
    let app = apps.app(TEAM, "tools").await.expect("an app");
    assert_eq!((app.active, app.enabled, enabled(&coordinator)), (Some(1), false, Vec::new()));
    apps.set_enabled(&by("ada"), TEAM, "tools", true).await.expect("enabled");
    assert_eq!(enabled(&coordinator), of("tools", &["add", "sub"]));
}

#[tokio::test]
async fn a_program_that_becomes_a_folder_is_no_action_of_its_name() {
    let (coordinator, apps) = Disk::default().start().await;
    deploy(&apps, "tools", &Bundle::of("tools", "hello")).await.expect("a version");
    folder(&apps, "tools", &["add"]).await.expect("a version");
    assert_eq!(enabled(&coordinator), of("tools", &["add"]));
    apps.activate(&by("ada"), TEAM, "tools", 1).await.expect("a rollback");
    assert_eq!(enabled(&coordinator), of("tools", &["tools"]));
}

#[tokio::test]
async fn a_name_belongs_to_one_app() {
    let (coordinator, apps) = Disk::default().start().await;
    folder(&apps, "tools", &["add"]).await.expect("a version");
    let taken = folder(&apps, "other", &["add", "sub"]).await.expect_err("a name is taken");
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    assert!(taken.to_string().contains("action \"add\" belongs to app \"tools\""), "{taken}");
    let taken = deploy(&apps, "add", &Bundle::of("add", "x")).await.expect_err("a name is taken");
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    assert_eq!(apps.app(TEAM, "other").await.expect("an app").versions, 0);

    // Versions that are not active have no names yet.
    let waits = Bundle::folder("other", &["sub"]);
    waits.upload(&apps, TEAM).await;
    let waits = waits.deploy().options(DeployOptions::default().activate(false));
    apps.deploy(&by("ada"), TEAM, "other", &waits, &any).await.expect("a version");
    folder(&apps, "tools", &["sub"]).await.expect("a version");
    let late = apps.activate(&by("ada"), TEAM, "other", 1).await.expect_err("a name is taken");
    assert_eq!(late.kind(), ErrorKind::Conflict);
    assert_eq!(enabled(&coordinator), of("tools", &["sub"]));
}

#[tokio::test]
async fn a_folder_must_have_each_action_once_and_no_settings_of_programs() {
    let (_coordinator, apps) = Disk::default().start().await;
    for (actions, part) in [(&["add", "add"][..], "\"add\" twice"), (&[], "1 to 1000 actions")] {
        let wrong = folder(&apps, "tools", actions).await.expect_err("a rule is broken");
        assert_eq!(wrong.kind(), ErrorKind::InvalidInput);
        assert!(wrong.to_string().contains(part), "{wrong}");
    }
    // An archive alone tells nothing of its actions.
    let bundle = Bundle::folder("tools", &["add"]);
    bundle.upload(&apps, TEAM).await;
    let archive = bundle.manifest.artifact.digest;
    let alone = apps
        .deploy_archive(&by("ada"), TEAM, "tools", &archive, None, DeployOptions::default(), &any)
        .await;
    let alone = alone.expect_err("no actions").to_string();
    assert!(alone.contains("tinpot deploy"), "{alone}");
}

#[tokio::test]
async fn an_archive_is_imported_only_where_its_caller_may_deploy() {
    let (coordinator, apps) = Disk::default().start().await;
    let bundle = Bundle::folder("tools", &["add"]);
    bundle.upload(&apps, TEAM).await;
    let archive = bundle.manifest.artifact.digest;
    let options = DeployOptions::default().create(true);
    let may = |action: &Action| match &*action.queue {
        "night" => Ok(()),
        other => Err(Error::new(ErrorKind::Forbidden, format!("not queue {other}"))),
    };
    let deploy = async |app: &str, may: &(dyn Fn(&Action) -> Result<()> + Sync)| {
        let by = by("ada");
        let deployed = apps.deploy_archive(&by, TEAM, app, &archive, None, options, may).await;
        deployed.expect_err("refused")
    };
    let refused = deploy("tools", &may).await;
    assert_eq!((refused.kind(), refused.message()), (ErrorKind::Forbidden, "not queue default"));
    let other = deploy("other", &any).await;
    assert!(other.message().contains("app.name must be \"other\""), "{other}");
    let ran = coordinator.executions(&ListOptions::new()).await.expect("a list");
    assert_eq!(ran.len(), 0, "{ran:?}");
}

#[tokio::test]
async fn what_a_crash_left_of_a_deploy_counts() {
    let disk = Disk::default();
    let (coordinator, apps) = disk.start().await;
    folder(&apps, "tools", &["add"]).await.expect("a version");
    disk.fails(true);
    let failed = folder(&apps, "tools", &["sub"]).await.expect_err("a full disk");
    assert_eq!(failed.kind(), ErrorKind::StorageFull);
    disk.fails(false);
    coordinator.shutdown().await;
    let (coordinator, apps) = disk.start().await;
    let app = apps.app(TEAM, "tools").await.expect("an app");
    assert_eq!((app.active, app.enabled, app.action_names()), (Some(2), true, vec!["sub"]));
    assert_eq!(enabled(&coordinator), of("tools", &["sub"]));
}

#[tokio::test]
async fn the_names_of_an_app_that_was_removed_are_free() {
    let disk = Disk::default();
    let (coordinator, apps) = disk.start().await;
    folder(&apps, "tools", &["add", "sub"]).await.expect("a version");
    let enabled_still = apps.remove(&by("ada"), TEAM, "tools").await.expect_err("it is enabled");
    assert_eq!(enabled_still.kind(), ErrorKind::Conflict);
    apps.set_enabled(&by("ada"), TEAM, "tools", false).await.expect("disabled");
    apps.remove(&by("ada"), TEAM, "tools").await.expect("removed");
    assert_eq!(apps.app(TEAM, "tools").await.expect_err("none").kind(), ErrorKind::NotFound);
    assert_eq!(enabled(&coordinator), []);
    // Another app has one of the names, and the app is made again.
    folder(&apps, "other", &["add"]).await.expect("a version");
    assert_eq!(folder(&apps, "tools", &["mul"]).await.expect("a version"), 1);
    apps.set_enabled(&by("ada"), TEAM, "tools", false).await.expect("disabled");
    coordinator.shutdown().await;
    let (coordinator, apps) = disk.start().await;
    let app = apps.app(TEAM, "tools").await.expect("an app");
    assert_eq!((app.active, app.enabled), (Some(1), false));
    assert_eq!(enabled(&coordinator), of("other", &["add"]));
}

#[tokio::test]
async fn an_app_with_many_versions_is_removed() {
    let (_coordinator, apps) = Disk::default().start().await;
    for number in 0..300 {
        let bundle = Bundle::folder("tools", &[&format!("add{number}")]);
        if number == 0 {
            apps.create(&by("ada"), TEAM, "tools", "").await.expect("an app");
        }
        bundle.upload(&apps, TEAM).await;
        let deploy = bundle.deploy().options(DeployOptions::default().activate(false));
        apps.deploy(&by("ada"), TEAM, "tools", &deploy, &any).await.expect("a version");
    }
    apps.remove(&by("ada"), TEAM, "tools").await.expect("removed");
    assert_eq!(folder(&apps, "tools", &["add"]).await.expect("a version"), 1);
}
