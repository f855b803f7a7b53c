//! Attacks by which a caller gets more rights than it has.

use serde_json::json;

use crate::people::{PASSWORD, People};

const OTHER: &str = "another horse battery";

/// A token that was found in a log becomes an account.
#[tokio::test]
async fn a_token_sets_no_password_and_makes_no_user_or_admin() {
    let people = People::some().await;
    let path = |name: &str| format!("/api/users/{}", people.id(name));
    let leaked = people.program("root", &["all"]).await;
    for change in [json!({"password": OTHER}), json!({"server_admin": true})] {
        for name in ["root", "olga"] {
            let detail = leaked.ask("PATCH", &path(name), change.clone()).await.detail(403);
            assert!(detail.contains("the scope \"tokens\""), "{detail}");
        }
    }
    for admin in [true, false] {
        let new = json!({"name": "eve", "password": OTHER, "server_admin": admin});
        leaked.expect(403, "POST", "/api/users", new).await;
    }
    // With the scope, it makes nobody of more rights.
    let team = people.program("root", &["team", "tokens"]).await;
    let own_no_more = "no more than its own scopes";
    let new = json!({"name": "eve", "password": OTHER, "role": "admin"});
    let detail = team.ask("POST", "/api/users", new).await.detail(403);
    assert!(detail.contains(own_no_more), "{detail}");
    let members = json!({"members": [people.id("vera")]});
    let browser = people.browser_of("root").await;
    browser.expect(200, "PUT", "/api/groups/ops", members.clone()).await;
    let grant = json!({"to": {"group": "ops"}, "role": "operator"});
    browser.expect(201, "POST", "/api/grants", grant).await;
    for name in ["olga", "adam", "vera"] {
        let change = json!({"password": OTHER});
        let detail = team.ask("PATCH", &path(name), change).await.detail(403);
        assert!(detail.contains(own_no_more), "{detail}");
    }
    for role in ["viewer", "admin"] {
        let grant = json!({"to": {"user": people.id("vera")}, "role": role});
        let detail = team.ask("POST", "/api/grants", grant).await.detail(403);
        assert!(detail.contains(own_no_more), "{detail}");
    }
    let detail = team.ask("PUT", "/api/groups/ops", members.clone()).await.detail(403);
    assert!(detail.contains(own_no_more), "{detail}");
    // Parts of the actions are not all of them.
    let part = people.program("root", &["team", "tokens", "read:deploy-*"]).await;
    let grant = json!({"to": {"user": people.id("vera")}, "role": "viewer"});
    part.expect(403, "POST", "/api/grants", grant).await;

    assert_eq!(people.directory.user("eve"), None);
    assert!(!people.directory.is_server_admin(&people.id("olga")));
    for name in ["root", "adam", "olga", "vera"] {
        people.browser_of(name).await;
    }
    // What is within its scopes, it may.
    let full = people.program("root", &["all", "tokens"]).await;
    full.expect(200, "PATCH", &path("olga"), json!({"password": OTHER})).await;
    full.expect(200, "PUT", "/api/groups/ops", members).await;
    full.expect(200, "PATCH", &path("olga"), json!({"disabled": true})).await;
    let new = json!({"name": "nina", "password": PASSWORD, "role": "admin"});
    full.expect(201, "POST", "/api/users", new).await;
}

#[tokio::test]
async fn the_own_password_is_changed_only_with_the_current_one() {
    let people = People::some().await;
    for name in ["root", "adam"] {
        let path = format!("/api/users/{}", people.id(name));
        let full = people.program(name, &["all", "tokens"]).await;
        for client in [people.browser_of(name).await, full] {
            let change = json!({"password": OTHER});
            let detail = client.ask("PATCH", &path, change).await.detail(403);
            assert!(detail.contains("use /api/auth/password"), "{detail}");
        }
        people.browser_of(name).await;
    }
}
