//! Tickets.

use std::time::Duration;

use futures::future::join_all;
use tinpot_access::{NewToken, NewUser, Rejection};
use tinpot_core::{Caller, ErrorKind};

use crate::support::{HOUR, MINUTE, World, by, refused};

const PATH: &str = "/api/executions/7/stream";

#[tokio::test]
async fn a_ticket_is_for_one_use_of_one_path() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let new = NewToken::new("ci", ada.id.clone()).lifetime(HOUR);
    let (_, token) = world.directory.create_token(&by(), new).await.expect("a token");
    let caller = Caller::new(ada.id.clone()).via(format!("token:{}", token.id));
    let create = async || {
        let ticket = world.directory.create_ticket(&caller, PATH, MINUTE).await.expect("a ticket");
        ticket.expose().to_owned()
    };
    let used = async |secret: &str, path| {
        world.directory.use_ticket(secret, path).await.expect("an answer")
    };
    let ticket = create().await;
    let known = used(&ticket, PATH).await.expect("a caller");
    assert_eq!((&known.caller.id, &*known.caller.name), (&ada.id, "ada"));
    assert_eq!(known.caller.via, caller.via, "it ends with its token");
    assert_eq!(used(&ticket, PATH).await, Err(Rejection::Unknown));
    // A wrong path uses it up, too.
    let ticket = create().await;
    assert_eq!(used(&ticket, "/api/executions/8/stream").await, Err(Rejection::Unknown));
    assert_eq!(used(&ticket, PATH).await, Err(Rejection::Unknown));
    assert_eq!(used("", PATH).await, Err(Rejection::Unknown));
    let ticket = create().await;
    world.clock.pass(MINUTE);
    let expired = used(&ticket, PATH).await;
    assert!(matches!(expired, Err(Rejection::Expired { .. })), "{expired:?}");
    let ticket = create().await;
    world.directory.set_disabled(&by(), &ada.id, true).await.expect("disabled");
    assert_eq!(used(&ticket, PATH).await, Err(Rejection::Disabled));
}

#[tokio::test]
async fn of_many_uses_in_several_processes_one_succeeds() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let ticket = world.directory.create_ticket(&Caller::new(ada.id), PATH, MINUTE).await;
    let ticket = ticket.expect("a ticket");
    let others = [world.other().await, world.other().await, world.directory.clone()];
    let uses = (0..9).map(|number| others[number % 3].use_ticket(ticket.expose(), PATH));
    let answers = join_all(uses).await;
    let accepted = answers.into_iter().filter(|answer| matches!(answer, Ok(Ok(_)))).count();
    assert_eq!(accepted, 1);
}

#[tokio::test]
async fn tickets_are_bounded_and_removed_when_they_have_ended() {
    let world = World::new().await;
    let caller = Caller::new(world.user("ada").await.id);
    let long = world.directory.create_ticket(&caller, PATH, HOUR + Duration::from_secs(1)).await;
    refused(long, ErrorKind::InvalidInput, "at most 3600 s");
    let long = world.directory.create_ticket(&caller, &"x".repeat(2_049), MINUTE).await;
    refused(long, ErrorKind::InvalidInput, "at most 2048 bytes");
    world.directory.create_ticket(&caller, PATH, MINUTE).await.expect("a ticket");
    world.directory.create_ticket(&caller, PATH, HOUR).await.expect("a ticket");
    let left = async || world.records.list("ticket", "", 10).await.expect("a list").len();
    world.directory.maintain().await.expect("maintenance");
    assert_eq!(left().await, 2);
    world.clock.pass(MINUTE);
    world.directory.maintain().await.expect("maintenance");
    assert_eq!(left().await, 1);
}

#[tokio::test]
async fn a_ticket_ends_with_the_token_or_sign_in_that_made_it() {
    let world = World::new().await;
    let directory = &world.directory;
    let ada = world.user("ada").await;
    let new = NewToken::new("ci", ada.id.clone()).lifetime(HOUR);
    let (_, token) = directory.create_token(&by(), new).await.expect("a token");
    let (_, sign_in) = directory.sign_in(&by(), &ada.id).await.expect("a sign-in");
    let of = |via: String| Caller::new(ada.id.clone()).via(via);
    let callers = [of(format!("token:{}", token.id)), of(format!("sign-in:{}", sign_in.id))];
    let mut tickets = Vec::new();
    for caller in &callers {
        tickets.push(directory.create_ticket(caller, PATH, HOUR).await.expect("a ticket"));
        let used = directory.create_ticket(caller, PATH, HOUR).await.expect("a ticket");
        let known = directory.use_ticket(used.expose(), PATH).await.expect("an answer");
        assert!(known.expect("a caller").valid_until.is_some());
    }
    // By another process, which this one has not heard of.
    let other = world.other().await;
    other.revoke_token(&by(), &token.id).await.expect("revoked");
    other.sign_out_everywhere(&by(), &ada.id).await.expect("signed out");
    for ticket in tickets {
        let answer = directory.use_ticket(ticket.expose(), PATH).await.expect("an answer");
        assert_eq!(answer, Err(Rejection::Unknown));
    }
    // Nor does a ticket outlive a token that has expired.
    let (_, token) = directory
        .create_token(&by(), NewToken::new("ci", ada.id.clone()).lifetime(MINUTE))
        .await
        .expect("a token");
    let caller = Caller::new(ada.id.clone()).via(format!("token:{}", token.id));
    let ticket = directory.create_ticket(&caller, PATH, HOUR).await.expect("a ticket");
    world.clock.pass(MINUTE);
    let answer = directory.use_ticket(ticket.expose(), PATH).await.expect("an answer");
    assert!(matches!(answer, Err(Rejection::Expired { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_set_up_ticket_makes_the_first_admin_once() {
    let world = World::new().await;
    let directory = &world.directory;
    assert!(!directory.has_users());
    let ticket = directory.create_set_up_ticket().await.expect("a ticket");
    let other = directory.create_set_up_ticket().await.expect("a ticket");
    let old = directory.create_set_up_ticket().await.expect("a ticket");
    // It is no ticket for anything else.
    let answer = directory.sign_in_by_ticket(other.expose()).await.expect("an answer");
    assert_eq!(answer.map(|_| ()), Err(Rejection::Unknown));
    let wrong = directory.set_up(ticket.expose(), NewUser::new("a b")).await;
    refused(wrong, ErrorKind::InvalidInput, "blanks");
    let answer = directory.set_up("guess", NewUser::new("eve")).await.expect("an answer");
    assert_eq!(answer.map(|_| ()), Err(Rejection::Unknown));
    let answer = directory.set_up(ticket.expose(), NewUser::new("ada")).await.expect("an answer");
    let (secret, _) = answer.expect("a sign-in");
    let known = directory.authenticate_sign_in(secret.expose()).expect("a caller");
    assert!(directory.is_server_admin(&known.caller.id));
    assert_eq!(directory.grants().len(), 1);
    let again = directory.set_up(old.expose(), NewUser::new("eve")).await;
    refused(again, ErrorKind::Conflict, "has users already");
}

#[tokio::test]
async fn a_sign_in_ticket_signs_its_user_in_once() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let ticket = world.directory.create_sign_in_ticket(&ada.id, MINUTE).await.expect("a ticket");
    let answer = world.directory.sign_in_by_ticket(ticket.expose()).await.expect("an answer");
    let (secret, _) = answer.expect("a sign-in");
    let known = world.directory.authenticate_sign_in(secret.expose()).expect("a caller");
    assert_eq!(known.caller.id, ada.id);
    let answer = world.directory.sign_in_by_ticket(ticket.expose()).await.expect("an answer");
    assert_eq!(answer.map(|_| ()), Err(Rejection::Unknown));
}

#[tokio::test]
async fn two_set_up_tickets_make_one_admin() {
    let world = World::new().await;
    let (one, other) = (world.other().await, world.other().await);
    let first = one.create_set_up_ticket().await.expect("a ticket");
    let second = other.create_set_up_ticket().await.expect("a ticket");
    let (ada, eve) = tokio::join!(
        one.set_up(first.expose(), NewUser::new("ada")),
        other.set_up(second.expose(), NewUser::new("eve")),
    );
    let (done, failed): (Vec<_>, Vec<_>) = [ada, eve].into_iter().partition(|one| one.is_ok());
    assert_eq!((done.len(), failed.len()), (1, 1));
    failed.into_iter().for_each(|one| refused(one, ErrorKind::Conflict, "has users already"));
    world.directory.refresh().await.expect("changes");
    assert_eq!((world.directory.users().len(), world.directory.grants().len()), (1, 1));
}
