//! All credentials of a store, ended together.

use std::time::Duration;

use tinpot_access::{
    ChainAudit, Grant, Grantee, IdentityKey, JoinToken, NewJoinToken, NewToken, RingSuite, Role,
    StoredCredentials, WorkerKeys,
};
use tinpot_core::access::records::Change;
use tinpot_core::access::{Caller, Restoration};
use tinpot_core::seal::{Suite, WorkerLimits};

use crate::support::{World, by};

#[tokio::test]
async fn all_credentials_end_together_and_other_processes_notice() {
    let world = World::new().await;
    let (directory, running) = (&world.directory, world.other().await);
    let (ada, bob) = (world.admin("ada").await, world.user("bob").await);
    directory.set_password_hash(&by(), &ada.id, "$argon2id$x").await.expect("a password");
    let grant = Grant::new(Grantee::Principal(ada.id.clone()), Role::Viewer);
    directory.add_grant(&by(), grant).await.expect("a grant");
    // More than a page; one user may have a hundred.
    let mut tokens = Vec::new();
    for number in 0..105 {
        let owner = if number < 60 { &ada } else { &bob };
        let new = NewToken::new(format!("t{number}"), owner.id.clone());
        tokens.push(directory.create_token(&by(), new).await.expect("a token").0);
    }
    let (cookie, _) = directory.sign_in(&by(), &ada.id).await.expect("a sign-in");
    let caller = Caller::new(&*ada.id).name("ada");
    let life = Duration::from_secs(60);
    let ticket = directory.create_ticket(&caller, "/x", life).await.expect("a ticket");
    let namespace = RingSuite::new(&IdentityKey::generate().expect("a key"));
    let keys = WorkerKeys::builder(world.records.clone()).open().await.expect("keys");
    let new = NewJoinToken::new(WorkerLimits::new("web-*"));
    let (join, _) = keys.create_token(&by(), namespace.public(), new).await.expect("a token");
    assert!(JoinToken::parse(join.expose()).is_ok());
    let records = &*world.records;
    records.change(&[Change::create("of.another", "1", "x")]).await.expect("a change");
    let note = Restoration::new(1, None).change(0).expect("a change");
    records.change(&[note]).await.expect("a change");
    running.refresh().await.expect("changes");
    assert!(running.authenticate_token(tokens[0].expose()).is_ok());

    let audit = ChainAudit::start(world.records.clone(), "node");
    let others = &["of.another"];
    let ended = StoredCredentials::revoke_all(records, others, Some(&audit), &by()).await;
    let ended = ended.expect("all have ended").to_string();
    let says = "1 password (ada), 105 tokens (t";
    assert!(ended.starts_with(says) && ended.contains(", and 95 more)"), "{ended}");
    let says = "1 sign-in, 1 join token, 2 ticket or other credentials";
    assert!(ended.ends_with(says), "{ended}");
    running.refresh().await.expect("changes");
    for token in &tokens {
        assert!(running.authenticate_token(token.expose()).is_err());
    }
    assert!(running.authenticate_sign_in(cookie.expose()).is_err());
    assert!(running.use_ticket(ticket.expose(), "/x").await.expect("an answer").is_err());
    keys.refresh().await.expect("changes");
    assert!(keys.tokens().is_empty());
    assert_eq!(Restoration::of(records).await.expect("none"), None);
    // Users and grants stay.
    assert_eq!((running.users().len(), running.grants().len()), (2, 1));
    let left = StoredCredentials::of(records, others).await.expect("credentials");
    assert!(left.is_empty() && left.to_string() == "1 grant", "{left}");
}
