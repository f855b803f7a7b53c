//! Users, grants, groups, tokens and the audit over HTTP.

use serde_json::{Value, json};

use crate::people::{Browser, PASSWORD, People};

const NONE: Value = Value::Null;

#[tokio::test]
async fn an_admin_of_the_team_manages_users_but_no_admin_of_the_server() {
    let people = People::some().await;
    let adam = people.browser_of("adam").await;
    let new = json!({"name": "nina", "password": PASSWORD, "role": "operator"});
    let nina = adam.expect(201, "POST", "/api/users", new.clone()).await;
    assert_eq!((&nina["name"], &nina["roles"]), (&json!("nina"), &json!(["operator"])));
    adam.expect(409, "POST", "/api/users", new).await;
    let browser = people.browser_of("nina").await;
    let path = format!("/api/users/{}", nina["id"].as_str().unwrap());
    let changed = adam.expect(200, "PATCH", &path, json!({"disabled": true})).await;
    assert_eq!((&changed["disabled"], browser.status().await), (&json!(true), 401));
    adam.expect(200, "PATCH", &path, json!({"disabled": false, "password": "yet another horse"}))
        .await;
    assert_eq!(browser.login("nina", "yet another horse").await.status, 200);
    // Without a detour over the admin of the server, either.
    let root = format!("/api/users/{}", people.id("root"));
    for change in
        [json!({"password": PASSWORD}), json!({"disabled": true}), json!({"server_admin": false})]
    {
        adam.expect(403, "PATCH", &root, change).await;
    }
    adam.expect(403, "DELETE", &root, NONE).await;
    adam.expect(403, "PATCH", &path, json!({"server_admin": true})).await;
    let new = json!({"name": "zoe", "password": PASSWORD, "server_admin": true});
    adam.expect(403, "POST", "/api/users", new).await;
    adam.expect(403, "POST", "/api/tokens", json!({"name": "x", "principal": people.id("root")}))
        .await;
    let of_root = people.program("root", &["all"]).await;
    let token =
        of_root.get("/api/tokens").await.json()["tokens"][0]["id"].as_str().unwrap().to_owned();
    adam.expect(403, "POST", &format!("/api/tokens/{token}/rotate"), NONE).await;
    adam.expect(403, "DELETE", &format!("/api/tokens/{token}"), NONE).await;

    let boss = people.browser_of("root").await;
    let last = boss.ask("DELETE", &root, NONE).await.detail(409);
    assert!(last.contains("needs an admin"), "{last}");
    boss.expect(409, "PATCH", &root, json!({"disabled": true})).await;
    boss.expect(409, "PATCH", &root, json!({"server_admin": false})).await;
    boss.expect(200, "PATCH", &path, json!({"server_admin": true, "password": PASSWORD})).await;
    adam.expect(403, "DELETE", &path, NONE).await;
    boss.expect(204, "DELETE", &path, NONE).await;
    assert_eq!(browser.status().await, 401);
    boss.expect(404, "DELETE", &path, NONE).await;
    let odd = json!({"name": "o\u{200b}dd", "password": PASSWORD});
    boss.expect(422, "POST", "/api/users", odd).await;
}

#[tokio::test]
async fn users_without_the_right_find_no_such_path() {
    let people = People::some().await;
    let olga = people.browser_of("olga").await;
    for path in ["/api/users", "/api/grants", "/api/groups", "/api/audit", "/api/tokens?all=true"] {
        let detail = olga.get(path).await.detail(404);
        assert!(detail.contains("not found"), "{detail}");
    }
    let mine = olga.expect(201, "POST", "/api/tokens", json!({"name": "mine"})).await;
    let id = mine["token"]["id"].as_str().unwrap();
    let vera = people.browser_of("vera").await;
    for (method, end) in [("DELETE", ""), ("POST", "/rotate")] {
        let detail = vera.ask(method, &format!("/api/tokens/{id}{end}"), NONE).await.detail(404);
        let never = vera.ask(method, &format!("/api/tokens/never{end}"), NONE).await.detail(404);
        assert_eq!(detail.replace(id, "never"), never);
    }
    let other = json!({"name": "x", "principal": people.id("vera")});
    olga.expect(404, "POST", "/api/tokens", other).await;
}

#[tokio::test]
async fn grants_and_groups_take_effect_at_once() {
    let people = People::some().await;
    let adam = people.browser_of("adam").await;
    let vera = people.browser_of("vera").await;
    let may_run = async |browser: &Browser| {
        let me = browser.get("/api/auth/me").await.json();
        me["rights"].as_array().unwrap().contains(&json!("run"))
    };
    assert!(!may_run(&vera).await);
    let members = json!({"members": [people.id("vera")]});
    adam.expect(200, "PUT", "/api/groups/ops", members).await;
    let grant = json!({"to": {"group": "ops"}, "role": "operator", "actions": ["deploy-*"]});
    let grant = adam.expect(201, "POST", "/api/grants", grant).await;
    assert!(may_run(&vera).await);
    let all = adam.get("/api/grants").await.json();
    let id = grant["id"].as_str().unwrap();
    let listed = all["grants"].as_array().unwrap().iter().find(|one| one["id"] == id).unwrap();
    assert_eq!((listed, &listed["to"]), (&grant, &json!({"group": "ops"})));
    adam.expect(204, "DELETE", &format!("/api/grants/{id}"), NONE).await;
    assert!(!may_run(&vera).await);
    adam.expect(404, "DELETE", &format!("/api/grants/{id}"), NONE).await;
    adam.expect(204, "DELETE", "/api/groups/ops", NONE).await;
    let unknown = json!({"to": {"user": "user:none"}, "role": "viewer"});
    adam.expect(404, "POST", "/api/grants", unknown).await;
}

#[tokio::test]
async fn a_program_acts_with_the_roles_that_it_is_given_until_it_is_removed() {
    let people = People::some().await;
    let adam = people.browser_of("adam").await;
    let ci = adam.expect(201, "POST", "/api/programs", json!({"name": "ci"})).await;
    adam.expect(409, "POST", "/api/programs", json!({"name": "ci"})).await;
    adam.expect(422, "POST", "/api/programs", json!({"name": "c\u{200b}i"})).await;
    assert_eq!(adam.get("/api/programs").await.json()["programs"], json!([ci]));
    let id = ci["id"].as_str().unwrap();
    let token = json!({"name": "build", "principal": id});
    let made = adam.expect(201, "POST", "/api/tokens", token).await;
    let program = people.browser().with_token(made["secret"].as_str().unwrap());
    let me = program.get("/api/auth/me").await.json();
    assert_eq!((&me["name"], &me["rights"]), (&json!("ci"), &json!([])));
    let role = json!({"to": {"program": id}, "role": "viewer"});
    adam.expect(201, "POST", "/api/grants", role).await;
    assert_eq!(program.get("/api/actions").await.status, 200);
    // Neither it nor a user without the right manages programs.
    let olga = people.browser_of("olga").await;
    let path = format!("/api/programs/{id}");
    for browser in [&program, &olga] {
        browser.expect(404, "GET", "/api/programs", NONE).await;
        browser.expect(404, "POST", "/api/programs", json!({"name": "mine"})).await;
        browser.expect(404, "DELETE", &path, NONE).await;
    }
    adam.expect(204, "DELETE", &path, NONE).await;
    adam.expect(404, "DELETE", &path, NONE).await;
    assert_eq!(program.get("/api/auth/me").await.status, 401);
    let entries = adam.get("/api/audit?what=program").await.json();
    let entries = entries["entries"].as_array().unwrap();
    let whats: Vec<&str> = entries.iter().map(|one| one["what"].as_str().unwrap()).collect();
    assert_eq!(whats, ["program.remove", "program.add"]);
}

/// Attack 11: tokens that are wrong in some way.
#[tokio::test]
async fn tokens_are_made_within_the_rights_of_their_maker_and_work_only_in_the_header() {
    let people = People::some().await;
    let olga = people.browser_of("olga").await;
    let body = json!({"name": "laptop", "scopes": ["read"], "days": 30});
    let made = olga.expect(201, "POST", "/api/tokens", body).await;
    let secret = made["secret"].as_str().unwrap();
    let (token, id) = (&made["token"], made["token"]["id"].as_str().unwrap());
    assert!(
        secret.ends_with(token["hint"].as_str().unwrap()) && token["revoked"] == false,
        "{made}"
    );
    assert_eq!(token["principal_name"], "olga");
    assert_eq!(olga.get("/api/tokens").await.json()["tokens"], json!([token]));
    let with = |header: &str| {
        let mut request = people.browser().request("GET", "/api/auth/me", &NONE);
        request.headers_mut().insert("authorization", header.parse().unwrap());
        request
    };
    let me = olga.send(with(&format!("Bearer {secret}"))).await.json();
    assert_eq!((&me["via"], &me["name"]), (&json!("token"), &json!("olga")));
    assert!(!me["rights"].as_array().unwrap().contains(&json!("run")), "{me}");
    let (most, other) =
        (&secret[..secret.len() - 1], if secret.ends_with('x') { 'y' } else { 'x' });
    let wrong = olga.send(with(&format!("Bearer {most}{other}"))).await;
    assert!(wrong.detail(401).contains("typing error"));
    let stranger = people.browser();
    for path in
        [format!("/api/version?token={secret}"), format!("/api/version?access_token={secret}")]
    {
        assert_eq!(stranger.get(&path).await.status, 401, "{path}");
    }
    // A token makes none without its scope, and then none that gives more.
    let reader = people.program("olga", &["read", "cancel"]).await;
    reader.expect(403, "POST", "/api/tokens", json!({"name": "x", "scopes": ["read"]})).await;
    reader.expect(403, "POST", &format!("/api/tokens/{id}/rotate"), NONE).await;
    reader.expect(403, "DELETE", &format!("/api/tokens/{id}"), NONE).await;
    let maker = people.program("olga", &["read", "tokens"]).await;
    maker.expect(403, "POST", "/api/tokens", json!({"name": "x"})).await;
    maker
        .expect(201, "POST", "/api/tokens", json!({"name": "x", "scopes": ["read"], "days": 1}))
        .await;
    let full = olga.expect(201, "POST", "/api/tokens", json!({"name": "full"})).await;
    let full = format!("/api/tokens/{}", full["token"]["id"].as_str().unwrap());
    maker.expect(403, "POST", &format!("{full}/rotate"), NONE).await;
    olga.expect(403, "POST", "/api/tokens", json!({"name": "x", "never_expires": true})).await;
    olga.expect(422, "POST", "/api/tokens", json!({"name": "x", "scopes": ["everything"]})).await;
    olga.expect(422, "POST", "/api/tokens", json!({"name": "x", "days": 400})).await;

    let rotated = olga
        .expect(200, "POST", &format!("/api/tokens/{id}/rotate"), json!({"overlap_s": 0}))
        .await;
    let second = rotated["secret"].as_str().unwrap();
    assert_eq!(olga.send(with(&format!("Bearer {secret}"))).await.status, 401);
    assert_eq!(olga.send(with(&format!("Bearer {second}"))).await.status, 200);
    let adam = people.browser_of("adam").await;
    assert!(adam.get("/api/tokens?all=true").await.json()["tokens"].as_array().unwrap().len() > 3);
    adam.expect(204, "DELETE", &format!("/api/tokens/{id}"), NONE).await;
    assert_eq!(olga.send(with(&format!("Bearer {second}"))).await.status, 401);
    // A token may end itself.
    let own = reader.get("/api/tokens").await.json();
    let own = own["tokens"]
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["scopes"][1] == "cancel")
        .unwrap();
    reader
        .expect(204, "DELETE", &format!("/api/tokens/{}", own["id"].as_str().unwrap()), NONE)
        .await;
    assert_eq!(reader.status().await, 401);
}

#[tokio::test]
async fn the_audit_says_who_changed_what_and_from_where() {
    let people = People::some().await;
    let adam = people.browser_of("adam").await;
    adam.login("adam", "wrong password").await;
    adam.expect(201, "POST", "/api/users", json!({"name": "nina", "password": PASSWORD})).await;
    let page = adam.get("/api/audit?limit=3").await.json();
    let entries = page["entries"].as_array().unwrap();
    let [added, refused, signed_in] = &entries[..] else { panic!("{page}") };
    assert_eq!((&added["what"], &added["detail"]), (&json!("user.add"), &json!("nina")));
    assert_eq!((&added["who"]["name"], &added["from"]), (&json!("adam"), &json!("192.0.2.1")));
    assert!(added["who"]["via"].as_str().unwrap().starts_with("sign-in:"), "{added}");
    assert_eq!((&refused["decision"], &refused["detail"]), (&json!("refused"), &json!("adam")));
    assert_eq!(signed_in["what"], "sign_in");
    let next: u64 = page["next"].as_str().unwrap().parse().unwrap();
    let more = adam.get(&format!("/api/audit?limit=3&after={next}")).await.json();
    assert_eq!(more["entries"][0]["n"], next - 1);
    let mine = adam.get("/api/audit?who=adam&what=user").await.json();
    assert_eq!((mine["entries"].as_array().unwrap().len(), &mine["next"]), (1, &NONE));
    let none = adam.get("/api/audit?since=2100-01-01T00:00:00Z").await.json();
    assert_eq!(none, json!({"entries": [], "next": null, "unreadable": 0}));
    assert_eq!(adam.get("/api/audit?log=runs").await.json()["entries"], json!([]));
    // Nothing in it is a secret.
    let all = adam.get("/api/audit?limit=1000").await;
    assert!(!all.text().contains(PASSWORD) && !all.text().contains("wrong password"));
    assert_eq!(
        people.records.get("user", &people.id("nina")).await.unwrap().unwrap().id.to_string(),
        people.id("nina")
    );
}

#[tokio::test]
async fn an_admin_asks_what_a_user_may_do() {
    let people = People::some().await;
    let adam = people.browser_of("adam").await;
    let path = format!("/api/users/{}/may", people.id("vera"));
    let may = adam.expect(200, "GET", &path, NONE).await;
    let rights = may["rights"].as_array().unwrap();
    assert!(rights.contains(&json!("read")) && !rights.contains(&json!("run")), "{may}");
    assert_eq!(may["own"], json!([]));
    let grant = json!({
        "to": {"user": people.id("vera")},
        "role": "operator",
        "own_only": true,
    });
    adam.expect(201, "POST", "/api/grants", grant).await;
    let may = adam.expect(200, "GET", &path, NONE).await;
    assert!(may["own"].as_array().unwrap().contains(&json!("cancel")), "{may}");
    let detail = adam.get(&format!("{path}?action=none")).await.detail(404);
    assert!(detail.contains("action \"none\" not found"), "{detail}");
    adam.expect(404, "GET", "/api/users/none/may", NONE).await;
    let vera = people.browser_of("vera").await;
    vera.expect(404, "GET", &path, NONE).await;
}
