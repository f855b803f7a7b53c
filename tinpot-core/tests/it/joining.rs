//! Workers that have their keys enrolled with join tokens.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tinpot_core::seal::{
    BrokerLogin, CoordinatorOptions, EnrolledKeys, Enroller, Enrolment, JoinClaim, JoinRefusal,
    JoinRequest, JoinTerms, Joined, KeyId, Pins, PlainFrames, PublicKey, Suite, WorkerLimits, join,
};
use tinpot_core::testing::ToySuite;
use tinpot_core::transport::{Address, Lane};
use tinpot_core::{
    Coordinator, ErrorKind, Failure, FunctionExecutor, MemoryNetwork, Refusal, Result, Timestamp,
    Transport, Worker, WorkerId,
};

use crate::support::{available, in_time};

const PATIENCE: Duration = Duration::from_secs(30);

/// Enrols in memory, and gives each worker a login at a broker.
#[derive(Debug)]
struct WithBroker(Arc<EnrolledKeys>);

#[async_trait::async_trait]
impl Enroller for WithBroker {
    fn knows(&self, token: &KeyId) -> bool {
        self.0.knows(token)
    }

    async fn token(&self, token: &KeyId) -> Result<Option<PublicKey>> {
        Enroller::token(&self.0, token).await
    }

    async fn enrol(
        &self,
        claim: &JoinClaim,
    ) -> Result<std::result::Result<Enrolment, JoinRefusal>> {
        let login =
            BrokerLogin { user: claim.key_id.to_string(), password: "canary-password".to_owned() };
        Ok(self.0.enrol(claim).await?.map(|enrolment| enrolment.broker(login)))
    }
}

struct Deployment {
    network: MemoryNetwork,
    suite: ToySuite,
    enrolled: Arc<EnrolledKeys>,
    coordinator: Coordinator,
}

impl Deployment {
    async fn start() -> Self {
        let (network, suite) = (MemoryNetwork::new(), ToySuite::new(1_000, 1));
        let enrolled = Arc::new(EnrolledKeys::default());
        let options = CoordinatorOptions::new("tinpot", enrolled.clone());
        let coordinator = Coordinator::builder(network.transport_of(&Address::Coordinator))
            .sealed(suite.clone(), options.plain(PlainFrames::Refuse))
            .enroller(WithBroker(enrolled.clone()))
            .start()
            .await
            .expect("a coordinator");
        Self { network, suite, enrolled, coordinator }
    }

    /// Makes a token that ends after these seconds.
    fn token(&self, identity: u64, names: &str, seconds: i64) -> ToySuite {
        let token = self.suite.owned_by(identity);
        let now = Timestamp::now().0 as i64;
        let expires = Timestamp((now + seconds * 1_000_000) as u64);
        let mut limits = WorkerLimits::new(names);
        limits.queues = Some(vec!["lab".to_owned()]);
        self.enrolled.allow_joins(&self.suite, token.public(), JoinTerms::new(limits, expires));
        token
    }

    fn request(&self, token: &ToySuite, key: u64, name: &str) -> JoinRequest {
        let key = Arc::new(self.suite.owned_by(key));
        JoinRequest::new(token, key, self.suite.public(), "tinpot", name, "1").expect("a request")
    }

    async fn join(&self, token: &ToySuite, key: u64, name: &str) -> Result<Joined> {
        let request = self.request(token, key, name);
        let transport = self.network.transport_of(&Address::Joiner(request.joiner()));
        in_time("an answer", join(&transport, request, PATIENCE)).await
    }
}

#[tokio::test]
async fn a_worker_joins_and_runs_within_the_limits_of_its_token() {
    let deployment = Deployment::start().await;
    let token = deployment.token(50, "lab-*", 60);
    let other = deployment.network.transport();
    let mut spy = other.listen(&Address::Joins, Lane::Control).await.expect("requests");
    let joined = deployment.join(&token, 1, "lab-7").await.expect("it joins");
    assert_eq!((&*joined.name, &*joined.limits.names), ("lab-7", "lab-7"));
    assert_eq!(joined.coordinator_keys, [deployment.suite.public()]);
    let login = joined.broker.expect("a login");
    assert_eq!((login.user, &*login.password), (joined.key.to_string(), "canary-password"));
    let request = in_time("the request", spy.next()).await.expect("a frame");
    assert_eq!(request.bytes[..5], *b"TPF1\x04");
    let id = WorkerId::generate("lab-7");
    let executor = FunctionExecutor::builder()
        .raw_action(tinpot_core::Action::new("dig").expect("a name").queue("lab"), |_, _| async {
            tinpot_core::Outcome::Succeeded(tinpot_core::Json::null())
        })
        .action("other", |_, ()| async { Ok::<_, Failure>(()) })
        .build()
        .expect("actions");
    let worker = Worker::builder(deployment.network.transport_of(&Address::Worker(id.clone())))
        .id(id)
        .name("lab-7")
        .executor(executor)
        .sealed(deployment.suite.owned_by(1), Pins::new("tinpot", joined.coordinator_keys))
        .start()
        .await
        .expect("a worker");
    available(&deployment.coordinator, "dig").await;
    assert!(!deployment.coordinator.catalogue().contains_key("other"), "another queue");
    worker.shutdown(Duration::ZERO).await;
    deployment.coordinator.shutdown().await;
}

#[tokio::test]
async fn a_repeated_join_gives_the_same_answer_and_is_no_use() {
    let deployment = Deployment::start().await;
    let token = deployment.token(50, "web", 60);
    let first = deployment.join(&token, 1, "web").await.expect("it joins");
    assert_eq!(deployment.join(&token, 1, "web").await.expect("it joins"), first);
    let refused = async |token: &ToySuite, key, name: &str| {
        let error = deployment.join(token, key, name).await.expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        error.to_string()
    };
    assert_eq!(refused(&token, 2, "web").await, "the join token was used already");
    let why = refused(&token, 2, "db").await;
    assert_eq!(why, "the join token is for workers named \"web\"");
    let why = refused(&deployment.token(51, "*", 60), 3, "a/b").await;
    assert_eq!(why, "the join token is for workers named \"*\"");
    let why = refused(&deployment.token(52, "*", -1), 3, "web").await;
    assert!(why.starts_with("the join token expired at "), "{why}");
    let stranger = deployment.suite.owned_by(53);
    assert_eq!(refused(&stranger, 3, "web").await, "the join token is not known, or was revoked");
    deployment.enrolled.revoke(&first.key);
    let why = refused(&token, 1, "web").await;
    assert_eq!(why, "the key was revoked: create another one");
    deployment.coordinator.shutdown().await;
}

#[tokio::test]
async fn a_join_without_both_signatures_is_not_answered() {
    let deployment = Deployment::start().await;
    let token = deployment.token(50, "web", 60);
    let request = deployment.request(&token, 1, "web");
    let transport = deployment.network.transport();
    // The signatures of the token and of the key, a byte of the payload, and the header.
    for place in [30, 94, 200, 5] {
        let mut forged = request.frame().to_vec();
        forged[place] ^= 1;
        transport.send(&Address::Joins, Lane::Control, forged.into()).await.expect("it is sent");
    }
    while deployment.coordinator.refused(Refusal::Join) < 4 {
        in_time("four refusals", tokio::task::yield_now()).await;
    }
    assert!(deployment.join(&token, 2, "web").await.is_ok(), "the token was not used");
    deployment.coordinator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn strangers_with_made_up_tokens_cause_little_work_and_stop_no_join() {
    let deployment = Deployment::start().await;
    let token = deployment.token(50, "web", 3_600);
    let requests: Vec<_> = (0..400)
        .map(|number| {
            deployment.request(&deployment.suite.owned_by(1_000 + number), 2 + number, "web")
        })
        .collect();
    let transport = deployment.network.transport();
    let mut answers = Vec::new();
    for request in &requests {
        let at = Address::Joiner(request.joiner());
        answers.push(transport.listen(&at, Lane::Control).await.expect("answers"));
    }
    for request in &requests {
        let frame = request.frame().to_vec().into();
        transport.send(&Address::Joins, Lane::Control, frame).await.expect("it is sent");
    }
    while deployment.coordinator.refused(Refusal::Join) < 400 {
        in_time("all are refused", tokio::task::yield_now()).await;
    }
    // No second has passed.
    assert!(deployment.join(&token, 1, "web").await.is_ok());
    let signed = answers.iter_mut().filter_map(|answer| answer.next().now_or_never());
    let signed = signed.count();
    assert!((1..=10).contains(&signed), "{signed} answers to strangers were signed");
    deployment.coordinator.shutdown().await;
}

#[tokio::test]
async fn an_answer_of_another_coordinator_or_to_another_join_counts_for_nothing() {
    let deployment = Deployment::start().await;
    let token = deployment.token(50, "web", 60);
    let mut request = deployment.request(&token, 1, "web");
    let at = Address::Joiner(request.joiner());
    let transport = deployment.network.transport();
    let mut answers = transport.listen(&at, Lane::Control).await.expect("answers");
    let frame = request.frame().to_vec().into();
    transport.send(&Address::Joins, Lane::Control, frame).await.expect("it is sent");
    let answer = in_time("an answer", answers.next()).await.expect("a frame").bytes;
    assert!(!String::from_utf8_lossy(&answer).contains("canary-password"));
    let mut other = deployment.request(&token, 1, "web");
    assert!(other.answer(&answer).is_err(), "it answers another join of the same key");
    let stranger = deployment.suite.owned_by(9).public();
    let key = Arc::new(deployment.suite.owned_by(1));
    let mut elsewhere = JoinRequest::new(&token, key, stranger, "tinpot", "web", "1").unwrap();
    assert!(elsewhere.answer(&answer).is_err(), "it is of another coordinator");
    for place in [5, 30, 120] {
        let mut forged = answer.to_vec();
        forged[place] ^= 1;
        assert!(request.answer(&forged).is_err());
    }
    assert!(request.answer(&answer).expect("an answer").is_ok());
    deployment.coordinator.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_join_without_a_coordinator_says_so_in_time() {
    let suite = ToySuite::new(1_000, 1);
    let key = Arc::new(suite.owned_by(1));
    let request =
        JoinRequest::new(&suite.owned_by(50), key, suite.public(), "tinpot", "web", "1").unwrap();
    let network = MemoryNetwork::new();
    let transport = network.transport();
    let error = join(&transport, request, PATIENCE).await.expect_err("no coordinator is there");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[tokio::test]
async fn a_join_may_come_by_another_way_than_the_transport() {
    let deployment = Deployment::start().await;
    let token = deployment.token(1, "web", 60);
    let mut request = deployment.request(&token, 2, "web");
    let frame = request.frame().to_vec();
    let answer = deployment.coordinator.answer_join(&frame).await.expect("an answer");
    // A repeated one is answered again.
    deployment.coordinator.answer_join(&frame).await.expect("an answer");
    let joined = request.answer(&answer).expect("a frame").expect("it joins");
    assert_eq!(joined.broker.expect("a login").password, "canary-password");
    let forged = [&frame[..frame.len() - 1], b"x"].concat();
    for wrong in [&forged[..], b"{}", b""] {
        let error = deployment.coordinator.answer_join(wrong).await.expect_err("no join");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let plain = Coordinator::builder(MemoryNetwork::new().transport());
    let plain = plain.start().await.expect("a coordinator");
    let error = plain.answer_join(&frame).await.expect_err("no desk");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    plain.shutdown().await;
    deployment.coordinator.shutdown().await;
}
