//! Sign-in with passwords and tickets, and attacks on it.

use std::time::Duration;

use axum::http::HeaderMap;
use futures::FutureExt;
use futures::future::join_all;
use serde_json::{Value, json};
use tinpot_access::{PasswordCost, Passwords};
use tinpot_http::testing::authenticator::Subject;
use tinpot_http::{Authenticator, DirectoryAuthenticator};

use crate::people::{Browser, HOST, PASSWORD, People, by, cheap_passwords};

#[tokio::test]
async fn a_password_opens_a_session_in_a_cookie_and_signing_out_ends_it() {
    let people = People::some().await;
    let browser = people.browser();
    let options = browser.get("/api/auth/options").await.json();
    let expected = json!({"methods": ["password"], "ticket": true, "set_up": false, "anonymous": false, "insecure": false, "device": true});
    assert_eq!(options, expected);
    assert_eq!(browser.get("/api/auth/me").await.status, 401);
    for (user, password) in [("olga", "wrong"), ("eve", PASSWORD), ("olga", "")] {
        let detail = browser.login(user, password).await.detail(401);
        assert_eq!(detail, "user or password is wrong");
    }
    let answer = browser.login("Olga", PASSWORD).await;
    let cookie = answer.header("set-cookie").to_owned();
    let (pair, rules) = cookie.split_once(';').unwrap();
    assert!(pair.starts_with("tinpot-8000="), "{cookie}");
    assert_eq!(rules, " Path=/; Max-Age=604800; HttpOnly; SameSite=Strict");
    let me = browser.get("/api/auth/me").await.json();
    assert_eq!(answer.json()["id"], me["id"]);
    assert_eq!(
        (&me["name"], &me["via"], &me["team"]),
        (&json!("olga"), &json!("sign_in"), &json!("default"))
    );
    let rights = ["see_action", "run", "read", "cancel", "rerun", "see_queue", "see_worker"];
    assert_eq!((&me["rights"], &me["server_admin"]), (&json!(rights), &json!(false)));
    assert!(me["valid_until"].is_string(), "{me}");
    let old = browser.session();
    let left = browser.ask("POST", "/api/auth/logout", Value::Null).await;
    assert_eq!(left.status, 204);
    assert!(!browser.cookie().contains("tinpot-8000="), "{}", browser.cookie());
    *browser.cookies.lock().unwrap() = [("tinpot-8000".into(), old)].into();
    assert_eq!(browser.status().await, 401);
}

#[tokio::test]
async fn a_password_of_10_kb_signs_no_user_in_and_is_not_taken_as_a_new_one() {
    let people = People::some().await;
    let long = "x".repeat(10_000);
    let browser = people.browser();
    // Also one that begins with the right one: all bytes count.
    for password in [long.clone(), format!("{PASSWORD}{long}")] {
        let detail = browser.login("olga", &password).await.detail(401);
        assert_eq!(detail, "user or password is wrong");
    }
    let browser = people.browser_of("olga").await;
    let change = json!({"current": PASSWORD, "new": long});
    let detail = browser.ask("POST", "/api/auth/password", change).await.detail(422);
    assert!(detail.contains("at most 1024 bytes (got 10000)"), "{detail}");
    assert_eq!(people.browser().login("olga", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn the_cookie_of_https_is_bound_to_its_host() {
    let people = People::some().await;
    let mut browser = people.browser();
    // From clients other than proxies, the header is an unverified claim.
    browser.peer = ([127, 0, 0, 1], 80).into();
    let secure = |mut request: axum::http::Request<axum::body::Body>| {
        request.headers_mut().insert("x-forwarded-proto", "https".parse().unwrap());
        request
    };
    let body = json!({"user": "vera", "password": PASSWORD});
    let mut request = browser.request("POST", "/api/auth/login", &body);
    request.headers_mut().insert("origin", "https://localhost:8000".parse().unwrap());
    let answer = browser.send(secure(request)).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-tinpot="), "{cookie}");
    assert!(
        cookie.ends_with("; Path=/; Max-Age=604800; HttpOnly; Secure; SameSite=Lax"),
        "{cookie}"
    );
    let get = || browser.request("GET", "/api/version", &Value::Null);
    assert_eq!(browser.send(secure(get())).await.status, 200);
    // One that a page over plain HTTP, or another host, could have set is none.
    assert_eq!(browser.send(get()).await.status, 401);
    let value = browser.cookies.lock().unwrap()["__Host-tinpot"].clone();
    *browser.cookies.lock().unwrap() = [("tinpot-8000".to_owned(), value)].into();
    assert_eq!(browser.send(secure(get())).await.status, 401);
    assert_eq!(browser.send(get()).await.status, 200);
}

#[tokio::test]
async fn strangers_who_guess_lock_out_no_browser_that_its_user_has_signed_in_with() {
    let people = People::some().await;
    let own = people.browser_of("olga").await;
    own.expect(204, "POST", "/api/auth/logout", Value::Null).await;
    let device = own.cookie();
    assert!(device.starts_with("tinpot-device-8000=") && !device.contains(';'), "{device}");
    for number in 0..60 {
        let mut stranger = people.browser();
        stranger.peer = ([203, 0, number, 1], 1).into();
        stranger.login("olga", "a guess of a stranger").await;
    }
    let mut other = people.browser();
    assert_eq!(other.login("olga", PASSWORD).await.status, 429);
    // The cookie of another user's browser is none for this one.
    other.peer = ([198, 51, 100, 1], 1).into();
    let foreign = people.browser_of("vera").await;
    foreign.expect(204, "POST", "/api/auth/logout", Value::Null).await;
    *other.cookies.lock().unwrap() = foreign.cookies.lock().unwrap().clone();
    assert_eq!(other.login("olga", PASSWORD).await.status, 429);
    assert_eq!(own.login("olga", PASSWORD).await.status, 200);
}

/// Attack 5: a page of another site uses the cookie of its visitor.
#[tokio::test]
async fn a_page_of_another_site_changes_nothing_with_the_cookie() {
    let people = People::some().await;
    let browser = people.browser_of("root").await;
    let own = || browser.request("POST", "/api/tokens", &json!({"name": "x"}));
    assert_eq!(browser.send(own()).await.status, 201);
    type Change = fn(&mut HeaderMap);
    let attacks: [(&str, Change); 7] = [
        ("a form", |headers| {
            headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        }),
        ("text", |headers| {
            headers.insert("content-type", "text/plain".parse().unwrap());
        }),
        ("two types", |headers| {
            headers.append("content-type", "text/plain".parse().unwrap());
        }),
        ("another site", |headers| {
            headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
        }),
        ("a sibling host", |headers| {
            headers.insert("sec-fetch-site", "same-site".parse().unwrap());
        }),
        ("another origin", |headers| {
            headers.remove("sec-fetch-site");
            headers.insert("origin", "http://localhost:9000".parse().unwrap());
        }),
        ("no origin", |headers| {
            headers.remove("sec-fetch-site");
            headers.remove("origin");
        }),
    ];
    for (what, change) in attacks {
        let mut request = own();
        change(request.headers_mut());
        let answer = browser.send(request).await;
        assert!(matches!(answer.status.as_u16(), 403 | 415), "{what}: {answer:?}");
    }
    // Nor does one sign its visitor in as another user.
    let body = json!({"user": "vera", "password": PASSWORD});
    let mut request = browser.request("POST", "/api/auth/login", &body);
    request.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(browser.send(request).await.status, 403);
    // A link changes nothing.
    let before = people.directory.tokens().len();
    for path in ["/api/tokens", "/api/auth/logout", "/api/tokens?name=x"] {
        let answer = browser.get(path).await;
        assert!(matches!(answer.status.as_u16(), 200 | 405 | 422), "{path}: {answer:?}");
    }
    assert_eq!((people.directory.tokens().len(), browser.status().await), (before, 200));
}

/// Attack 13: a session that was planted, or is older than the password.
#[tokio::test]
async fn a_planted_session_stays_unknown_and_an_old_one_ends_with_the_password() {
    let people = People::some().await;
    let victim = people.browser();
    let planted = "A".repeat(43);
    victim.cookies.lock().unwrap().insert("tinpot-8000".to_owned(), planted.clone());
    assert_eq!(victim.login("olga", PASSWORD).await.status, 200);
    assert!(!victim.cookie().contains(&planted), "each sign-in has a secret of its own");
    let thief = people.browser();
    thief.cookies.lock().unwrap().insert("tinpot-8000".to_owned(), planted);
    assert_eq!(thief.status().await, 401);
    // Both: the browser is confused, or a page has set the second.
    let mut both = victim.request("GET", "/api/version", &Value::Null);
    let twice = format!("{}; tinpot-8000=x", victim.cookie());
    both.headers_mut().insert("cookie", twice.parse().unwrap());
    assert_eq!(victim.send(both).await.status, 401);

    let other = people.browser_of("olga").await;
    let new = "another horse battery";
    let change = |current: &str| json!({"current": current, "new": new});
    victim.expect(403, "POST", "/api/auth/password", change("wrong")).await;
    let short = json!({"current": PASSWORD, "new": "short"});
    victim.expect(422, "POST", "/api/auth/password", short).await;
    assert_eq!(other.status().await, 200);
    victim.expect(204, "POST", "/api/auth/password", change(PASSWORD)).await;
    assert_eq!((victim.status().await, other.status().await), (200, 401));
    assert_eq!(other.login("olga", PASSWORD).await.status, 401);
    assert_eq!(other.login("olga", new).await.status, 200);
    let program = people.program("olga", &["all"]).await;
    program.expect(403, "POST", "/api/auth/password", change(new)).await;
}

/// Attack 3: a ticket that was read in a history or a log.
/// A thief with a stolen cookie holds a request open, byte by byte, until its sign-in has ended.
#[tokio::test]
async fn a_slow_body_is_not_taken_from_a_sign_in_that_has_ended() {
    let people = People::some().await;
    let browser = people.browser_of("olga").await;
    let mut request = browser.request("POST", "/api/tokens", &json!({}));
    request.headers_mut().remove("content-length");
    let (body, mut rest) = tokio::sync::mpsc::unbounded_channel::<Result<&str, String>>();
    let rest = futures::stream::poll_fn(move |cx| rest.poll_recv(cx));
    *request.body_mut() = axum::body::Body::from_stream(rest);
    let mut sending = std::pin::pin!(browser.send(request));
    body.send(Ok("{\"name\":")).unwrap();
    assert!((&mut sending).now_or_never().is_none());

    let owner = people.browser_of("olga").await;
    owner.expect(204, "POST", "/api/auth/logout", json!({"everywhere": true})).await;
    body.send(Ok("\"mine\"}")).unwrap();
    drop(body);
    assert_eq!(sending.await.status, 401);
    let again = people.browser_of("olga").await;
    assert_eq!(again.get("/api/tokens").await.json()["tokens"], json!([]));
}

#[tokio::test]
async fn a_ticket_signs_in_once() {
    let people = People::some().await;
    let minute = Duration::from_secs(60);
    let ticket = people.directory.create_sign_in_ticket(&people.id("olga"), minute).await.unwrap();
    let body = json!({"ticket": ticket.expose()});
    let browsers: Vec<Browser> = (0..5).map(|_| people.browser()).collect();
    let uses = browsers.iter().map(|one| one.ask("POST", "/api/auth/ticket", body.clone()));
    let mut statuses: Vec<u16> =
        join_all(uses).await.into_iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401, 401, 401, 401]);
    let again = people.browser().ask("POST", "/api/auth/ticket", body).await.detail(401);
    assert!(again.starts_with("ticket is not accepted"), "{again}");
}

#[tokio::test]
async fn a_set_up_ticket_makes_the_first_admin() {
    let people = People::none().await;
    let browser = people.browser();
    assert_eq!(browser.get("/api/auth/options").await.json()["set_up"], true);
    let ticket = people.directory.create_set_up_ticket().await.unwrap();
    let body = |ticket: &str, password: &str| json!({"ticket": ticket, "user": "ada", "password": password});
    browser.expect(422, "POST", "/api/auth/set-up", body(ticket.expose(), "short")).await;
    browser.expect(401, "POST", "/api/auth/set-up", body("guess", PASSWORD)).await;
    let me = browser.expect(200, "POST", "/api/auth/set-up", body(ticket.expose(), PASSWORD)).await;
    assert_eq!((&me["name"], &me["server_admin"]), (&json!("ada"), &json!(true)));
    assert_eq!(browser.get("/api/users").await.json()["users"][0]["roles"], json!(["admin"]));
    assert_eq!(browser.get("/api/auth/options").await.json()["set_up"], false);
    let other = people.browser();
    other.expect(409, "POST", "/api/auth/set-up", body(ticket.expose(), PASSWORD)).await;
}

/// Attack 15: a storm of passwords.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_passwords_is_bounded_and_slows_no_other_request() {
    let passwords = Passwords::new(PasswordCost::default()).unwrap();
    let people = People::with(passwords).await;
    let user = tinpot_access::NewUser::new("root").server_admin();
    let root = people.directory.add_user(&by(), user).await.unwrap();
    let ticket = people.directory.create_sign_in_ticket(&root.id, Duration::from_secs(60)).await;
    let admin = people.browser();
    let ticket = json!({"ticket": ticket.unwrap().expose()});
    admin.expect(200, "POST", "/api/auth/ticket", ticket).await;
    // 300 attempts at once from one address, and as many from others.
    let storm: Vec<_> = (0..600_u32)
        .map(|number| {
            let mut browser = people.browser();
            let [_, _, high, low] = number.to_be_bytes();
            if number % 2 == 0 {
                browser.peer = ([203, high, low, 1], 1).into();
            }
            let name = format!("user-{number}");
            tokio::spawn(async move { browser.login(&name, "a guess of a stranger").await })
        })
        .collect();
    let started = std::time::Instant::now();
    for _ in 0..20 {
        assert_eq!(admin.status().await, 200);
    }
    // Loosely, since the machine may be busy: the benchmark has the numbers.
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let mut counts = std::collections::BTreeMap::<u16, u32>::new();
    for answer in join_all(storm).await {
        let answer = answer.unwrap();
        let status = answer.status.as_u16();
        *counts.entry(status).or_default() += 1;
        if matches!(status, 429 | 503) {
            assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0, "{answer:?}");
        }
    }
    assert!(counts[&429] >= 280, "20 a minute from one address: {counts:?}");
    assert!(counts[&503] >= 200, "32 wait, the others are turned away: {counts:?}");
    assert!(counts.keys().all(|status| matches!(status, 401 | 429 | 503)), "{counts:?}");
}

#[tokio::test]
async fn a_user_sees_and_ends_the_own_sign_ins() {
    let people = People::some().await;
    let (one, two) = (people.browser_of("vera").await, people.browser_of("vera").await);
    let other = people.browser_of("olga").await;
    let all = one.get("/api/auth/sign-ins").await.json();
    let all = all["sign_ins"].as_array().unwrap();
    assert_eq!(all.len(), 2);
    let foreign = all.iter().find(|sign_in| sign_in["current"] == false).unwrap();
    let path = format!("/api/auth/sign-ins/{}", foreign["id"].as_str().unwrap());
    other.expect(404, "DELETE", &path, Value::Null).await;
    let reader = people.program("vera", &["read"]).await;
    reader.expect(403, "DELETE", &path, Value::Null).await;
    reader.expect(403, "POST", "/api/auth/logout", json!({"everywhere": true})).await;
    reader.expect(409, "POST", "/api/auth/logout", Value::Null).await;
    one.expect(204, "DELETE", &path, Value::Null).await;
    assert_eq!((one.status().await, two.status().await), (200, 401));
    two.login("vera", PASSWORD).await;
    one.expect(204, "POST", "/api/auth/logout", json!({"everywhere": true})).await;
    assert_eq!((one.status().await, two.status().await, other.status().await), (401, 401, 200));
}

#[tokio::test]
async fn addresses_behind_a_proxy_on_this_machine_have_limits_of_their_own() {
    let people = People::with(cheap_passwords()).await;
    let mut proxy = people.browser();
    proxy.peer = ([127, 0, 0, 1], 80).into();
    let login = |browser: &Browser, from: &str| {
        let body = json!({"user": from, "password": "wrong"});
        let mut request = browser.request("POST", "/api/auth/login", &body);
        // What a client claims stands before what the proxy says.
        request
            .headers_mut()
            .insert("x-forwarded-for", format!("10.0.0.1, {from}").parse().unwrap());
        request
    };
    for number in 0..21 {
        let answer = proxy.send(login(&proxy, "198.51.100.7")).await;
        assert!(matches!(answer.status.as_u16(), 401 | 429), "{answer:?}");
        if number == 20 {
            assert_eq!(answer.status, 429);
        }
    }
    assert_eq!(proxy.send(login(&proxy, "203.0.113.9")).await.status, 401);
    // From elsewhere, the header is a claim.
    proxy.peer = ([203, 0, 113, 77], 80).into();
    assert_eq!(proxy.send(login(&proxy, "198.51.100.7")).await.status, 401);
}

/// The cookie of a sign-in, as a credential.
struct Cookies {
    people: People,
    authenticator: DirectoryAuthenticator,
    valid: HeaderMap,
}

async fn cookies() -> Cookies {
    let people = People::some().await;
    let browser = people.browser_of("olga").await;
    let valid = headers(&format!("tinpot-8000={}", browser.session()));
    let authenticator = DirectoryAuthenticator::new(people.directory.clone());
    Cookies { people, authenticator, valid }
}

fn headers(cookie: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("host", HOST.parse().unwrap());
    headers.insert("cookie", cookie.parse().unwrap());
    headers
}

#[async_trait::async_trait]
impl Subject for Cookies {
    fn authenticator(&self) -> &dyn Authenticator {
        &self.authenticator
    }

    fn valid(&self) -> (HeaderMap, String) {
        (self.valid.clone(), self.people.id("olga"))
    }

    fn invalid(&self) -> Vec<(&'static str, HeaderMap)> {
        let unknown = format!("tinpot-8000={}", "A".repeat(43));
        vec![("unknown", headers(&unknown)), ("malformed", headers("tinpot-8000=x y"))]
    }

    async fn revoke(&self) -> bool {
        self.people.directory.sign_out_everywhere(&by(), &self.people.id("olga")).await.is_ok()
    }
}

tinpot_http::authenticator_conformance!(cookies);
