//! Named secrets.

use std::sync::Arc;

use tinpot_access::{AUDIT_LOG, ChainAudit, Secret, SecretAllow, SecretStore, StoreKeys};
use tinpot_core::access::records::{MAX_DOCUMENT_BYTES, Records};
use tinpot_core::access::{AuditDecision, MemoryRecords, SecretRequest, SecretSource};
use tinpot_core::{ErrorKind, Execution, ExecutionId, Json, WorkerId};

use crate::support::by;

const CANARY: &str = "a-canary-of-a-secret";

struct Place {
    records: Arc<dyn Records>,
    audit: ChainAudit,
    store: SecretStore,
    keys: StoreKeys,
}

fn place() -> Place {
    let records: Arc<dyn Records> = Arc::new(MemoryRecords::new());
    let audit = ChainAudit::start(records.clone(), "here");
    let keys = StoreKeys::generate().expect("a key");
    let store = SecretStore::new(records.clone(), keys.sealer()).audit(Arc::new(audit.clone()));
    Place { records, audit, store, keys }
}

fn request(name: &str, action: &str, change: impl FnOnce(&mut Execution)) -> SecretRequest {
    let mut execution = Execution::new(ExecutionId::generate(), action, Json::empty_object());
    change(&mut execution);
    let worker = WorkerId::new("w-1").expect("an id");
    let mut request = SecretRequest::new(name, Arc::new(execution), worker);
    request.group = Some("ops".into());
    request
}

#[tokio::test]
async fn a_secret_is_sealed_and_given_to_the_actions_that_may_have_it() {
    let Place { records, audit, store, .. } = place();
    let set = async |allow| {
        let value = Secret::new(CANARY);
        store.set(&by(), "default", "token", &value, allow).await.expect("set").version
    };
    assert_eq!(set(SecretAllow::all()).await, 1);
    assert_eq!(
        set(SecretAllow::all().actions(["deploy-*"]).groups(["ops"]).queues(["q"])).await,
        2
    );
    let record = records.get("secret", "default/token").await.expect("a read").expect("a record");
    assert!(!String::from_utf8_lossy(&record.document).contains(CANARY));
    assert!(!format!("{store:?} {:?}", store.list("default").await).contains(CANARY));
    let queue = |execution: &mut Execution| execution.queue = "q".into();
    let may = request("token", "deploy-web", queue);
    for _ in 0..2 {
        let given = store.secret(&may).await.expect("a secret");
        assert_eq!((given.version, &*given.value), (2, CANARY));
        assert!(!format!("{given:?}").contains(CANARY));
    }
    let mut other_group = request("token", "deploy-web", queue);
    other_group.group = None;
    let refused = [
        request("token", "build", queue),
        request("token", "deploy-web", |_| {}),
        other_group,
        request("token", "deploy-web", |execution| {
            queue(execution);
            execution.team = "red".into();
        }),
        request("nothing", "deploy-web", queue),
    ];
    for request in &refused {
        let error = store.secret(request).await.expect_err("refused");
        let name = &request.name;
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let action = &request.execution.action;
        let start = format!("no secret {name:?} (or action {action:?} may not have it)");
        assert!(error.message().starts_with(&start), "{error}");
    }
    store.remove(&by(), "default", "token").await.expect("removed");
    let gone = store.remove(&by(), "default", "token").await.expect_err("gone");
    assert_eq!(gone.kind(), ErrorKind::NotFound);
    let entries = audit.entries(AUDIT_LOG, 0, 100).await.expect("entries");
    let whats: Vec<_> =
        entries.iter().map(|entry| (&*entry.event.what, entry.event.decision)).collect();
    let (allowed, refused) = (AuditDecision::Allowed, AuditDecision::Refused);
    assert_eq!(
        whats,
        [
            ("secret.set", allowed),
            ("secret.set", allowed),
            ("secret.use", allowed),
            ("secret.use", refused),
            ("secret.use", refused),
            ("secret.use", refused),
            ("secret.remove", allowed),
        ]
    );
    assert!(!format!("{entries:?}").contains(CANARY));
}

#[tokio::test]
async fn names_and_values_have_bounds_and_the_largest_value_fits() {
    let Place { records, store, .. } = place();
    let set = async |name: &str, bytes| {
        store.set(&by(), "default", name, &Secret::new("x".repeat(bytes)), SecretAllow::all()).await
    };
    for (name, bytes) in [("", 1), ("a b", 1), ("a/b", 1), ("é", 1), ("a", 0), ("a", 40 * 1024 + 1)]
    {
        let error = set(name, bytes).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name:?} {bytes}");
    }
    set(&"n".repeat(64), 40 * 1024).await.expect("set");
    let documents = records.list("secret", "", 10).await.expect("a list");
    assert!(documents[0].document.len() < MAX_DOCUMENT_BYTES);
}

#[tokio::test]
async fn secrets_survive_a_rotation_of_the_key() {
    let Place { records, store, keys, .. } = place();
    let value = Secret::new(CANARY);
    store.set(&by(), "default", "token", &value, SecretAllow::all()).await.expect("set");
    let rotated = keys.rotated().expect("a key");
    let later = SecretStore::new(records.clone(), rotated.sealer());
    assert_eq!(later.reseal().await.expect("sealed again"), 0);
    // Two rotations later, the first key is gone.
    let last = SecretStore::new(records.clone(), rotated.rotated().expect("a key").sealer());
    let ask = request("token", "any", |_| {});
    assert_eq!(&*last.secret(&ask).await.expect("a secret").value, CANARY);
    let stranger = SecretStore::new(records, StoreKeys::generate().expect("a key").sealer());
    assert_eq!(stranger.reseal().await.expect("a look"), 1);
    assert_eq!(stranger.secret(&ask).await.expect_err("no key").kind(), ErrorKind::NotFound);
}
