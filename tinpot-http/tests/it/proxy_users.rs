//! People whom a proxy signs in, and attacks on that.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use tinpot_access::{ExternalIdentity, Grant, Grantee, NewTeam, NewUser, Role, Secret};
use tinpot_core::{Coordinator, MemoryNetwork, Result};
use tinpot_http::testing::authenticator::Subject;
use tinpot_http::{
    Accounts, Authenticator, HttpConfig, Identity, PeerAddress, Presented, ProxyUsers,
};
use tower::ServiceExt;

use crate::people::{Browser, HOST, PASSWORD, People, by};

const PROXY: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 5)), 80);

fn secret() -> String {
    "a-secret-of-the-proxy".to_owned()
}

fn proxy_users() -> ProxyUsers {
    let from = vec!["10.0.0.0/24".parse().unwrap()];
    let users = ProxyUsers::new(from, Secret::new(secret())).unwrap();
    users.groups_header("Remote-Groups").unwrap().admin_group("tinpot-admins")
}

async fn people() -> People {
    let people = People::some().await.configured(|one| one.proxy(proxy_users()), |config| config);
    people.directory.set_group(&by(), "ops", &[]).await.unwrap();
    let grant = Grant::new(Grantee::Group("ops".into()), Role::Operator);
    people.directory.add_grant(&by(), grant).await.unwrap();
    people
}

/// A browser behind the proxy, which adds these headers.
struct Behind {
    browser: Browser,
    headers: Vec<(&'static str, String)>,
}

impl Behind {
    fn new(people: &People, user: &str, groups: &str) -> Self {
        let mut browser = people.browser();
        browser.peer = PROXY;
        let headers = vec![
            ("tinpot-proxy-secret", secret()),
            ("remote-user", user.to_owned()),
            ("remote-groups", groups.to_owned()),
        ];
        Self { browser, headers }
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Request<Body> {
        let mut request = self.browser.request(method, path, body);
        for (name, value) in &self.headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        request
    }

    async fn ask(&self, status: u16, method: &str, path: &str, body: Value) -> Value {
        let answer = self.browser.send(self.request(method, path, &body)).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }
}

#[tokio::test]
async fn a_person_behind_the_proxy_acts_in_their_teams_only() {
    let builder = |_: &_| Coordinator::builder(MemoryNetwork::new().transport());
    let people = People::with_teams(builder).await;
    let people = people.configured(|one| one.proxy(proxy_users()), |config| config);
    let team = async |name: &str| {
        let team = people.directory.create_team(&by(), NewTeam::new(name)).await.unwrap();
        // The proxy names groups, but no teams.
        let directory = people.directory.of_team(team.id.clone());
        directory.set_group(&by(), "ops", &[]).await.unwrap();
        let grant = Grant::new(Grantee::Group("ops".into()), Role::Operator).team(team.id.clone());
        directory.add_grant(&by(), grant).await.unwrap();
        team
    };
    let (red, blue) = (team("red").await, team("blue").await);
    let mut ada = Behind::new(&people, "ada", "ops");
    let me = ada.ask(200, "GET", "/api/auth/me", Value::Null).await;
    assert_eq!(
        me["rights"],
        json!([]),
        "a group of that name gives nothing outside of a team: {me}"
    );
    let user = people.id("ada");
    people.directory.add_member(&by(), &red.id, &user, None).await.unwrap();
    let mut in_team = async |team: &str, status: u16| {
        ada.headers.push(("tinpot-team", team.to_owned()));
        let me = ada.ask(status, "GET", "/api/auth/me", Value::Null).await;
        ada.headers.pop();
        me
    };
    let me = in_team("red", 200).await;
    assert_eq!(me["team"], *red.id);
    assert!(me["rights"].as_array().unwrap().contains(&json!("run")), "{me}");
    let other = in_team("blue", 404).await.to_string();
    let never = in_team("never", 404).await.to_string();
    assert_eq!(other, never.replace("never", "blue"));
    assert!(!other.contains(&*blue.id));
}

#[tokio::test]
async fn a_person_behind_the_proxy_is_a_user_with_the_grants_of_their_groups() {
    let people = people().await;
    let ada = Behind::new(&people, "ada@example.org", "ops, unknown");
    let me = ada.ask(200, "GET", "/api/auth/me", Value::Null).await;
    assert_eq!((&me["name"], &me["via"]), (&json!("ada@example.org"), &json!("proxy")));
    assert_eq!((&me["has_password"], &me["server_admin"]), (&json!(false), &json!(false)));
    let rights = ["see_action", "run", "read", "cancel", "rerun", "see_queue", "see_worker"];
    assert_eq!(me["rights"], json!(rights));
    let stranger = Behind::new(&people, "eve", "");
    let me = stranger.ask(200, "GET", "/api/auth/me", Value::Null).await;
    assert_eq!(me["rights"], json!([]), "no group, no right");
    stranger.ask(404, "GET", "/api/users", Value::Null).await;
    // The user of this name in the directory is another person.
    let root = Behind::new(&people, "root", "");
    let me = root.ask(200, "GET", "/api/auth/me", Value::Null).await;
    assert_eq!((&me["name"], &me["rights"]), (&json!("root-2"), &json!([])));
    let admin = Behind::new(&people, "grace", "tinpot-admins");
    let me = admin.ask(200, "GET", "/api/auth/me", Value::Null).await;
    assert_eq!(me["server_admin"], true);
    let users = admin.ask(200, "GET", "/api/users", Value::Null).await.to_string();
    assert!(users.contains("ada@example.org") && users.contains("eve"), "{users}");
    // A token of such a user works without the proxy.
    let made = ada.ask(201, "POST", "/api/tokens", json!({"name": "ci"})).await;
    let mut request = people.browser().request("GET", "/api/auth/me", &Value::Null);
    request.headers_mut().remove("cookie");
    let token = format!("Bearer {}", made["secret"].as_str().unwrap());
    request.headers_mut().insert("authorization", token.parse().unwrap());
    assert_eq!(people.browser().send(request).await.json()["name"], "ada@example.org");
    // Headers of the proxy's own sign-in are not for this server.
    let mut basic = ada.request("GET", "/api/auth/me", &Value::Null);
    basic.headers_mut().insert("authorization", "Basic YWRhOng=".parse().unwrap());
    assert_eq!(ada.browser.send(basic).await.json()["via"], "proxy");
    let options = people.browser().get("/api/auth/options").await.json();
    assert_eq!(options["methods"], json!(["password", "proxy"]));
}

/// Attack 4: headers of the proxy, from others.
#[tokio::test]
async fn headers_of_the_proxy_from_elsewhere_are_refused_and_recorded() {
    let people = people().await;
    let victim = Behind::new(&people, "grace", "tinpot-admins");
    victim.ask(200, "GET", "/api/auth/me", Value::Null).await;
    let path = "/api/auth/me";
    let peers = [[192, 0, 2, 1], [127, 0, 0, 1], [10, 0, 1, 5]];
    for peer in peers {
        let mut forged = Behind::new(&people, "grace", "tinpot-admins");
        forged.browser.peer = (peer, 4711).into();
        forged.ask(401, "GET", path, Value::Null).await;
        // One of the headers is enough, whatever else the request has.
        for kept in 0..3 {
            let mut one = Behind::new(&people, "grace", "tinpot-admins");
            one.browser.peer = (peer, 4711).into();
            one.headers = vec![one.headers.swap_remove(kept)];
            one.ask(401, "GET", path, Value::Null).await;
        }
    }
    // From its address, but another program.
    type Change = fn(&mut HeaderMap);
    let attacks: [(&str, Change); 8] = [
        ("no secret", |headers| drop(headers.remove("tinpot-proxy-secret"))),
        ("another secret", |headers| {
            headers.insert("tinpot-proxy-secret", "a-secret-of-the-prox".parse().unwrap());
        }),
        ("two secrets", |headers| {
            headers.append("tinpot-proxy-secret", "x".parse().unwrap());
        }),
        ("two users", |headers| {
            headers.append("remote-user", "root".parse().unwrap());
        }),
        ("two lists of groups", |headers| {
            headers.append("remote-groups", "tinpot-admins".parse().unwrap());
        }),
        ("groups without a user", |headers| drop(headers.remove("remote-user"))),
        ("an endless user", |headers| {
            headers.insert("remote-user", "x".repeat(9_000).parse().unwrap());
        }),
        ("no text", |headers| {
            let bytes = axum::http::HeaderValue::from_bytes(b"\xff\xfe").unwrap();
            headers.insert("remote-user", bytes);
        }),
    ];
    for (what, change) in attacks {
        let mut request = victim.request("GET", path, &Value::Null);
        change(request.headers_mut());
        let answer = victim.browser.send(request).await;
        assert_eq!(answer.status, 401, "{what}: {answer:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(&secret()), "{what}: {answer:?}");
    }
    // Writes what is counted.
    people.coordinator.shutdown().await;
    let path = "/api/audit?what=authenticate";
    let audit = victim.ask(200, "GET", path, Value::Null).await.to_string();
    assert!(audit.contains("only for the proxy") && audit.contains("192.0.2.1"), "{audit}");
    assert!(!audit.contains(&secret()), "{audit}");
}

/// A stream repeats what its request presented, which must not undo what newer requests present.
#[tokio::test]
async fn an_open_stream_does_not_bring_lost_groups_back() {
    let people = people().await;
    let admin = Behind::new(&people, "grace", "tinpot-admins");
    admin.ask(200, "GET", "/api/auth/me", Value::Null).await;
    let before = Behind::new(&people, "ada", "ops, tinpot-admins");
    let mut request = before.request("GET", "/api/stream", &Value::Null);
    request.extensions_mut().insert(PeerAddress(PROXY));
    let answer = people.router.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    // A request whose body is still to come.
    let mut slow = before.request("POST", "/api/tokens", &json!({"name": "x"}));
    let body = std::mem::take(slow.body_mut());
    let (send, rest) = tokio::sync::oneshot::channel::<()>();
    let (polled, is_polled) = tokio::sync::oneshot::channel::<()>();
    let late = futures::stream::once(async move {
        polled.send(()).unwrap();
        rest.await.unwrap();
        axum::body::to_bytes(body, 1024).await
    });
    *slow.body_mut() = Body::from_stream(late);
    let slow = before.browser.send(slow);
    let now = async {
        is_polled.await.unwrap();
        let now = Behind::new(&people, "ada", "");
        let me = now.ask(200, "GET", "/api/auth/me", Value::Null).await;
        assert_eq!((&me["rights"], &me["server_admin"]), (&json!([]), &json!(false)));
        send.send(()).unwrap();
    };
    let (slow, ()) = tokio::join!(slow, now);
    assert!(slow.detail(401).contains("changed after this request began"), "{slow:?}");
    let end = axum::body::to_bytes(answer.into_body(), 1024 * 1024);
    tokio::time::timeout(Duration::from_secs(20), end).await.expect("the end").unwrap();
    let user = people.directory.user("ada").unwrap();
    assert_eq!(user.external(), Some(("proxy", Vec::new())));
    assert!(!people.directory.is_server_admin(&user.id));
    let audit = admin.ask(200, "GET", "/api/audit?what=user.groups", Value::Null).await;
    assert_eq!(audit.to_string().matches("\"user.groups\"").count(), 1, "{audit}");
}

/// The proxy knows the browser by something that it sends with every request: as with a cookie, a page
/// of another site must not use it.
#[tokio::test]
async fn a_page_of_another_site_changes_nothing_through_the_proxy() {
    let people = people().await;
    let ada = Behind::new(&people, "ada", "ops");
    let own = || ada.request("POST", "/api/tokens", &json!({"name": "x"}));
    assert_eq!(ada.browser.send(own()).await.status, 201);
    type Change = fn(&mut HeaderMap);
    let attacks: [(&str, Change); 4] = [
        ("a form", |headers| {
            headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        }),
        ("another site", |headers| {
            headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
        }),
        ("another origin", |headers| {
            headers.remove("sec-fetch-site");
            headers.insert("origin", "http://evil.example".parse().unwrap());
        }),
        ("no origin", |headers| {
            headers.remove("sec-fetch-site");
            headers.remove("origin");
        }),
    ];
    for (what, change) in attacks {
        let mut request = own();
        change(request.headers_mut());
        let answer = ada.browser.send(request).await;
        assert!(matches!(answer.status.as_u16(), 403 | 415), "{what}: {answer:?}");
    }
}

#[tokio::test]
async fn without_passwords_there_is_no_sign_in_with_one() {
    let people = People::some().await;
    let people = people.configured(|one| one.passwords(false).proxy(proxy_users()), |one| one);
    let browser = people.browser();
    let options = browser.get("/api/auth/options").await.json();
    let expected = json!({"methods": ["proxy"], "ticket": false, "set_up": false, "anonymous": false, "insecure": false, "device": true});
    assert_eq!(options, expected);
    let refused = browser.login("root", PASSWORD).await;
    assert!(refused.detail(403).contains("do not sign in with passwords"));
    let ada = Behind::new(&people, "ada", "");
    ada.ask(409, "POST", "/api/auth/logout", Value::Null).await;
}

/// A stranger who comes first takes no place from the first admin.
#[tokio::test]
async fn the_first_admin_can_be_made_after_people_have_come() {
    let people = People::none().await.configured(|one| one.proxy(proxy_users()), |one| one);
    Behind::new(&people, "eve", "").ask(200, "GET", "/api/auth/me", Value::Null).await;
    let options = people.browser().get("/api/auth/options").await.json();
    assert_eq!(options["set_up"], true);
    let ticket = people.directory.create_set_up_ticket().await.unwrap();
    let body = json!({"ticket": ticket.expose(), "user": "ada", "password": PASSWORD});
    people.browser().expect(200, "POST", "/api/auth/set-up", body).await;
    let again = people.directory.set_up("none", NewUser::new("bob")).await;
    assert!(again.unwrap_err().to_string().contains("has users already"));
}

#[tokio::test]
async fn the_public_url_is_allowed_and_its_cookies_are_those_of_https() {
    let url = "https://tinpot.example.org".parse().unwrap();
    let people = People::some().await.configured(|one| one, |config| config.public_url(url));
    let browser = people.browser();
    let to = |host: &str, origin: &str| {
        let body = json!({"user": "vera", "password": PASSWORD});
        let mut request = browser.request("POST", "/api/auth/login", &body);
        request.headers_mut().insert("host", host.parse().unwrap());
        request.headers_mut().remove("sec-fetch-site");
        request.headers_mut().insert("origin", origin.parse().unwrap());
        request
    };
    let public = "https://tinpot.example.org";
    let answer = browser.send(to("tinpot.example.org", public)).await;
    assert!(answer.header("set-cookie").starts_with("__Host-tinpot="), "{answer:?}");
    assert_eq!(browser.send(to("evil.example.org", public)).await.status, 421);
    // A proxy may name this machine instead.
    assert_eq!(browser.send(to(HOST, public)).await.status, 200);
    assert_eq!(browser.send(to(HOST, "https://evil.example.org")).await.status, 403);
}

/// The authenticator behind the proxy: all requests come from its address.
#[derive(Debug)]
struct FromProxy(Arc<dyn Authenticator>);

#[async_trait]
impl Authenticator for FromProxy {
    async fn authenticate(&self, request: &Presented<'_>) -> Result<Identity> {
        let request = Presented::new(request.method, request.path, request.headers);
        self.0.authenticate(&request.peer(Some(PROXY))).await
    }
}

struct Headers {
    people: People,
    authenticator: FromProxy,
    id: String,
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let parsed = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
    HeaderMap::from_iter(parsed)
}

#[async_trait]
impl Subject for Headers {
    fn authenticator(&self) -> &dyn Authenticator {
        &self.authenticator
    }

    fn valid(&self) -> (HeaderMap, String) {
        let pairs = [("tinpot-proxy-secret", &*secret()), ("remote-user", "ada")];
        (headers(&pairs), self.id.clone())
    }

    fn invalid(&self) -> Vec<(&'static str, HeaderMap)> {
        vec![
            ("without the secret", headers(&[("remote-user", "ada")])),
            ("unknown", headers(&[("tinpot-proxy-secret", "mistaken"), ("remote-user", "ada")])),
        ]
    }

    async fn revoke(&self) -> bool {
        self.people.directory.set_disabled(&by(), &self.id, true).await.unwrap();
        true
    }
}

async fn subject() -> Headers {
    let people = People::some().await;
    let accounts = Accounts::new(people.login.clone()).proxy(proxy_users());
    let authenticator = HttpConfig::default().accounts(accounts).authenticator.unwrap();
    let person = ExternalIdentity::new("proxy", "proxy", "ada").unwrap();
    let id = people.directory.external_user(&person).await.unwrap().unwrap().id.to_string();
    Headers { people, authenticator: FromProxy(authenticator), id }
}

tinpot_http::authenticator_conformance!(subject);
