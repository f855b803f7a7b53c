//! Sign-ins.

use tinpot_access::{Rejection, Secret};
use tinpot_core::{ErrorKind, Policy};

use crate::support::{DAY, HOUR, MINUTE, World, by, refused};

async fn sign_in(world: &World, user: &str) -> (Secret, String) {
    let (secret, sign_in) = world.directory.sign_in(&by(), user).await.expect("a sign-in");
    (secret, sign_in.id.to_string())
}

fn valid(world: &World, secret: &Secret) -> bool {
    world.directory.authenticate_sign_in(secret.expose()).is_ok()
}

#[tokio::test]
async fn a_sign_in_ends_when_it_is_idle_and_after_a_week() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let (secret, _) = sign_in(&world, &ada.id).await;
    let known = world.directory.authenticate_sign_in(secret.expose()).expect("a caller");
    assert_eq!((&known.caller.id, &*known.caller.name), (&ada.id, "ada"));
    world.clock.pass(12 * HOUR - MINUTE);
    assert!(valid(&world, &secret));
    world.clock.pass(12 * HOUR - MINUTE);
    assert!(valid(&world, &secret), "it was used meanwhile");
    world.clock.pass(12 * HOUR);
    let rejected = world.directory.authenticate_sign_in(secret.expose());
    assert!(matches!(rejected, Err(Rejection::Expired { token: None, .. })), "{rejected:?}");
    let (secret, _) = sign_in(&world, &ada.id).await;
    for _ in 0..27 {
        world.clock.pass(6 * HOUR);
        assert!(valid(&world, &secret));
    }
    world.clock.pass(6 * HOUR);
    assert!(!valid(&world, &secret), "a week has passed");
}

#[tokio::test]
async fn each_sign_in_has_a_secret_of_its_own() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let (first, id) = sign_in(&world, &ada.id).await;
    let (second, _) = sign_in(&world, &ada.id).await;
    assert_ne!(first.expose(), second.expose());
    assert_eq!(first.expose().len(), 43);
    assert!(!valid(&world, &Secret::new(&*id)), "the id is no secret");
    let digest = world.records.list("sign_in", "", 1).await.expect("a list")[0].id.to_string();
    assert!(!valid(&world, &Secret::new(digest)), "what is stored is no secret");
    let revision = world.directory.rules().revision();
    let before = revision.current();
    world.directory.sign_out(&by(), &id).await.expect("the end");
    assert!(revision.current() > before, "streams go on");
    assert!(!valid(&world, &first) && valid(&world, &second));
}

#[tokio::test]
async fn every_sign_in_ends_with_a_new_password_a_disabled_user_and_on_demand() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let directory = &world.directory;
    let (of_bob, _) = sign_in(&world, &bob.id).await;
    let (secret, _) = sign_in(&world, &ada.id).await;
    directory.set_password_hash(&by(), &ada.id, "$argon2id$").await.expect("a password");
    assert!(!valid(&world, &secret));
    let (secret, _) = sign_in(&world, &ada.id).await;
    directory.sign_out_everywhere(&by(), &ada.id).await.expect("the end");
    assert!(!valid(&world, &secret));
    let (secret, _) = sign_in(&world, &ada.id).await;
    directory.set_disabled(&by(), &ada.id, true).await.expect("disabled");
    assert_eq!(directory.authenticate_sign_in(secret.expose()), Err(Rejection::Disabled));
    let signed_in = directory.sign_in(&by(), &ada.id).await;
    refused(signed_in, ErrorKind::Conflict, "is disabled");
    directory.set_disabled(&by(), &ada.id, false).await.expect("enabled");
    assert!(!valid(&world, &secret), "it stays ended");
    assert!(valid(&world, &of_bob), "another user");
}

#[tokio::test]
async fn another_process_knows_a_sign_in_and_its_use() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let (secret, _) = sign_in(&world, &ada.id).await;
    world.clock.pass(11 * HOUR);
    assert!(valid(&world, &secret));
    world.directory.maintain().await.expect("maintenance");
    let other = world.other().await;
    world.clock.pass(11 * HOUR);
    other.authenticate_sign_in(secret.expose()).expect("the use was written");
}

#[tokio::test]
async fn what_has_ended_is_removed_and_the_oldest_of_too_many() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let (first, _) = sign_in(&world, &ada.id).await;
    for _ in 0..50 {
        world.clock.pass(MINUTE);
        sign_in(&world, &ada.id).await;
    }
    assert!(!valid(&world, &first), "the oldest of 51");
    assert_eq!(world.directory.sign_ins(&ada.id).len(), 50);
    world.clock.pass(DAY);
    assert!(world.directory.sign_ins(&ada.id).is_empty());
    world.directory.maintain().await.expect("maintenance");
    let left = world.records.list("sign_in", "", 100).await.expect("a list");
    assert!(left.is_empty(), "{left:?}");
}
