//! Authentication by a token, and decisions, as each request takes them.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use tinpot_access::{Directory, Grant, Grantee, NewToken, NewUser, Role, Secret};
use tinpot_core::access::{AuditWho, MemoryRecords};
use tinpot_core::{Caller, DEFAULT_TEAM, Policy, Right, Target};

use super::{AnyError, Line};
use crate::stats::median;

/// Users, each with two grants, a group and a token.
const USERS: usize = 200;
const ROUNDS: usize = 11;
const TIMES: u32 = 100_000;

/// Measures both.
pub async fn measure() -> Result<Vec<Line>, AnyError> {
    let (directory, caller, secret) = directory().await;
    let rules = directory.rules();
    let target = Target::team(DEFAULT_TEAM).action("deploy-web").group(Some("web")).queue("prod-1");
    let micros = |work: &dyn Fn()| {
        let round = || {
            let begin = Instant::now();
            (0..TIMES).for_each(|_| work());
            begin.elapsed().as_secs_f64() * 1e6 / f64::from(TIMES)
        };
        median(&(0..ROUNDS).map(|_| round()).collect::<Vec<_>>())
    };
    let both = micros(&|| {
        let known = directory.authenticate_token(black_box(secret.expose()));
        if let Ok(known) = known {
            black_box(rules.decide(&known.caller, Right::Run, black_box(&target)));
        }
    });
    let decide = micros(&|| {
        black_box(rules.decide(black_box(&caller), Right::Run, black_box(&target)));
    });
    let told = |micros: f64| format!("{micros:.2} µs");
    Ok(vec![
        Line::new("authenticate by token and decide", "20 µs", "5 µs", told(both)),
        Line::new("deciding alone", "2 µs", "0.3 µs", told(decide)),
    ])
}

/// Returns a directory, and one of its callers with the secret of the token.
pub async fn directory() -> (Directory, Caller, Secret) {
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
