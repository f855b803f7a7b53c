//! Enrolled keys of workers, and join tokens.

use std::sync::Arc;
use std::time::Duration;

use tinpot_access::{
    ChainAudit, IdentityKey, JoinToken, NewJoinToken, RingSuite, WorkerKeys, verify_audit,
};
use tinpot_core::access::records::Change;
use tinpot_core::access::{MemoryRecords, Records};
use tinpot_core::seal::{
    CoordinatorOptions, Enrolled, Enroller, JoinClaim, JoinRefusal, JoinRequest, KeyId, Pins,
    RotationClaim, RotationRefusal, Suite, WorkerLimits, join,
};
use tinpot_core::transport::Address;
use tinpot_core::{
    Coordinator, ErrorKind, Failure, FunctionExecutor, MemoryNetwork, Refusal, Result, Worker,
    WorkerId,
};

use crate::support::{DAY, HOUR, Hand, MINUTE, by, refused};

const PATIENCE: Duration = Duration::from_secs(30);

struct Deployment {
    records: Arc<dyn Records>,
    clock: Hand,
    namespace: RingSuite,
    keys: WorkerKeys,
}

fn suite() -> RingSuite {
    RingSuite::new(&IdentityKey::generate().expect("a key"))
}

impl Deployment {
    async fn new() -> Self {
        let records: Arc<dyn Records> = Arc::new(MemoryRecords::new());
        let (clock, namespace) = (Hand::new(), suite());
        let mut deployment =
            Self { keys: open(&records, &clock, &namespace).await, records, clock, namespace };
        deployment.keys = deployment.other().await;
        deployment
    }

    /// Opens the keys as another process does.
    async fn other(&self) -> WorkerKeys {
        open(&self.records, &self.clock, &self.namespace).await
    }

    async fn token(&self, new: NewJoinToken) -> JoinToken {
        let created = self.keys.create_token(&by(), self.namespace.public(), new).await;
        JoinToken::parse(created.expect("a token").0.expose()).expect("a token")
    }
}

async fn open(records: &Arc<dyn Records>, clock: &Hand, namespace: &RingSuite) -> WorkerKeys {
    let keys = WorkerKeys::builder(records.clone()).clock(clock.clone());
    keys.broker_logins(namespace.clone()).open().await.expect("keys")
}

fn limits(names: &str) -> WorkerLimits {
    WorkerLimits::new(names)
}

/// Returns the claim of a worker, as the coordinator has verified it.
fn claim(token: &JoinToken, key: &RingSuite, name: &str) -> JoinClaim {
    let id = KeyId::of(key, &token.public());
    JoinClaim::new(id, key.public(), KeyId::of(key, &key.public()), name, "1")
}

#[tokio::test]
async fn a_token_enrols_as_many_keys_as_it_has_uses_and_no_more_in_all_processes() {
    let deployment = Deployment::new().await;
    let token = deployment.token(NewJoinToken::new(limits("web-*")).uses(3)).await;
    let mut joins = Vec::new();
    for number in 0..12 {
        let (keys, key) = (deployment.other().await, suite());
        let claim = claim(&token, &key, &format!("web-{number}"));
        joins.push(tokio::spawn(async move { (keys.enrol(&claim).await, claim) }));
    }
    let mut joined = 0;
    for join in joins {
        match join.await.expect("it ends") {
            (Ok(Ok(first)), claim) => {
                joined += 1;
                // The answer was lost: the other process gives the same.
                assert_eq!(deployment.keys.enrol(&claim).await.expect("an answer"), Ok(first));
            }
            (Ok(Err(why)), _) => assert_eq!(why, JoinRefusal::Used),
            (Err(error), _) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
        }
    }
    assert_eq!(joined, 3);
    assert_eq!(deployment.keys.keys().len(), 3);
}

#[tokio::test]
async fn each_refusal_has_a_reason_of_its_own() {
    let deployment = Deployment::new().await;
    let keys = &deployment.keys;
    let new = || NewJoinToken::new(limits("web-*")).lifetime(HOUR);
    let (token, key) = (deployment.token(new()).await, suite());
    let why = async |token: &JoinToken, key: &RingSuite, name: &str| {
        keys.enrol(&claim(token, key, name)).await.expect("an answer").expect_err("it is refused")
    };
    let names = JoinRefusal::Name { names: "web-*".to_owned() };
    assert_eq!(why(&token, &key, "db-1").await, names);
    let joined = keys.enrol(&claim(&token, &key, "web-1")).await.expect("an answer");
    assert_eq!(joined.expect("it joins").limits, limits("web-1"));
    assert_eq!(why(&token, &suite(), "web-2").await, JoinRefusal::Used);
    // The same key under another name is another use.
    assert_eq!(why(&token, &key, "web-2").await, JoinRefusal::Used);
    let late = deployment.token(new()).await;
    deployment.clock.pass(HOUR);
    assert!(matches!(why(&late, &suite(), "web-2").await, JoinRefusal::Expired { .. }));
    // A worker that repeats its join late has joined.
    assert!(keys.enrol(&claim(&token, &key, "web-1")).await.expect("an answer").is_ok());
    let id = KeyId::of(&key, &key.public());
    keys.revoke_key(&by(), &id).await.expect("it is revoked");
    assert_eq!(why(&token, &key, "web-1").await, JoinRefusal::Revoked);
    let fresh = deployment.token(new()).await;
    assert_eq!(why(&fresh, &key, "web-1").await, JoinRefusal::Revoked);
    keys.revoke_token(&by(), &KeyId::of(&key, &fresh.public())).await.expect("it is revoked");
    assert_eq!(why(&fresh, &suite(), "web-1").await, JoinRefusal::Unknown);
    let stranger = JoinToken::generate(deployment.namespace.public()).expect("a token");
    assert_eq!(why(&stranger, &suite(), "web-1").await, JoinRefusal::Unknown);
}

#[tokio::test]
async fn what_another_process_revokes_is_gone_after_a_refresh() {
    let deployment = Deployment::new().await;
    let token = deployment.token(NewJoinToken::new(limits("web"))).await;
    let key = suite();
    let id = KeyId::of(&key, &key.public());
    let joined = deployment.keys.enrol(&claim(&token, &key, "web")).await.expect("an answer");
    let login = joined.expect("it joins").broker.expect("a login");
    let other = deployment.other().await;
    assert_eq!(other.broker_user(&login.user, &login.password).as_deref(), Some("web"));
    assert_eq!(other.broker_user(&login.user, "guess"), None);
    let before = other.revision();
    assert!(other.find(&id).is_some());
    deployment.keys.revoke_key(&by(), &id).await.expect("it is revoked");
    other.refresh().await.expect("it is read");
    assert!(other.find(&id).is_none() && other.revision() > before);
    assert_eq!(other.broker_user(&login.user, &login.password), None);
    assert!(other.is_reserved("web") && !other.is_reserved("db"));
    refused(
        other.revoke_key(&by(), &"0".repeat(32).parse().unwrap()).await,
        ErrorKind::NotFound,
        "no key",
    );
}

#[tokio::test]
async fn a_temporary_key_ends_a_day_after_it_was_heard_and_its_name_stays_reserved() {
    let deployment = Deployment::new().await;
    let new = NewJoinToken::new(limits("auto-*")).uses(100).lifetime(30 * DAY).temporary(true);
    let token = deployment.token(new).await;
    let key = suite();
    let id = KeyId::of(&key, &key.public());
    assert!(deployment.keys.enrol(&claim(&token, &key, "auto-1")).await.unwrap().is_ok());
    deployment.clock.pass(20 * HOUR);
    deployment.keys.heard(&[id]);
    deployment.keys.maintain().await.expect("maintenance");
    deployment.clock.pass(20 * HOUR);
    // Another process knows when it was heard.
    let other = deployment.other().await;
    other.maintain().await.expect("maintenance");
    assert!(other.find(&id).is_some());
    deployment.clock.pass(4 * HOUR);
    other.maintain().await.expect("maintenance");
    assert!(other.find(&id).is_none() && other.keys().is_empty());
    assert!(other.is_reserved("auto-1") && !other.is_reserved("auto-7"));
    // A process that starts later knows that there was one: it must not take plain frames.
    let restarted = deployment.other().await;
    assert!(restarted.keys().is_empty() && restarted.has_enrolled());
    assert!(restarted.is_reserved("auto-1") && !restarted.is_reserved("auto-7"));
}

#[tokio::test]
async fn a_temporary_token_for_all_names_silences_no_worker_with_plain_frames() {
    let deployment = Deployment::new().await;
    let new = NewJoinToken::new(limits("*")).uses(2).temporary(true);
    let token = deployment.token(new).await;
    assert!(deployment.keys.enrol(&claim(&token, &suite(), "auto-1")).await.unwrap().is_ok());
    for keys in [&deployment.keys, &deployment.other().await] {
        assert!(keys.is_reserved("auto-1"));
        assert!(!keys.is_reserved("legacy"), "a worker that never had a key");
    }
}

#[tokio::test]
async fn a_token_is_no_key_and_a_key_that_cannot_be_read_is_one() {
    let deployment = Deployment::new().await;
    deployment.token(NewJoinToken::new(limits("web"))).await;
    assert!(!deployment.other().await.has_enrolled());
    let damaged = Change::replace("worker_key", "0".repeat(32), 0, b"{".to_vec());
    deployment.records.change(&[damaged]).await.expect("a change");
    let restarted = deployment.other().await;
    assert!(restarted.keys().is_empty() && restarted.has_enrolled());
}

#[tokio::test]
async fn tokens_out_of_bounds_are_refused_and_ended_ones_are_removed_in_time() {
    let deployment = Deployment::new().await;
    let (keys, public) = (&deployment.keys, deployment.namespace.public());
    let wide = WorkerLimits::new("a/b");
    let mut long = limits("web");
    long.queues =
        Some((0..100).map(|number| format!("a-queue-with-a-long-name-{number}")).collect());
    let new = |limits| NewJoinToken::new(limits);
    for (bad, says) in [
        (new(wide), "names must be 1 to 64"),
        (new(limits("web")).uses(0), "uses must be from 1 to 10000 (got 0)"),
        (new(limits("web")).lifetime(31 * DAY), "valid for 1 to 2592000 s"),
        (new(long), "at most 2000 bytes"),
    ] {
        refused(keys.create_token(&by(), public, bad).await, ErrorKind::InvalidInput, says);
    }
    deployment.token(new(limits("web")).lifetime(MINUTE)).await;
    deployment.clock.pass(30 * DAY);
    keys.maintain().await.expect("maintenance");
    assert_eq!(keys.tokens().len(), 1, "its holder learns that it has ended");
    deployment.clock.pass(MINUTE);
    keys.maintain().await.expect("maintenance");
    assert!(keys.tokens().is_empty());
}

#[tokio::test]
async fn a_team_does_not_take_all_join_tokens() {
    let deployment = Deployment::new().await;
    let of = |team: &str| {
        let mut limits = limits("web");
        limits.teams = Some(vec![team.to_owned()]);
        NewJoinToken::new(limits)
    };
    for _ in 0..250 {
        deployment.token(of("red")).await;
    }
    let create =
        async |new| deployment.keys.create_token(&by(), deployment.namespace.public(), new).await;
    let says = "the team has 250 join tokens, a quarter of those of the server";
    refused(create(of("red")).await, ErrorKind::InvalidInput, says);
    assert!(create(of("blue")).await.is_ok());
    assert!(create(NewJoinToken::new(limits("web"))).await.is_ok());
}

#[tokio::test]
async fn changes_and_joins_are_in_the_audit() {
    let records: Arc<dyn Records> = Arc::new(MemoryRecords::new());
    let audit = Arc::new(ChainAudit::start(records.clone(), "test"));
    let keys = WorkerKeys::builder(records.clone()).audit(audit).open().await.expect("keys");
    let (namespace, key) = (suite(), suite());
    let new = NewJoinToken::new(limits("web"));
    let (secret, _) = keys.create_token(&by(), namespace.public(), new).await.expect("a token");
    let token = JoinToken::parse(secret.expose()).expect("a token");
    assert!(keys.enrol(&claim(&token, &key, "web")).await.expect("an answer").is_ok());
    assert!(keys.enrol(&claim(&token, &suite(), "web")).await.expect("an answer").is_err());
    keys.revoke_key(&by(), &KeyId::of(&key, &key.public())).await.expect("it is revoked");
    let entries = records.entries(tinpot_access::AUDIT_LOG, 0, 100).await.expect("entries");
    let texts: Vec<_> =
        entries.iter().map(|(_, entry)| String::from_utf8_lossy(entry).into_owned()).collect();
    let whats = ["join_token.create", "worker.join", "worker.join", "worker.revoke"];
    assert_eq!(texts.len(), whats.len(), "{texts:?}");
    for (text, what) in texts.iter().zip(whats) {
        assert!(text.contains(what) && !text.contains(&secret.expose()[4..20]), "{text}");
    }
    assert!(texts[2].contains("refused") && texts[2].contains("used already"), "{}", texts[2]);
    assert!(verify_audit(&*records, tinpot_access::AUDIT_LOG).await.is_ok());
}

#[tokio::test]
async fn a_worker_joins_runs_and_is_revoked() -> Result<()> {
    let deployment = Deployment::new().await;
    let network = MemoryNetwork::new();
    let options = CoordinatorOptions::new("tinpot", Arc::new(deployment.keys.clone()));
    let coordinator = Coordinator::builder(network.transport())
        .sealed(deployment.namespace.clone(), options)
        .enroller(deployment.keys.clone())
        .start()
        .await?;
    // The clock of the deployment stands still: the token does not end meanwhile.
    let token = deployment.token(NewJoinToken::new(limits("web"))).await;
    let key = suite();
    let request = JoinRequest::new(
        &token.suite(),
        Arc::new(key.clone()),
        token.coordinator(),
        "tinpot",
        "web",
        "1",
    )?;
    let transport = network.transport_of(&Address::Joiner(request.joiner()));
    let joined = join(&transport, request, PATIENCE).await?;
    let login = joined.broker.expect("a login");
    assert!(deployment.keys.broker_user(&login.user, &login.password).is_some());
    let executor =
        FunctionExecutor::builder().action("tick", |_, ()| async { Ok::<_, Failure>("tock") });
    let worker = Worker::builder(network.transport())
        .name("web")
        .executor(executor.build()?)
        .sealed(key, Pins::new("tinpot", joined.coordinator_keys))
        .start()
        .await?;
    let ran = async {
        coordinator.action_available("tick").await?;
        coordinator.call::<String>("tick", ()).await
    };
    assert_eq!(tokio::time::timeout(PATIENCE, ran).await.expect("in time")?, "tock");
    let heard = deployment.keys.keys();
    deployment.keys.maintain().await?;
    assert!(heard[0].last_heard.is_none() && deployment.keys.keys()[0].last_heard.is_some());
    deployment.keys.revoke_key(&by(), &joined.key).await?;
    // Its frames are of no session from now on, and it gets no other.
    let refused = async {
        while coordinator.refused(Refusal::Handshake) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("in time");
    worker.shutdown(Duration::ZERO).await;
    coordinator.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_key_that_was_replaced_is_valid_for_two_days_and_its_successor_has_the_same_grant() {
    let deployment = Deployment::new().await;
    let keys = &deployment.keys;
    let mut granted = limits("web-1");
    granted.queues = Some(vec!["web".to_owned()]);
    let token = deployment.token(NewJoinToken::new(granted.clone())).await;
    let (first, second, third) = (suite(), suite(), suite());
    let id = |key: &RingSuite| KeyId::of(key, &key.public());
    keys.enrol(&claim(&token, &first, "web-1")).await.expect("an answer").expect("it joins");
    let worker = WorkerId::new("web-1-1").expect("an id");
    let rotation = |from: &RingSuite, to: &RingSuite| {
        RotationClaim::new(id(from), to.public(), id(to), worker.clone())
    };
    let rotate = async |from: &RingSuite, to: &RingSuite| {
        keys.rotate(&rotation(from, to)).await.expect("an answer")
    };
    let password = WorkerKeys::broker_password(&deployment.namespace, &id(&first));
    let login = |keys: &WorkerKeys, user: &RingSuite, password: &str| {
        keys.broker_user(&id(user).to_string(), password)
    };
    let (before, revision) = (keys.find(&id(&first)).expect("a grant"), keys.revision());
    assert_eq!(rotate(&first, &second).await, Ok(()));
    assert_eq!(rotate(&first, &second).await, Ok(()), "the answer may be lost");
    assert_eq!(rotate(&first, &third).await, Err(RotationRefusal::Replaced));
    assert_eq!(rotate(&third, &suite()).await, Err(RotationRefusal::Ended), "it is not enrolled");
    assert_eq!(rotate(&second, &first).await, Err(RotationRefusal::Used));
    // The session of the former key goes on: its grant is the same.
    assert_eq!(keys.find(&id(&first)), Some(before));
    assert_ne!(keys.revision(), revision);
    let grant = keys.find(&id(&second)).expect("a grant");
    assert_eq!((grant.queues.clone(), grant.follows), (granted.queues, Some(id(&first))));
    // Processes of the worker with the former key are asked to take over the other one.
    assert!(keys.is_to_rotate(&id(&first)) && !keys.is_to_rotate(&id(&second)));
    // The user at the broker stays.
    let name = Some("web-1".to_owned());
    assert_eq!(login(keys, &first, password.expose()), name);
    assert_eq!(login(keys, &second, password.expose()), None);
    let other = deployment.other().await;
    deployment.clock.pass(2 * DAY - MINUTE);
    assert!(other.find(&id(&first)).is_some());
    let revision = other.revision();
    deployment.clock.pass(MINUTE);
    for keys in [keys, &other] {
        keys.refresh().await.expect("it is read");
        assert_eq!(keys.find(&id(&first)), None);
        assert!(keys.find(&id(&second)).is_some());
        assert_eq!(login(keys, &first, password.expose()), name);
    }
    assert_ne!(other.revision(), revision, "sessions of the key end");
    assert_eq!(rotate(&first, &second).await, Err(RotationRefusal::Ended));
    // An operator asks for the next one, and revokes it with the one before it.
    keys.ask_to_rotate(&by(), &id(&second)).await.expect("it is asked");
    assert!(keys.is_to_rotate(&id(&second)));
    let kind = async |key: &RingSuite| {
        keys.ask_to_rotate(&by(), &id(key)).await.map_err(|error| error.kind())
    };
    assert_eq!(kind(&first).await, Err(ErrorKind::Conflict));
    assert_eq!(kind(&third).await, Err(ErrorKind::NotFound));
    assert_eq!(rotate(&second, &third).await, Ok(()));
    assert!(!keys.is_to_rotate(&id(&third)));
    keys.revoke_key(&by(), &id(&third)).await.expect("it is revoked");
    for key in [&first, &second, &third] {
        assert_eq!(keys.find(&id(key)), None);
    }
    assert_eq!(login(keys, &first, password.expose()), None);
}

/// A worker that has joined, and replaces its keys.
struct Chain {
    deployment: Deployment,
    keys: Vec<RingSuite>,
}

fn id(key: &RingSuite) -> KeyId {
    KeyId::of(key, &key.public())
}

impl Chain {
    async fn new(is_temporary: bool) -> Self {
        let (deployment, first) = (Deployment::new().await, suite());
        let new = NewJoinToken::new(limits("web-1")).temporary(is_temporary);
        let token = deployment.token(new).await;
        let joined = deployment.keys.enrol(&claim(&token, &first, "web-1")).await;
        joined.expect("an answer").expect("it joins");
        Self { deployment, keys: vec![first] }
    }

    /// Replaces the last key.
    async fn replace(&mut self) -> std::result::Result<(), RotationRefusal> {
        let (from, to) = (self.keys.last().expect("a key"), suite());
        let worker = WorkerId::new("web-1-1").expect("an id");
        let claim = RotationClaim::new(id(from), to.public(), id(&to), worker);
        let decided = self.deployment.keys.rotate(&claim).await.expect("an answer");
        decided.map(|()| self.keys.push(to))
    }

    async fn ask(&self) {
        let last = id(self.keys.last().expect("a key"));
        self.deployment.keys.ask_to_rotate(&by(), &last).await.expect("it is asked");
    }

    async fn revoke(&self, index: usize) -> Option<KeyId> {
        self.deployment.keys.revoke_key(&by(), &id(&self.keys[index])).await.expect("it is revoked")
    }

    /// Returns the places of the keys that are valid.
    fn valid(&self) -> Vec<usize> {
        let is_valid = |index: &usize| self.deployment.keys.find(&id(&self.keys[*index])).is_some();
        (0..self.keys.len()).filter(is_valid).collect()
    }
}

#[tokio::test]
async fn a_key_that_has_replaced_another_one_stays_for_an_hour_unless_an_operator_asks() {
    let mut chain = Chain::new(false).await;
    assert_eq!(chain.replace().await, Ok(()), "it joined");
    assert_eq!(chain.replace().await, Err(RotationRefusal::TooSoon));
    chain.ask().await;
    assert_eq!(chain.replace().await, Ok(()), "it was asked to");
    chain.deployment.clock.pass(HOUR - MINUTE);
    assert_eq!(chain.replace().await, Err(RotationRefusal::TooSoon));
    chain.deployment.clock.pass(MINUTE);
    assert_eq!(chain.replace().await, Ok(()));
    assert_eq!(chain.keys.len(), 4);
}

#[tokio::test]
async fn all_keys_that_a_revoked_one_has_replaced_are_revoked() {
    let mut chain = Chain::new(false).await;
    // More than are written at once.
    for _ in 0..250 {
        chain.ask().await;
        assert_eq!(chain.replace().await, Ok(()));
    }
    assert_eq!(chain.valid().len(), 251);
    assert_eq!(chain.revoke(250).await, None);
    assert!(chain.valid().is_empty());
    assert_eq!(chain.revoke(250).await, None, "it is revoked already");
}

#[tokio::test]
async fn who_revokes_a_key_that_was_replaced_learns_which_one_stays_valid() {
    let mut chain = Chain::new(false).await;
    for _ in 0..3 {
        chain.ask().await;
        assert_eq!(chain.replace().await, Ok(()));
    }
    assert_eq!(chain.revoke(1).await, Some(id(&chain.keys[3])));
    assert_eq!(chain.valid(), [2, 3]);
    assert_eq!(chain.revoke(3).await, None);
    assert_eq!(chain.revoke(2).await, None);
    assert!(chain.valid().is_empty());
}

#[tokio::test]
async fn a_key_that_was_removed_is_not_that_of_its_user_at_the_broker() {
    let mut chain = Chain::new(true).await;
    assert_eq!(chain.replace().await, Ok(()));
    let (keys, first) = (&chain.deployment.keys, id(&chain.keys[0]));
    // Only a process with the former key was heard: the other key is removed.
    chain.deployment.clock.pass(20 * HOUR);
    keys.heard(&[first]);
    chain.deployment.clock.pass(4 * HOUR);
    keys.maintain().await.expect("maintenance");
    assert_eq!(chain.valid(), [0]);
    assert_eq!(keys.name_of(&first).as_deref(), Some("web-1"));
}
