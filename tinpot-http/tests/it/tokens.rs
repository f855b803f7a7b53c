//! API tokens of a directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, header};
use tinpot_access::{Clock, Directory, Grant, Grantee, NewToken, NewUser, Role, Secret};
use tinpot_core::access::{AuditWho, MemoryRecords};
use tinpot_core::{Coordinator, MemoryNetwork, Timestamp};
use tinpot_http::testing::authenticator::Subject;
use tinpot_http::{Authenticator, DirectoryAuthenticator, HttpConfig};
use tower::ServiceExt;

use crate::people::People;

const DAY: Duration = Duration::from_secs(86_400);

/// The clock of the system, less some microseconds.
#[derive(Clone, Debug, Default)]
struct Behind(Arc<AtomicU64>);

impl Clock for Behind {
    fn now(&self) -> Timestamp {
        Timestamp(Timestamp::now().0 - self.0.load(Ordering::SeqCst))
    }
}

/// The state of a token.
#[derive(Clone, Copy, Debug)]
enum Credential {
    Valid,
    Unknown,
    Malformed,
    Expired,
    Revoked,
    Disabled,
}

#[derive(Debug)]
struct Tokens {
    directory: Directory,
    authenticator: DirectoryAuthenticator,
    by: AuditWho,
    valid: (Secret, String),
    /// The id of the caller with the valid token.
    caller: String,
    expired: Secret,
    revoked: Secret,
    disabled: Secret,
}

async fn tokens() -> Tokens {
    let clock = Behind::default();
    let records = Arc::new(MemoryRecords::new());
    let directory = Directory::builder(records).clock(clock.clone()).open().await.unwrap();
    let by = AuditWho::new("operator", "", "test");
    let mut secrets = Vec::new();
    clock.0.store(2 * DAY.as_micros() as u64, Ordering::SeqCst);
    for (user, lifetime) in
        [("ada", 90), ("cyd", 1), ("dan", 90), ("eve", 90)].map(|(user, days)| (user, DAY * days))
    {
        let user = directory.add_user(&by, NewUser::new(format!("{user}-canary"))).await.unwrap();
        let grant = Grant::new(Grantee::Principal(user.id.clone()), Role::Viewer);
        directory.add_grant(&by, grant).await.unwrap();
        let new = NewToken::new("ci", user.id.clone()).lifetime(lifetime);
        let (secret, token) = directory.create_token(&by, new).await.unwrap();
        secrets.push((secret, token.id.to_string(), user.id));
    }
    let [valid, expired, revoked, disabled] = secrets.try_into().unwrap();
    directory.revoke_token(&by, &revoked.1).await.unwrap();
    directory.set_disabled(&by, &disabled.2, true).await.unwrap();
    clock.0.store(0, Ordering::SeqCst);
    Tokens {
        authenticator: DirectoryAuthenticator::new(directory.clone()),
        directory,
        by,
        valid: (valid.0, valid.1),
        caller: valid.2.to_string(),
        expired: expired.0,
        revoked: revoked.0,
        disabled: disabled.0,
    }
}

impl Tokens {
    fn text(&self, credential: Credential) -> String {
        match credential {
            Credential::Valid => self.valid.0.expose().to_owned(),
            // Of another directory: its checksum is right.
            Credential::Unknown => {
                "tpt_0000000000000000000000000000000000000000000".to_owned() + CHECKSUM
            }
            Credential::Malformed => {
                let text = self.valid.0.expose();
                let other = if text.ends_with('x') { "y" } else { "x" };
                format!("{}{other}", &text[..text.len() - 1])
            }
            Credential::Expired => self.expired.expose().to_owned(),
            Credential::Revoked => self.revoked.expose().to_owned(),
            Credential::Disabled => self.disabled.expose().to_owned(),
        }
    }

    fn headers(&self, credential: Credential) -> HeaderMap {
        let value = format!("Bearer {}", self.text(credential));
        [(header::AUTHORIZATION, HeaderValue::from_str(&value).unwrap())].into_iter().collect()
    }
}

/// The digits of the CRC-32 of `tpt_` and 43 zeros.
const CHECKSUM: &str = "4JtZcu";

#[async_trait]
impl Subject for Tokens {
    fn authenticator(&self) -> &dyn Authenticator {
        &self.authenticator
    }

    fn valid(&self) -> (HeaderMap, String) {
        (self.headers(Credential::Valid), self.caller.clone())
    }

    fn invalid(&self) -> Vec<(&'static str, HeaderMap)> {
        [
            ("unknown", Credential::Unknown),
            ("malformed", Credential::Malformed),
            ("expired", Credential::Expired),
            ("revoked", Credential::Revoked),
            ("of a disabled user", Credential::Disabled),
        ]
        .map(|(what, credential)| (what, self.headers(credential)))
        .into()
    }

    async fn revoke(&self) -> bool {
        self.directory.revoke_token(&self.by, &self.valid.1).await.is_ok()
    }
}

tinpot_http::authenticator_conformance!(tokens);

#[tokio::test]
async fn each_kind_of_refusal_says_its_reason_to_the_owner() {
    let tokens = tokens().await;
    let coordinator = Coordinator::builder(MemoryNetwork::new().transport())
        .policy(tokens.directory.rules())
        .start()
        .await
        .unwrap();
    let config = HttpConfig::default().authenticator(tokens.authenticator.clone());
    let router = tinpot_http::router(coordinator.clone(), config);
    let ask = async |header: Option<&str>| {
        let mut request = Request::get("/api/actions").header("host", "localhost");
        if let Some(header) = header {
            request = request.header("authorization", header);
        }
        let answer = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let challenge = answer.headers().get(header::WWW_AUTHENTICATE).cloned();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 64 * 1024).await.unwrap();
        (status, challenge, String::from_utf8(body.to_vec()).unwrap())
    };
    let bearer = |credential| format!("Bearer {}", tokens.text(credential));
    for good in [bearer(Credential::Valid), bearer(Credential::Valid).replace("Bearer", "bearer ")]
    {
        let (status, challenge, body) = ask(Some(&good)).await;
        assert_eq!((status, challenge), (200, None), "{body}");
    }
    let form = "must be \\\"Bearer\\\", a blank and a token";
    for (header, reason) in [
        (None, "request needs authentication"),
        (Some(bearer(Credential::Malformed)), "the token is incomplete or has a typing error"),
        (Some(bearer(Credential::Unknown)), "is not known, or was revoked"),
        (Some(bearer(Credential::Revoked)), "is not known, or was revoked"),
        (Some(bearer(Credential::Expired)), "expired at"),
        (Some(bearer(Credential::Disabled)), "the account is disabled"),
        (Some("Basic YWRhOmNhbmFyeQ==".to_owned()), form),
        (Some(tokens.text(Credential::Valid)), form),
        (Some(format!("Bearer{}", " ".repeat(16 * 1024))), "at most 16384 bytes (got 16390)"),
    ] {
        let (status, challenge, body) = ask(header.as_deref()).await;
        assert_eq!(status, 401, "{reason}: {body}");
        assert_eq!(challenge.unwrap(), "Bearer", "{body}");
        assert!(body.contains(reason) && !body.contains("canary"), "{reason}: {body}");
    }
    coordinator.shutdown().await;
}

/// Attack 11: a flood of tokens is found in the audit, and does not fill the disk.
#[tokio::test]
async fn refused_tokens_are_a_few_entries_of_the_audit_however_many_there_are() {
    let people = People::some().await;
    let root = people.browser_of("root").await;
    let unknown = "tpt_0000000000000000000000000000000000000000000".to_owned() + CHECKSUM;
    for n in 0..300_u16 {
        let mut stranger = people.browser().with_token(&unknown);
        let [high, low] = n.to_be_bytes();
        stranger.peer = ([198, 18 + high, low, 7], 4711).into();
        assert_eq!(stranger.status().await, 401);
    }
    let mut mistyped = people.browser().with_token(&unknown[..50]);
    mistyped.peer = ([192, 0, 2, 99], 4711).into();
    for _ in 0..100 {
        assert_eq!(mistyped.status().await, 401);
    }
    // A request without a credential is none that was refused.
    assert_eq!(people.browser().status().await, 401);
    // Writes what is counted.
    people.coordinator.shutdown().await;
    let path = "/api/audit?what=authenticate";
    let page = root.expect(200, "GET", path, serde_json::Value::Null).await;
    let entries = page["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 11, "{page}");
    let text = page.to_string();
    assert!(text.contains("a typing error (100 times)") && text.contains("192.0.2.99"), "{text}");
    assert!(text.contains("291 refusals of more networks"), "{text}");
    assert!(!text.contains(&unknown[..20]), "{text}");
    assert!(entries.iter().all(|entry| entry["decision"] == "refused"), "{text}");
}
