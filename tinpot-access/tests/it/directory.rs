//! Users, groups and the server's admins.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tinpot_access::{Directory, Grant, Grantee, NewToken, NewUser, Role};
use tinpot_core::access::records::Change;
use tinpot_core::access::{AuditDecision, AuditEvent, AuditSink, MemoryRecords, Records};
use tinpot_core::{
    Caller, DEFAULT_TEAM, Decision, Error, ErrorKind, Policy, Result, Right, Target,
};

use crate::support::{World, by, refused};

fn names(directory: &Directory) -> Vec<String> {
    directory.users().iter().map(|user| user.name.to_string()).collect()
}

#[tokio::test]
async fn a_name_belongs_to_one_user_in_whatever_case() {
    let world = World::new().await;
    let ada = world.user("Ada").await;
    let again = world.directory.add_user(&by(), NewUser::new("aDA")).await;
    refused(again, ErrorKind::Conflict, "a user \"aDA\" already");
    assert_eq!(world.directory.user("ADA").map(|user| user.id), Some(ada.id.clone()));
    world.directory.remove_user(&by(), &ada.id).await.expect("a removal");
    assert_eq!(world.directory.user("ada"), None);
    let new = world.user("ada").await;
    assert_ne!(new.id, ada.id, "an id is never used again");
}

#[tokio::test]
async fn names_that_mislead_are_refused() {
    let world = World::new().await;
    for name in ["", " ada", "a b", "a\nb", "a:b", "a/b", "a\"b", &"x".repeat(65)] {
        let added = world.directory.add_user(&by(), NewUser::new(name)).await;
        refused(added, ErrorKind::InvalidInput, "1 to 64 bytes");
        let added = world.directory.add_program(&by(), DEFAULT_TEAM, name).await;
        refused(added, ErrorKind::InvalidInput, "1 to 64 bytes");
    }
    world.user("ada.lovelace+é@example.org").await;
}

#[tokio::test]
async fn the_last_admin_stays_one() {
    let world = World::new().await;
    let directory = &world.directory;
    let (ada, bob) = (world.admin("ada").await, world.user("bob").await);
    let says = "the server needs an admin";
    refused(directory.set_server_admin(&by(), &ada.id, false).await, ErrorKind::Conflict, says);
    refused(directory.set_disabled(&by(), &ada.id, true).await, ErrorKind::Conflict, says);
    refused(directory.remove_user(&by(), &ada.id).await, ErrorKind::Conflict, says);
    directory.set_server_admin(&by(), &bob.id, true).await.expect("another admin");
    directory.set_disabled(&by(), &bob.id, true).await.expect("one is left");
    // One who is disabled is none.
    refused(directory.remove_user(&by(), &ada.id).await, ErrorKind::Conflict, says);
    directory.set_disabled(&by(), &bob.id, false).await.expect("enabled");
    directory.remove_user(&by(), &ada.id).await.expect("one is left");
    assert!(directory.is_server_admin(&bob.id) && !directory.is_server_admin(&ada.id));
}

#[tokio::test]
async fn two_processes_cannot_take_the_last_two_admins_away() {
    let world = World::new().await;
    let (ada, bob) = (world.admin("ada").await, world.admin("bob").await);
    let (one, other) = (world.other().await, world.other().await);
    let (by, says) = (by(), "the server needs an admin");
    let (first, second) = tokio::join!(
        one.set_server_admin(&by, &ada.id, false),
        other.set_disabled(&by, &bob.id, true),
    );
    let (done, failed): (Vec<_>, Vec<_>) =
        [first, second].into_iter().partition(|answer| answer.is_ok());
    assert_eq!((done.len(), failed.len()), (1, 1));
    failed.into_iter().for_each(|failed| refused(failed, ErrorKind::Conflict, says));
}

#[tokio::test]
async fn changes_of_another_process_are_taken_in() {
    let world = World::new().await;
    let other = world.other().await;
    let ada = world.user("ada").await;
    assert!(names(&other).is_empty());
    other.refresh().await.expect("changes");
    assert_eq!(names(&other), ["ada"]);
    let grant = Grant::new(Grantee::Principal(ada.id.clone()), Role::Viewer);
    let grant = other.add_grant(&by(), grant).await.expect("a grant");
    let decide = |directory: &Directory| {
        let target = Target::team(DEFAULT_TEAM);
        directory.rules().decide(&Caller::new(ada.id.clone()), Right::SeeAction, &target)
    };
    assert_eq!((decide(&other), decide(&world.directory)), (Decision::Allow, Decision::Hide));
    let revision = world.directory.rules().revision();
    let before = revision.current();
    world.directory.refresh().await.expect("changes");
    assert_eq!(decide(&world.directory), Decision::Allow);
    assert!(revision.current() > before, "streams are not woken");
    world.directory.remove_grant(&by(), &grant.id).await.expect("a removal");
    let before = revision.current();
    world.directory.refresh().await.expect("no changes");
    assert_eq!(revision.current(), before, "woken for nothing");
    other.refresh().await.expect("changes");
    assert_eq!((decide(&other), decide(&world.directory)), (Decision::Hide, Decision::Hide));
}

#[tokio::test]
async fn a_directory_is_the_same_after_it_is_opened_again() {
    let world = World::new().await;
    let ada = world.admin("ada").await;
    let program = world.directory.add_program(&by(), DEFAULT_TEAM, "ci").await;
    let program = program.expect("a program");
    let grant = Grant::new(Grantee::Group("devs".into()), Role::Developer).queues(&["q-*"]);
    let group = world.directory.set_group(&by(), "devs", std::slice::from_ref(&ada.id)).await;
    group.expect("a group");
    world.directory.add_grant(&by(), grant).await.expect("a grant");
    let new = NewToken::new("deploys", program.id.clone()).scopes(&["run:deploy-*"]);
    let (secret, token) = world.directory.create_token(&by(), new).await.expect("a token");
    let (cookie, _) = world.directory.sign_in(&by(), &ada.id).await.expect("a sign-in");
    // More changes than are remembered for readers of changes.
    for number in 0..10_100 {
        let id = number.to_string();
        let version = world.records.change(&[Change::create("x", &*id, "")]).await.expect("one");
        world.records.change(&[Change::remove("x", &*id, version)]).await.expect("a removal");
    }
    let other = world.other().await;
    assert_eq!(other.users(), world.directory.users());
    assert_eq!(other.programs(), std::slice::from_ref(&program));
    assert_eq!(other.groups(), world.directory.groups());
    assert_eq!(other.grants(), world.directory.grants());
    assert_eq!(other.tokens(), [token]);
    assert!(other.is_server_admin(&ada.id));
    let known = other.authenticate_token(secret.expose()).expect("a caller");
    assert_eq!((&known.caller.id, &*known.caller.team), (&program.id, DEFAULT_TEAM));
    other.authenticate_sign_in(cookie.expose()).expect("a caller");
}

#[tokio::test]
async fn unknown_names_are_not_found() {
    let world = World::new().await;
    let directory = &world.directory;
    let not_found = ErrorKind::NotFound;
    refused(directory.remove_user(&by(), "user:x").await, not_found, "no user \"user:x\"");
    refused(directory.remove_program(&by(), "x").await, not_found, "no program \"x\"");
    refused(directory.remove_group(&by(), "x").await, not_found, "no group \"x\"");
    refused(directory.remove_grant(&by(), "x").await, not_found, "no grant \"x\"");
    refused(directory.revoke_token(&by(), "x").await, not_found, "no token \"x\"");
    refused(directory.sign_out(&by(), "x").await, not_found, "no sign-in \"x\"");
    for to in [Grantee::Principal("user:x".into()), Grantee::Group("x".into())] {
        let added = directory.add_grant(&by(), Grant::new(to, Role::Admin)).await;
        refused(added, not_found, "x\"");
    }
    let added = directory.set_group(&by(), "devs", &["user:x".into()]).await;
    refused(added, not_found, "no user");
}

/// An audit that fails on demand.
#[derive(Debug, Default)]
struct Audit(Mutex<(bool, Vec<AuditEvent>)>);

#[async_trait]
impl AuditSink for Audit {
    async fn record(&self, events: &[AuditEvent]) -> Result<()> {
        let (fails, kept) = &mut *self.0.lock().expect("a lock");
        if *fails {
            return Err(Error::new(ErrorKind::StorageFull, "the disk is full"));
        }
        kept.extend_from_slice(events);
        Ok(())
    }
}

#[tokio::test]
async fn a_change_is_recorded_or_not_made() {
    let audit = Arc::new(Audit::default());
    let records: Arc<dyn Records> = Arc::new(MemoryRecords::new());
    let directory = Directory::builder(records).audit(audit.clone()).open().await;
    let directory = directory.expect("a directory");
    let ada = directory.add_user(&by(), NewUser::new("ada")).await.expect("a user");
    let (secret, token) =
        directory.create_token(&by(), NewToken::new("ci", ada.id.clone())).await.expect("a token");
    audit.0.lock().expect("a lock").0 = true;
    let says = "nothing was changed, since the audit failed";
    refused(directory.revoke_token(&by(), &token.id).await, ErrorKind::StorageFull, says);
    directory.authenticate_token(secret.expose()).expect("it was not revoked");
    let recorded = std::mem::take(&mut audit.0.lock().expect("a lock").1);
    let what: Vec<&str> = recorded.iter().map(|event| &*event.what).collect();
    assert_eq!(what, ["user.add", "token.create"]);
    assert_eq!((&recorded[0].target.id, &*recorded[0].detail), (&ada.id, "ada"));
    assert_eq!(&*recorded[1].target.id, &*token.id);
    assert!(recorded.iter().all(|event| event.decision == AuditDecision::Allowed));
    let text = format!("{recorded:?}");
    assert!(!text.contains(secret.expose()) && !text.contains("tpt_"), "{text}");
}

#[tokio::test]
async fn names_that_look_like_others_are_refused() {
    let world = World::new().await;
    for name in
        ["ad\u{200b}a", "\u{202e}ada", "ada\u{ad}", "a\u{2060}da", "ada\u{fe0f}", "\u{3164}"]
    {
        let added = world.directory.add_user(&by(), NewUser::new(name)).await;
        refused(added, ErrorKind::InvalidInput, "characters that are not seen");
    }
    for name in ["ada", "zo\u{eb}", "\u{7530}\u{4e2d}", "ada.l-2@example.org"] {
        world.directory.add_user(&by(), NewUser::new(name)).await.expect("a user");
    }
}

#[tokio::test]
async fn a_set_up_that_fails_uses_no_ticket_up() {
    let audit = Arc::new(Audit::default());
    let records: Arc<dyn Records> = Arc::new(MemoryRecords::new());
    let directory = Directory::builder(records).audit(audit.clone()).open().await;
    let directory = directory.expect("a directory");
    let ticket = directory.create_set_up_ticket().await.expect("a ticket");
    audit.0.lock().expect("a lock").0 = true;
    let failed = directory.set_up(ticket.expose(), NewUser::new("ada")).await;
    refused(failed, ErrorKind::StorageFull, "the audit failed");
    assert!(!directory.has_users());
    audit.0.lock().expect("a lock").0 = false;
    let answer = directory.set_up(ticket.expose(), NewUser::new("ada")).await;
    answer.expect("an answer").expect("a sign-in");
    let recorded = std::mem::take(&mut audit.0.lock().expect("a lock").1);
    let what: Vec<&str> = recorded.iter().map(|event| &*event.what).collect();
    assert_eq!(what, ["user.add", "grant.add", "sign_in"]);
}

/// Another process promotes the user whom this one still takes for a lesser one.
#[tokio::test]
async fn the_power_over_a_user_is_checked_with_the_change() {
    let world = World::new().await;
    world.admin("root").await;
    let ada = world.user("ada").await;
    let team = world.directory.for_team();
    let grant = Grant::new(Grantee::Principal(ada.id.clone()), Role::Viewer);
    let grant = team.add_grant(&by(), grant).await.expect("a grant");
    world.other().await.set_server_admin(&by(), &ada.id, true).await.expect("an admin");
    assert!(!team.is_server_admin(&ada.id), "this one does not know yet");
    let says = "can only be changed by another one";
    let token = team.create_token(&by(), NewToken::new("x", ada.id.clone())).await;
    refused(token, ErrorKind::Forbidden, says);
    refused(team.set_password_hash(&by(), &ada.id, "x").await, ErrorKind::Forbidden, says);
    refused(team.set_disabled(&by(), &ada.id, true).await, ErrorKind::Forbidden, says);
    refused(team.remove_user(&by(), &ada.id).await, ErrorKind::Forbidden, says);
    refused(team.remove_grant(&by(), &grant.id).await, ErrorKind::Forbidden, says);
    let new = NewUser::new("eve").server_admin();
    refused(team.add_user(&by(), new).await, ErrorKind::Forbidden, says);
    world.directory.remove_user(&by(), &ada.id).await.expect("an admin of the server may");
}
