//! The conformance suite on an authenticator of tokens.

use std::future::{Ready, ready};
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::http::{HeaderMap, Method};
use tinpot_core::{Caller, Result};
use tinpot_http::testing::authenticator::Subject;
use tinpot_http::{Authenticator, Identity, Presented};

/// Knows one token, until it is revoked.
#[derive(Debug, Default)]
struct OneToken {
    revoked: AtomicBool,
}

#[async_trait]
impl Authenticator for OneToken {
    async fn authenticate(&self, request: &Presented<'_>) -> Result<Identity> {
        let mut tokens = request.headers.get_all("authorization").iter();
        let Some(token) = tokens.next() else { return Ok(Identity::Unknown) };
        let is_good = token == "Bearer good" && !self.revoked.load(Ordering::Relaxed);
        if tokens.next().is_some() || !is_good {
            return Ok(Identity::Refused("token is not valid".to_owned()));
        }
        Ok(Identity::Known {
            caller: Caller::new("ada").into(),
            valid_until: None,
            by_cookie: false,
        })
    }
}

fn header(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([("authorization".parse().unwrap(), value.parse().unwrap())])
}

#[async_trait]
impl Subject for OneToken {
    fn authenticator(&self) -> &dyn Authenticator {
        self
    }

    fn valid(&self) -> (HeaderMap, String) {
        (header("Bearer good"), "ada".to_owned())
    }

    fn invalid(&self) -> Vec<(&'static str, HeaderMap)> {
        vec![("unknown", header("Bearer evil")), ("malformed", header("good"))]
    }

    async fn revoke(&self) -> bool {
        self.revoked.store(true, Ordering::Relaxed);
        true
    }
}

fn subject() -> Ready<OneToken> {
    ready(OneToken::default())
}

tinpot_http::authenticator_conformance!(subject);

#[test]
fn what_is_presented_never_shows_its_credentials() {
    let mut headers = header("Bearer s3cret");
    headers.insert("cookie", "__Host-tinpot=s3cret".parse().unwrap());
    let shown = format!("{:?}", Presented::new(&Method::GET, "/api/queues", &headers));
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("/api/queues") && shown.contains("\"cookie\""), "{shown}");
}
