//! Limits on sign-in with an identity provider. The crate of the CLI tests it with providers.

use serde_json::Value;
use tinpot_access::{Oidc, OidcConfig};

use crate::people::{Browser, PASSWORD, People};

/// A server whose identity provider does not answer.
async fn people() -> People {
    let redirect = "http://localhost:8000/auth/oidc/callback";
    // No program can listen on this port.
    let oidc = Oidc::new(OidcConfig::new("http://127.0.0.1:0", "tinpot", redirect)).unwrap();
    People::some().await.configured(|one| one.oidc(oidc), |config| config)
}

async fn go(browser: &Browser, path: &str, purpose: &str) -> u16 {
    let mut request = browser.request("GET", path, &Value::Null);
    request.headers_mut().insert("sec-fetch-dest", purpose.parse().unwrap());
    browser.send(request).await.status.as_u16()
}

#[tokio::test]
async fn begun_sign_ins_take_no_attempts_from_passwords() {
    let people = people().await;
    let browser = people.browser();
    // A page of another site that embeds it has no effect.
    for purpose in ["image", "iframe", "empty"].iter().cycle().take(150) {
        assert_eq!(go(&browser, "/auth/oidc", purpose).await, 422, "{purpose}");
        assert_eq!(go(&browser, "/auth/oidc/callback?state=a", purpose).await, 422, "{purpose}");
    }
    for _ in 0..60 {
        assert_eq!(go(&browser, "/auth/oidc", "document").await, 503);
    }
    for _ in 0..60 {
        assert_eq!(browser.get("/auth/oidc").await.status, 503, "an old browser");
    }
    assert_eq!(go(&browser, "/auth/oidc", "document").await, 429);
    assert_eq!(browser.login("olga", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn failed_returns_count_as_attempts() {
    let people = people().await;
    let browser = people.browser();
    for query in ["?state=a&state=b", "?state=a&code=b"].iter().cycle().take(20) {
        assert_eq!(browser.get(&format!("/auth/oidc/callback{query}")).await.status, 403);
    }
    assert_eq!(browser.get("/auth/oidc/callback?state=a&code=b").await.status, 429);
    assert_eq!(browser.login("olga", PASSWORD).await.status, 429);
}
