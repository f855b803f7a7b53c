//! API tokens.

use std::time::Duration;

use tinpot_access::{Directory, ForeignToken, NewToken, Rejection};
use tinpot_core::{Caller, Digest, Error, ErrorKind, Timestamp};

use crate::support::{DAY, HOUR, MINUTE, World, by, refused};

#[tokio::test]
async fn a_token_speaks_for_its_principal_until_it_ends() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let new = NewToken::new("laptop", ada.id.clone()).lifetime(DAY);
    let (secret, token) = world.directory.create_token(&by(), new).await.expect("a token");
    let known = world.directory.authenticate_token(secret.expose()).expect("a caller");
    assert_eq!((&known.caller.id, &*known.caller.name), (&ada.id, "ada"));
    assert_eq!(*known.caller.via, format!("token:{}", token.id));
    assert_eq!(known.valid_until, token.expires);
    world.clock.pass(DAY - Duration::from_micros(1));
    world.directory.authenticate_token(secret.expose()).expect("a caller");
    world.clock.pass(Duration::from_micros(1));
    let expired = world.directory.authenticate_token(secret.expose()).expect_err("it has ended");
    let says = format!("token {} expired at 2027-01-16T08:00:00.000000Z: run", token.id);
    assert!(expired.to_string().starts_with(&says), "{expired}");
}

#[tokio::test]
async fn wrong_tokens_are_told_apart_from_typing_errors() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let new = || NewToken::new("laptop", ada.id.clone());
    let (secret, token) = world.directory.create_token(&by(), new()).await.expect("a token");
    let text = secret.expose().to_owned();
    let authenticate = |text: &str| world.directory.authenticate_token(text);
    for wrong in ["", "Bearer x", &text[..52], &text.replace("tpt_", "tpx_")] {
        let rejected = authenticate(wrong).expect_err("no token");
        assert!(rejected.to_string().contains("typing error"), "{rejected}");
    }
    let elsewhere = World::new().await;
    let bob = elsewhere.user("bob").await;
    let foreign = elsewhere.directory.create_token(&by(), NewToken::new("x", bob.id)).await;
    let (foreign, _) = foreign.expect("a token");
    assert_eq!(authenticate(foreign.expose()), Err(Rejection::Unknown));
    world.directory.revoke_token(&by(), &token.id).await.expect("a revocation");
    assert_eq!(authenticate(&text), Err(Rejection::Unknown));
    let (secret, _) = world.directory.create_token(&by(), new()).await.expect("a token");
    world.directory.set_disabled(&by(), &ada.id, true).await.expect("a change");
    assert_eq!(authenticate(secret.expose()), Err(Rejection::Disabled));
    world.directory.set_disabled(&by(), &ada.id, false).await.expect("a change");
    authenticate(secret.expose()).expect("a caller");
    world.directory.remove_user(&by(), &ada.id).await.expect("a removal");
    assert_eq!(authenticate(secret.expose()), Err(Rejection::Unknown));
    assert!(world.directory.tokens().is_empty());
}

#[tokio::test]
async fn both_secrets_of_a_rotated_token_are_valid_for_the_overlap() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let new = NewToken::new("laptop", ada.id.clone()).lifetime(30 * DAY);
    let (first, token) = world.directory.create_token(&by(), new).await.expect("a token");
    let valid = |secret: &tinpot_access::Secret| {
        world.directory.authenticate_token(secret.expose()).is_ok()
    };
    world.clock.pass(10 * DAY);
    let rotated = world.directory.rotate_token(&by(), &token.id, DAY).await;
    let (second, rotated) = rotated.expect("a rotation");
    assert_eq!((&rotated.id, &rotated.scopes), (&token.id, &token.scopes));
    assert!(valid(&first) && valid(&second));
    world.clock.pass(DAY);
    assert!(!valid(&first) && valid(&second));
    // A third secret leaves only one before it.
    let (third, _) = world.directory.rotate_token(&by(), &token.id, DAY).await.expect("one more");
    let (fourth, _) = world.directory.rotate_token(&by(), &token.id, DAY).await.expect("one more");
    assert!(!valid(&second) && valid(&third) && valid(&fourth));
    // The lifetime begins again with each rotation, and does not grow.
    world.clock.pass(30 * DAY - HOUR);
    assert!(valid(&fourth));
    world.clock.pass(HOUR);
    assert!(!valid(&fourth));
    // An expired secret does not come back with the overlap.
    let (fifth, _) = world.directory.rotate_token(&by(), &token.id, DAY).await.expect("one more");
    assert!(!valid(&fourth) && valid(&fifth));
    let (sixth, _) =
        world.directory.rotate_token(&by(), &token.id, Duration::ZERO).await.expect("one more");
    assert!(!valid(&fifth) && valid(&sixth));
    let long = world.directory.rotate_token(&by(), &token.id, 31 * DAY).await;
    refused(long, ErrorKind::InvalidInput, "at most 30 days");
}

#[tokio::test]
async fn bounds_and_scopes_of_new_tokens_are_checked() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let new = || NewToken::new("laptop", ada.id.clone());
    let many = ["read"; 51];
    let long = format!("run:{}", "x".repeat(200));
    for (new, says) in [
        (new().lifetime(367 * DAY), "at most 366 days"),
        (new().lifetime(Duration::ZERO), "at most 366 days"),
        (new().scopes(&[]), "1 to 50 scopes (got 0)"),
        (new().scopes(&many), "1 to 50 scopes (got 51)"),
        (new().scopes(&["write"]), "no scope \"write\"; there are all, read, run"),
        (new().scopes(&["all:deploy"]), "takes no actions"),
        (new().scopes(&["run:"]), "no action behind the colon"),
        (new().scopes(&[&long]), "at most 200 bytes"),
        (NewToken::new("", ada.id.clone()), "name of a token"),
        (NewToken::new("a\nb", ada.id.clone()), "name of a token"),
    ] {
        let created = world.directory.create_token(&by(), new).await;
        refused(created, ErrorKind::InvalidInput, says);
    }
    let created = world.directory.create_token(&by(), NewToken::new("x", "user:x")).await;
    refused(created, ErrorKind::NotFound, "no user or program");
    for _ in 0..100 {
        world.directory.create_token(&by(), new()).await.expect("a token");
    }
    let created = world.directory.create_token(&by(), new()).await;
    refused(created, ErrorKind::InvalidInput, "at most 100 tokens");
}

#[tokio::test]
async fn a_token_without_end_has_none_and_makes_tokens_only_with_its_scope() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let create = async |scopes: &[&str]| {
        let new = NewToken::new("x", ada.id.clone()).scopes(scopes).never_expires();
        let (secret, _) = world.directory.create_token(&by(), new).await.expect("a token");
        world.directory.authenticate_token(secret.expose()).expect("a caller")
    };
    let all = create(&["all"]).await;
    assert_eq!(all.valid_until, None);
    world.clock.pass(3_000 * DAY);
    let tokens = create(&["read", "tokens"]).await;
    let (cookie, _) = world.directory.sign_in(&by(), &ada.id).await.expect("a sign-in");
    let person = world.directory.authenticate_sign_in(cookie.expose()).expect("a caller");
    let may = |known: &tinpot_access::Known| world.directory.may_make_tokens(&known.caller);
    assert_eq!((may(&all), may(&tokens), may(&person)), (false, true, true));
}

#[tokio::test]
async fn a_token_makes_none_that_gives_more_or_lasts_longer() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let make = async |caller: Option<Caller>, scopes: &[&str], days: Option<u32>| {
        let mut new = NewToken::new("x", ada.id.clone()).scopes(scopes).never_expires();
        if let Some(days) = days {
            new = new.lifetime(days * DAY);
        }
        if let Some(caller) = caller {
            new = new.asked_by(caller);
        }
        let (secret, _) = world.directory.create_token(&by(), new).await?;
        let known = world.directory.authenticate_token(secret.expose());
        Ok::<_, Error>(known.expect("a caller").caller)
    };
    let held = ["read", "run:deploy-*", "tokens"];
    let maker = make(None, &held, Some(30)).await.expect("a token");
    let reader = make(None, &["all"], None).await.expect("a token");
    let makers = make(None, &["all", "tokens"], None).await.expect("a token");
    let beyond = "has its scopes, read, run:deploy-*, tokens, or parts of them";
    for (caller, scopes, days, says) in [
        (&maker, ["all"], Some(1), beyond),
        (&maker, ["run"], Some(1), beyond),
        (&maker, ["run:*"], Some(1), beyond),
        (&maker, ["run:restore"], Some(1), beyond),
        (&maker, ["metrics"], Some(1), beyond),
        (&maker, ["read"], Some(31), "must end by 2027-02-14T"),
        (&maker, ["read"], None, "(got no end)"),
        (&reader, ["read"], Some(1), "it needs the scope \"tokens\""),
    ] {
        refused(make(Some(caller.clone()), &scopes, days).await, ErrorKind::Forbidden, says);
    }
    for scope in ["read", "read:deploy-*", "run:deploy-web", "run:deploy-*-eu", "tokens"] {
        make(Some(maker.clone()), &[scope], Some(30)).await.expect(scope);
    }
    make(Some(makers), &["all", "metrics", "run:*"], None).await.expect("all");
    let (cookie, _) = world.directory.sign_in(&by(), &ada.id).await.expect("a sign-in");
    let person = world.directory.authenticate_sign_in(cookie.expose()).expect("a caller");
    make(Some(person.caller), &["all"], Some(90)).await.expect("a person has all rights");
}

#[tokio::test]
async fn the_last_use_is_written_once_in_five_minutes() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let created = world.directory.create_token(&by(), NewToken::new("x", ada.id)).await;
    let (secret, _) = created.expect("a token");
    let revision = async || world.records.change(&[]).await.expect("a revision");
    let maintain = async || world.directory.maintain().await.expect("maintenance");
    let authenticate =
        || drop(world.directory.authenticate_token(secret.expose()).expect("a caller"));
    let before = revision().await;
    maintain().await;
    assert_eq!(revision().await, before, "it was not used");
    authenticate();
    maintain().await;
    let first = revision().await;
    assert_eq!(first, before + 1);
    for _ in 0..4 {
        world.clock.pass(MINUTE);
        authenticate();
        maintain().await;
    }
    assert_eq!(revision().await, first);
    let rules = world.directory.rules();
    let woken = tinpot_core::Policy::revision(&rules).current();
    world.clock.pass(MINUTE);
    authenticate();
    maintain().await;
    assert_eq!(revision().await, first + 1);
    assert_eq!(tinpot_core::Policy::revision(&rules).current(), woken, "no right has changed");
    let used = world.other().await.tokens()[0].last_used;
    assert_eq!(used, Some(tinpot_access::Clock::now(&world.clock)));
}

#[tokio::test]
async fn tokens_of_another_system_go_on_and_leave_room_for_others() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let text = format!("mtk_{}", "A".repeat(43));
    let digest = "657d6217bc791bcded61887305f847e864790f71debaa56ca54c6b56941cfeb5";
    let created = Timestamp(7);
    let one = ForeignToken::new("ci", digest.parse().expect("a digest"), created);
    let others = (1..Directory::MAX_FOREIGN_TOKENS as u8)
        .map(|byte| ForeignToken::new("login", Digest::from([byte; 32]), created));
    let all: Vec<_> = std::iter::once(one.clone()).chain(others).collect();
    let directory = &world.directory;
    let added = directory.add_foreign_tokens(&by(), &ada.id, &all).await.expect("tokens");
    assert_eq!((added.len(), added[0].created), (all.len(), created));
    world.clock.pass(400 * DAY);
    let known = directory.authenticate_token(&text).expect("a caller");
    assert_eq!((&known.caller.id, known.valid_until), (&ada.id, None));

    let again = directory.add_foreign_tokens(&by(), &ada.id, &[one]).await;
    refused(again, ErrorKind::InvalidInput, "known already");
    let more = ForeignToken::new("x", Digest::from([250; 32]), created);
    let many = vec![more; Directory::MAX_FOREIGN_TOKENS + 1];
    let many = directory.add_foreign_tokens(&by(), &ada.id, &many).await;
    refused(many, ErrorKind::InvalidInput, "at most 200");
    // They do not count.
    directory.create_token(&by(), NewToken::new("laptop", ada.id)).await.expect("a token");
    directory.revoke_token(&by(), &added[0].id).await.expect("a revocation");
    assert_eq!(directory.authenticate_token(&text), Err(Rejection::Unknown));
}
