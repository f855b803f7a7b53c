//! Tickets.

use std::time::Duration;

use futures::future::join_all;
use tinpot_access::Rejection;
use tinpot_core::{Caller, ErrorKind};

use crate::support::{HOUR, MINUTE, World, by, refused};

const PATH: &str = "/api/executions/7/stream";

#[tokio::test]
async fn a_ticket_is_for_one_use_of_one_path() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let caller = Caller::new(ada.id.clone()).via("token:x");
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
