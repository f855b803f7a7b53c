//! Authentication and decisions: once for each request.

use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use tinpot_access::{Directory, Grant, Grantee, NewToken, NewUser, Role, Secret};
use tinpot_core::access::{AuditWho, MemoryRecords};
use tinpot_core::{Caller, DEFAULT_TEAM, Policy, Right, Target};
use tokio::runtime::Runtime;

/// Users, each with two grants, a group and a token.
const USERS: usize = 200;

pub(crate) fn benches(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (directory, caller, secret) = runtime.block_on(directory());
    let rules = directory.rules();
    let target = Target::team(DEFAULT_TEAM).action("deploy-web").group(Some("web")).queue("prod-1");
    let mut group = criterion.benchmark_group("access");
    group.bench_function("authenticate a token and decide", |bencher| {
        bencher.iter(|| {
            let known = directory.authenticate_token(black_box(secret.expose()));
            let caller = known.expect("a caller").caller;
            rules.decide(&caller, Right::Run, black_box(&target))
        });
    });
    group.bench_function("decide", |bencher| {
        bencher.iter(|| rules.decide(black_box(&caller), Right::Run, black_box(&target)));
    });
    group.finish();
}

/// Returns a directory, and one of its callers with the secret of the token.
async fn directory() -> (Directory, Caller, Secret) {
    let by = AuditWho::new("operator", "", "root");
    let records = Arc::new(MemoryRecords::new());
    let directory = Directory::builder(records).open().await.expect("a directory");
    let mut last = None;
    let mut ids = Vec::new();
    for number in 0..USERS {
        let user = directory.add_user(&by, NewUser::new(format!("user-{number}"))).await;
        let id = user.expect("a user").id;
        let to = Grantee::Principal(id.clone());
        let own = Grant::new(to.clone(), Role::Operator).own_only().actions(&["backup"]);
        let deploys =
            Grant::new(to, Role::Operator).actions(&["deploy-*"]).queues(&["prod-*", "test"]);
        for grant in [own, deploys] {
            directory.add_grant(&by, grant).await.expect("a grant");
        }
        let token = NewToken::new("bench", id.clone()).scopes(&["read", "run:deploy-*"]);
        let (secret, _) = directory.create_token(&by, token).await.expect("a token");
        ids.push(id);
        last = Some(secret);
    }
    directory.set_group(&by, "all", &ids).await.expect("a group");
    let viewers = Grant::new(Grantee::Group("all".into()), Role::Viewer);
    directory.add_grant(&by, viewers).await.expect("a grant");
    let secret = last.expect("a token");
    let known = directory.authenticate_token(secret.expose()).expect("a caller");
    (directory, known.caller, secret)
}
