//! Sign-in with a password.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tinpot_access::{
    AUDIT_LOG, ChainAudit, Directory, Login, LoginRefused, NewUser, PasswordCost, Passwords, Secret,
};
use tinpot_core::ErrorKind;
use tinpot_core::access::{MemoryRecords, Records};

use crate::passwords::cheap;
use crate::support::{Hand, World, by, refused as refused_by};

const RIGHT: &str = "correct horse battery";
const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

async fn with_ada(passwords: &Passwords) -> World {
    let world = World::new().await;
    let hash = passwords.hash("ada", Secret::new(RIGHT)).await.expect("a hash");
    let ada = NewUser::new("ada").password_hash(hash);
    world.directory.add_user(&by(), ada).await.expect("a user");
    world
}

async fn refused(login: &Login, name: &str, password: &str) -> LoginRefused {
    let answer = login.sign_in(name, Secret::new(password), HOME, false).await;
    answer.expect("an answer").expect_err("it is refused")
}

#[tokio::test]
async fn the_right_password_signs_in_and_every_other_answer_is_the_same() {
    let world = with_ada(&cheap()).await;
    world.user("bob").await;
    let login = Login::new(world.directory.clone(), cheap());
    for (name, password) in [("ada", "wrong"), ("bob", RIGHT), ("eve", RIGHT)] {
        assert_eq!(refused(&login, name, password).await, LoginRefused::Wrong, "{name}");
    }
    let signed_in = login.sign_in("Ada", Secret::new(RIGHT), HOME, false).await;
    let (secret, _) = signed_in.expect("an answer").expect("a sign-in");
    let known = world.directory.authenticate_sign_in(secret.expose()).expect("a caller");
    assert_eq!(&*known.caller.name, "ada");
    let ada = world.directory.user("ada").expect("a user");
    world.directory.set_disabled(&by(), &ada.id, true).await.expect("a change");
    assert_eq!(refused(&login, "ada", RIGHT).await, LoginRefused::Wrong);
}

#[tokio::test]
async fn a_password_that_was_changed_during_the_sign_in_is_refused() {
    let world = with_ada(&cheap()).await;
    let ada = world.directory.user("ada").expect("a user");
    let login = Login::new(world.directory.clone(), cheap());
    // Another process changes it, and this one compares with what it knew before.
    let new = "another horse battery";
    let hash = cheap().hash("ada", Secret::new(new)).await.expect("a hash");
    world.other().await.set_password_hash(&by(), &ada.id, &hash).await.expect("a change");
    assert_eq!(refused(&login, "ada", RIGHT).await, LoginRefused::Wrong);
    assert!(world.directory.sign_ins(&ada.id).is_empty());
    let signed_in = login.sign_in("ada", Secret::new(new), HOME, false).await;
    let (secret, _) = signed_in.expect("an answer").expect("a sign-in");
    world.directory.authenticate_sign_in(secret.expose()).expect("a caller");
}

#[tokio::test]
async fn guesses_have_to_wait() {
    let world = with_ada(&cheap()).await;
    let login = Login::new(world.directory.clone(), cheap());
    for _ in 0..6 {
        assert_eq!(refused(&login, "ada", "wrong").await, LoginRefused::Wrong);
    }
    let wait = std::time::Duration::from_secs(1);
    assert_eq!(refused(&login, "ada", RIGHT).await, LoginRefused::Wait(wait));
    world.clock.pass(wait);
    login.sweep().await.expect("swept");
    let signed_in = login.sign_in("ada", Secret::new(RIGHT), HOME, false).await;
    signed_in.expect("an answer").expect("a sign-in");
    for _ in 0..6 {
        assert_eq!(refused(&login, "ada", "wrong").await, LoginRefused::Wrong);
    }
}

#[tokio::test]
async fn an_outdated_hash_is_renewed_at_the_next_sign_in() {
    let costly = Passwords::new(PasswordCost::default().memory_kib(128)).expect("a hasher");
    let world = with_ada(&costly).await;
    let stored = async || {
        let ada = world.directory.user("ada").expect("a user");
        let found = world.records.get("user", &ada.id).await.expect("a read").expect("a record");
        String::from_utf8(found.document.to_vec()).expect("UTF-8")
    };
    assert!(stored().await.contains("m=128"));
    let login = Login::new(world.directory.clone(), cheap());
    for _ in 0..2 {
        let signed_in = login.sign_in("ada", Secret::new(RIGHT), HOME, false).await;
        signed_in.expect("an answer").expect("a sign-in");
        let stored = stored().await;
        assert!(stored.contains("m=64"), "{stored}");
        assert!(stored.contains("\"generation\":0"), "the password is the same: {stored}");
    }
}

#[tokio::test]
async fn a_password_is_changed_by_who_knows_the_current_one() {
    let world = with_ada(&cheap()).await;
    let login = Login::new(world.directory.clone(), cheap());
    let signed_in = login.sign_in("ada", Secret::new(RIGHT), HOME, false).await;
    let (old, sign_in) = signed_in.expect("an answer").expect("a sign-in");
    let change = async |current: &str, new: &str| {
        let (current, new) = (Secret::new(current), Secret::new(new));
        login.change_password(&sign_in.user, current, new, HOME).await
    };
    let new = "another horse battery";
    let wrong = change("wrong", new).await.expect("an answer");
    assert_eq!(wrong.map(|_| ()), Err(LoginRefused::Wrong));
    assert!(change(RIGHT, "short").await.is_err());
    world.directory.authenticate_sign_in(old.expose()).expect("nothing has changed");
    let (secret, _) = change(RIGHT, new).await.expect("an answer").expect("a sign-in");
    world.directory.authenticate_sign_in(old.expose()).expect_err("it has ended");
    world.directory.authenticate_sign_in(secret.expose()).expect("a caller");
    assert_eq!(refused(&login, "ada", RIGHT).await, LoginRefused::Wrong);
    let signed_in = login.sign_in("ada", Secret::new(new), HOME, false).await;
    signed_in.expect("an answer").expect("a sign-in");
}

#[tokio::test]
async fn a_storm_of_refusals_is_few_entries_in_the_audit() {
    let records: Arc<dyn Records> = Arc::new(MemoryRecords::new());
    let audit = Arc::new(ChainAudit::start(records.clone(), "test"));
    let clock = Hand::new();
    let directory = Directory::builder(records).clock(clock.clone()).audit(audit.clone());
    let login = Login::new(directory.open().await.expect("a directory"), cheap());
    let whys = async || {
        let entries = audit.entries(AUDIT_LOG, 0, 100).await.expect("entries");
        entries.into_iter().map(|entry| entry.event.why).collect::<Vec<_>>()
    };
    for number in 0..10 {
        let name = format!("guess-{number}");
        assert_eq!(refused(&login, &name, "wrong").await, LoginRefused::Wrong);
    }
    assert_eq!(whys().await, ["wrong name or password"]);
    clock.pass(Duration::from_secs(1));
    refused(&login, "guess", "wrong").await;
    refused(&login, "guess", "wrong").await;
    assert_eq!(whys().await[1], "wrong name or password; 9 more from this network");
    clock.pass(Duration::from_secs(1));
    login.sweep().await.expect("swept");
    assert_eq!(whys().await[2..], ["1 more from this network"]);
}

#[tokio::test]
async fn a_password_that_was_replaced_meanwhile_changes_nothing() {
    let world = with_ada(&cheap()).await;
    let ada = world.directory.user("ada").expect("a user");
    let login = Login::new(world.directory.clone(), cheap());
    // It was stolen, and another process has replaced it.
    let new = "another horse battery";
    let hash = cheap().hash("ada", Secret::new(new)).await.expect("a hash");
    world.other().await.set_password_hash(&by(), &ada.id, &hash).await.expect("a change");
    let (stolen, of_thief) = (Secret::new(RIGHT), Secret::new("a horse of the thief"));
    let changed = login.change_password(&ada.id, stolen, of_thief, HOME).await;
    refused_by(changed, ErrorKind::Conflict, "was changed meanwhile");
    let signed_in = login.sign_in("ada", Secret::new(new), HOME, false).await;
    signed_in.expect("an answer").expect("a sign-in");
}

#[tokio::test]
async fn the_audit_names_only_known_users() {
    let records: Arc<dyn Records> = Arc::new(MemoryRecords::new());
    let audit = Arc::new(ChainAudit::start(records.clone(), "test"));
    let clock = Hand::new();
    let directory = Directory::builder(records).clock(clock.clone()).audit(audit.clone());
    let directory = directory.open().await.expect("a directory");
    directory.add_user(&by(), NewUser::new("ada")).await.expect("a user");
    let login = Login::new(directory, cheap());
    // A password in the field of the name.
    refused(&login, RIGHT, "").await;
    clock.pass(Duration::from_secs(1));
    refused(&login, "ADA", "wrong").await;
    let entries = audit.entries(AUDIT_LOG, 0, 100).await.expect("entries");
    let details: Vec<&str> = entries.iter().map(|entry| &*entry.event.detail).collect();
    assert_eq!(details, ["ada", "", "ada"]);
}
