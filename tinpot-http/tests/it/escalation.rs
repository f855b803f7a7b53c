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
    // With the scope, it makes no user of more rights.
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

#[tokio::test]
async fn of_a_change_with_an_error_nothing_is_done() {
    let people = People::some().await;
    let path = format!("/api/users/{}", people.id("olga"));
    let root = people.browser_of("root").await;
    for change in [
        json!({"server_admin": true, "password": "short"}),
        json!({"disabled": true, "password": "short"}),
    ] {
        root.expect(422, "PATCH", &path, change).await;
    }
    let own = format!("/api/users/{}", people.id("root"));
    root.expect(409, "PATCH", &own, json!({"server_admin": false, "disabled": true})).await;
    assert!(!people.directory.is_server_admin(&people.id("olga")));
    people.browser_of("olga").await;
    let all = json!({"server_admin": true, "password": OTHER, "disabled": true});
    root.expect(200, "PATCH", &path, all).await;
    let entries = root.get("/api/audit?limit=3").await.json();
    let what = entries["entries"].as_array().unwrap().iter().map(|entry| entry["what"].clone());
    assert_eq!(what.collect::<Vec<_>>(), ["user.disable", "user.promote", "user.password"]);
}

/// An admin of the team keeps a way in to a user who becomes an admin of the server.
#[tokio::test]
async fn a_new_admin_of_the_server_has_no_credentials_that_others_know() {
    let people = People::some().await;
    let adam = people.browser_of("adam").await;
    let root = people.browser_of("root").await;
    let path = |name: &str| format!("/api/users/{}", people.id(name));
    let new = json!({"name": "x", "principal": people.id("olga")});
    let made = adam.expect(201, "POST", "/api/tokens", new).await;
    let olga = people.browser_of("olga").await;
    root.expect(200, "PATCH", &path("olga"), json!({"server_admin": true})).await;
    let token = people.directory.authenticate_token(made["secret"].as_str().unwrap());
    token.expect_err("it was revoked");
    assert_eq!(olga.status().await, 401);
    // Nor the password.
    adam.expect(200, "PATCH", &path("vera"), json!({"password": OTHER})).await;
    let detail = root.ask("PATCH", &path("vera"), json!({"server_admin": true})).await.detail(409);
    assert!(detail.contains("was set by an admin of the team"), "{detail}");
    let change = json!({"server_admin": true, "password": PASSWORD});
    root.expect(200, "PATCH", &path("vera"), change).await;
    assert_eq!(adam.login("vera", OTHER).await.status, 401);
}

#[tokio::test]
async fn an_admin_of_the_team_takes_no_rights_of_admins_of_the_server_away() {
    let people = People::some().await;
    let (adam, root) = (people.browser_of("adam").await, people.browser_of("root").await);
    let grant_of = |name: &str| {
        let id = people.id(name);
        let mut grants = people.directory.grants().into_iter();
        let grant = grants.find(|grant| format!("{:?}", grant.to).contains(&id));
        format!("/api/grants/{}", grant.unwrap().id)
    };
    let none = serde_json::Value::Null;
    let members = |names: &[&str]| json!({"members": names.iter().map(|name| people.id(name)).collect::<Vec<_>>()});
    adam.expect(403, "DELETE", &grant_of("root"), none.clone()).await;
    adam.expect(200, "PUT", "/api/groups/ops", members(&["vera"])).await;
    adam.expect(403, "PUT", "/api/groups/ops", members(&["vera", "root"])).await;
    root.expect(200, "PUT", "/api/groups/ops", members(&["vera", "root"])).await;
    let grant = json!({"to": {"group": "ops"}, "role": "operator"});
    let grant = adam.expect(201, "POST", "/api/grants", grant).await;
    let grant = format!("/api/grants/{}", grant["id"].as_str().unwrap());
    adam.expect(403, "DELETE", &grant, none.clone()).await;
    adam.expect(403, "DELETE", "/api/groups/ops", none.clone()).await;
    adam.expect(403, "PUT", "/api/groups/ops", members(&["vera"])).await;
    // Others of the group are in its power.
    adam.expect(200, "PUT", "/api/groups/ops", members(&["olga", "root"])).await;

    root.expect(204, "DELETE", &grant_of("adam"), none.clone()).await;
    let detail = root.ask("DELETE", &grant_of("root"), none.clone()).await.detail(409);
    assert!(detail.contains("needs an admin"), "{detail}");
    // The last one may be in a group.
    root.expect(200, "PUT", "/api/groups/heads", members(&["olga"])).await;
    let heads = json!({"to": {"group": "heads"}, "role": "admin"});
    root.expect(201, "POST", "/api/grants", heads).await;
    root.expect(204, "DELETE", &grant_of("root"), none.clone()).await;
    let olga = people.browser_of("olga").await;
    olga.expect(409, "PUT", "/api/groups/heads", members(&[])).await;
    olga.expect(409, "DELETE", "/api/groups/heads", none).await;
}

/// A sign-in has no scopes.
#[tokio::test]
async fn a_token_makes_a_ticket_only_if_it_gives_as_much() {
    let people = People::some().await.local();
    let none = serde_json::Value::Null;
    for scopes in [&["server"][..], &["all"], &["server", "tokens"]] {
        let token = people.program("root", scopes).await;
        token.expect(403, "POST", "/api/auth/tickets", none.clone()).await;
    }
    let own = people.program("root", &["all", "tokens"]).await;
    own.expect(201, "POST", "/api/auth/tickets", none.clone()).await;
}
