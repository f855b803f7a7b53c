//! Sign-in with identity providers: a certified one, and one that lies.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use ureq::Agent;
use ureq::http::Uri;

use crate::support::{Process, Ran, file, free_port, tinpot};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/oidc");
const CLIENT_SECRET: &str = "a secret: of 100% & more";

/// Starts a program of an identity provider.
fn node(program: &str, arguments: &[&str]) -> Process {
    let installed = Path::new(FOLDER).join("node_modules/oidc-provider");
    assert!(installed.exists(), "run `npm ci` in tests/oidc, or `cargo xtask test`, which does");
    let mut command = Command::new("node");
    command.arg(program).args(arguments).current_dir(FOLDER);
    let mut process = Process::start(command);
    process.line("ready");
    process
}

/// A coordinator whose people an identity provider signs in.
struct Place {
    folder: tempfile::TempDir,
    port: u16,
    idp: u16,
    more: Vec<&'static str>,
    coordinator: Option<Process>,
}

impl Place {
    fn new(more: &[&'static str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        file(folder.path(), "secret", CLIENT_SECRET);
        let (port, idp) = (free_port(), free_port());
        Self { folder, port, idp, more: more.to_vec(), coordinator: None }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.idp)
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("tinpot.db")
    }

    fn start(&mut self) {
        let mut command = tinpot();
        let broker = format!("--embedded-broker=127.0.0.1:{}", free_port());
        command.args(["coordinator", &broker, "--port", &self.port.to_string()]);
        command.args(["--public-url", &self.url(), "--oidc-issuer", &self.issuer()]);
        command.args(["--oidc-client-id", "tinpot", "--oidc-client-secret-file", "secret"]);
        command.args(["--admin-group", "tinpot-admins", "--oidc-scopes", "profile email groups"]);
        command.args(&self.more).env("TINPOT_STORE", self.store()).current_dir(self.folder.path());
        let mut coordinator = Process::start(command);
        coordinator.url();
        self.coordinator = Some(coordinator);
    }

    /// Starts the server again, which allows 20 failed sign-ins a minute.
    fn restart(&mut self) {
        self.coordinator = None;
        self.start();
    }

    /// Tells the hostile provider how to lie.
    fn lie(&self, name: &str) {
        let url = format!("{}/lie?{name}", self.issuer());
        self.visitor().agent.post(url).send_empty().expect("it listens");
    }

    fn visitor(&self) -> Visitor {
        Visitor::default()
    }
}

/// The last answer to a browser.
#[derive(Debug)]
struct Answer {
    status: u16,
    url: String,
    body: String,
}

/// A browser that goes where it is sent, with the cookies of each port.
struct Visitor {
    agent: Agent,
    cookies: RefCell<BTreeMap<(u16, String), String>>,
}

impl Default for Visitor {
    fn default() -> Self {
        let config = Agent::config_builder().http_status_as_error(false).max_redirects(0);
        let agent = config.proxy(None).build().new_agent();
        Self { agent, cookies: RefCell::default() }
    }
}

impl Visitor {
    /// Sends one request, and returns the address that the answer leads to.
    fn step(&self, url: &str, host: Option<&str>) -> (Answer, Option<String>) {
        let uri: Uri = url.parse().expect("a URL");
        let port = uri.port_u16().expect("a port");
        let cookies = self.cookies.borrow();
        let own = cookies.iter().filter(|((of, _), _)| *of == port);
        let own: Vec<_> = own.map(|((_, name), value)| format!("{name}={value}")).collect();
        drop(cookies);
        let request = self.agent.get(url).header("accept", "text/html, */*");
        let mut request = request.header("cookie", own.join("; "));
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let mut answer = request.call().expect("an answer");
        for cookie in answer.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().expect("a text");
            let (pair, rules) = cookie.split_once(';').expect("rules");
            let (name, value) = pair.split_once('=').expect("a pair");
            let key = (port, name.to_owned());
            let is_over =
                rules.contains("Max-Age=0;") || rules.contains("expires=Thu, 01 Jan 1970");
            let mut cookies = self.cookies.borrow_mut();
            if is_over {
                cookies.remove(&key)
            } else {
                cookies.insert(key, value.to_owned())
            };
        }
        let next = answer.headers().get("location").map(|next| {
            let next = next.to_str().expect("a text");
            let own = format!("http://{}", uri.authority().expect("a host"));
            if next.starts_with('/') { format!("{own}{next}") } else { next.to_owned() }
        });
        let body = answer.body_mut().read_to_string().expect("a text");
        let status = answer.status().as_u16();
        (Answer { status, url: url.to_owned(), body }, next)
    }

    /// Goes on until a page comes, or this address would.
    fn follow(&self, url: &str, login: Option<&str>, until: &str) -> Answer {
        let mut url = url.to_owned();
        for _ in 0..20 {
            if let (Some(login), true) = (login, url.contains("/interaction/")) {
                url = format!("{url}?login={login}");
            }
            if !until.is_empty() && url.contains(until) {
                return Answer { status: 0, url, body: String::new() };
            }
            match self.step(&url, None) {
                (_, Some(next)) => url = next,
                (answer, None) => return answer,
            }
        }
        panic!("no end: {url}");
    }

    fn me(&self, place: &Place) -> Result<Value, u16> {
        let (answer, _) = self.step(&format!("{}/api/auth/me", place.url()), None);
        match answer.status {
            200 => Ok(serde_json::from_str(&answer.body).expect("JSON")),
            status => Err(status),
        }
    }

    fn sign_in(&self, place: &Place, login: Option<&str>) -> Answer {
        self.follow(&format!("{}/auth/oidc?to=/history%3Fq=a", place.url()), login, "")
    }

    fn has_cookie(&self, word: &str) -> bool {
        self.cookies.borrow().keys().any(|(_, name)| name.contains(word))
    }
}

#[test]
fn people_sign_in_with_a_certified_provider_and_stay_signed_in_without_it() {
    let mut place = Place::new(&["--auth=oidc"]);
    let callback = format!("{}/auth/oidc/callback", place.url());
    let idp = node("provider.mjs", &[&place.idp.to_string(), &callback]);
    place.start();
    let ada = place.visitor();
    assert_eq!(ada.me(&place), Err(401));
    let (options, _) = ada.step(&format!("{}/api/auth/options", place.url()), None);
    let options: Value = serde_json::from_str(&options.body).expect("JSON");
    assert_eq!(options["methods"], serde_json::json!(["oidc"]));
    let answer = ada.sign_in(&place, Some("ada"));
    assert_eq!((answer.status, answer.url), (200, format!("{}/history?q=a", place.url())));
    assert!(!ada.has_cookie("-oidc"), "the state is used up");
    let me = ada.me(&place).expect("ada");
    assert_eq!((&me["name"], &me["via"]), (&"ada".into(), &"sign_in".into()));
    assert_eq!((&me["has_password"], &me["rights"]), (&false.into(), &serde_json::json!([])));
    // The same person again, elsewhere.
    let phone = place.visitor();
    phone.sign_in(&place, Some("ada"));
    assert_eq!(phone.me(&place).expect("ada")["id"], me["id"]);
    let grace = place.visitor();
    grace.sign_in(&place, Some("grace"));
    let admin = grace.me(&place).expect("grace");
    assert_eq!((&admin["name"], &admin["server_admin"]), (&"grace".into(), &true.into()));
    // A person outside of the required group does not even become a user.
    place.more.push("--oidc-require-group=tinpot-staff");
    place.restart();
    let outsider = place.visitor();
    let refused = outsider.sign_in(&place, Some("eve"));
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.body.contains("only members of a group"), "{refused:?}");
    assert_eq!(outsider.me(&place), Err(401));
    let again = place.visitor();
    again.sign_in(&place, Some("grace"));
    assert_eq!(again.me(&place).expect("an admin")["name"], "grace");
    place.more.pop();
    place.restart();
    // A user of the store with that name stays another person.
    let mut add = tinpot();
    add.args(["users", "add", "lin", "--admin", "--password-file", "password"]);
    file(place.folder.path(), "password", "correct horse battery");
    Ran::of({
        add.env("TINPOT_STORE", place.store()).current_dir(place.folder.path());
        add
    })
    .ok();
    let lin = place.visitor();
    lin.sign_in(&place, Some("lin"));
    let stranger = lin.me(&place).expect("lin");
    assert_eq!((&stranger["name"], &stranger["rights"]), (&"lin-2".into(), &serde_json::json!([])));
    // A person who refuses gets the message of the provider, as text.
    let refuser = place.visitor();
    let refused = refuser.sign_in(&place, None);
    assert_eq!(refused.status, 403, "{refused:?}");
    assert!(refused.body.contains("access_denied: &lt;b&gt;the person said no"), "{refused:?}");
    assert_eq!(refuser.me(&place), Err(401));
    // Without the provider, people with sign-ins go on, and others read why they cannot sign in.
    drop(idp);
    assert_eq!(ada.me(&place).expect("ada")["id"], me["id"]);
    let mut restarted = place;
    restarted.coordinator = None;
    restarted.start();
    assert_eq!(ada.me(&restarted).expect("ada")["id"], me["id"]);
    let late = restarted.visitor().sign_in(&restarted, Some("ada"));
    assert_eq!(late.status, 503, "{late:?}");
    let says = format!("the identity provider {} does not answer", restarted.issuer());
    assert!(late.body.contains(&says), "{late:?}");
}

/// Attack 14: an identity provider, a browser or a network that lies.
#[test]
fn no_lie_about_a_sign_in_is_believed() {
    let mut place = Place::new(&["--auth=oidc,users"]);
    let _idp = node("hostile.mjs", &[&place.idp.to_string()]);
    place.start();
    let honest = place.visitor();
    let answer = honest.sign_in(&place, None);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(honest.me(&place).expect("ada")["name"], "ada");
    for (name, says) in [
        ("state", "belongs to another sign-in"),
        ("twice", "a parameter twice"),
        ("callback-iss", "another identity provider"),
        ("no-iss", "does not name the identity provider"),
        ("nonce", "nonce is that of another sign-in"),
        ("aud", "aud does not name this server"),
        ("azp", "azp names another server"),
        ("iss", "iss names another identity provider"),
        ("expired", "exp was"),
        ("future", "iat is"),
        ("none", "must be signed with RS256"),
        ("hmac", "must be signed with RS256"),
    ] {
        place.lie(name);
        let visitor = place.visitor();
        let answer = visitor.sign_in(&place, None);
        assert_eq!(answer.status, 403, "{name}: {answer:?}");
        assert!(answer.body.contains(says), "{name}: {answer:?}");
        assert!(!visitor.has_cookie("-oidc"), "{name}: the state is used up");
        assert_eq!(visitor.me(&place), Err(401), "{name}");
        place.restart();
    }
}

#[test]
fn no_forged_key_code_or_person_is_believed() {
    let mut place = Place::new(&["--auth=oidc"]);
    let _idp = node("hostile.mjs", &[&place.idp.to_string()]);
    place.start();
    for (name, status, says) in [
        ("key", 403, "its signature is wrong"),
        ("kid", 403, "has no key for it"),
        ("at_hash", 403, "at_hash is that of another access token"),
        ("userinfo", 403, "describes another person"),
        ("huge", 503, "does not answer"),
    ] {
        place.lie(name);
        let visitor = place.visitor();
        let answer = visitor.sign_in(&place, None);
        assert_eq!(answer.status, status, "{name}: {answer:?}");
        assert!(answer.body.contains(says), "{name}: {answer:?}");
        assert_eq!(visitor.me(&place), Err(401), "{name}");
    }
}

#[test]
fn an_answer_is_good_once_and_in_one_browser() {
    let mut place = Place::new(&["--auth=oidc"]);
    let _idp = node("hostile.mjs", &[&place.idp.to_string()]);
    place.start();
    let start = format!("{}/auth/oidc", place.url());
    let victim = place.visitor();
    let back = victim.follow(&start, None, "/auth/oidc/callback").url;
    let cookies = victim.cookies.borrow().clone();
    // Another browser has the link, as on a page that tries to sign its visitors in as its owner.
    let other = place.visitor();
    let (refused, _) = other.step(&back, None);
    assert!(refused.status == 403 && refused.body.contains("no sign-in under way"), "{refused:?}");
    other.follow(&start, None, "/auth/oidc/callback");
    let (refused, _) = other.step(&back, None);
    assert!(refused.status == 403 && refused.body.contains("another sign-in"), "{refused:?}");
    assert_eq!(other.me(&place), Err(401));
    assert_eq!(victim.follow(&back, None, "").status, 200);
    assert!(victim.me(&place).is_ok());
    // A thief who has read both the link and the cookie comes too late.
    let thief = place.visitor();
    *thief.cookies.borrow_mut() = cookies.clone();
    let (refused, _) = thief.step(&back, None);
    assert!(refused.status == 403 && refused.body.contains("used already"), "{refused:?}");
    // A cookie that was changed, for example to return to another site, is refused.
    let changed: BTreeMap<_, _> =
        cookies.iter().map(|(key, value)| (key.clone(), format!("A{value}"))).collect();
    *thief.cookies.borrow_mut() = changed;
    let (refused, _) = thief.step(&back, None);
    assert!(
        refused.status == 403 && refused.body.contains("not one of this server"),
        "{refused:?}"
    );
    assert_eq!(thief.me(&place), Err(401));
    // The path to return to is never one on another host.
    for to in ["//evil.example", "https://evil.example/", "/%5Cevil.example", "evil"] {
        let visitor = place.visitor();
        let answer = visitor.follow(&format!("{start}?to={to}"), None, "");
        assert_eq!((answer.status, answer.url), (200, format!("{}/", place.url())), "{to}");
    }
}

/// The redirect URI is that of the settings, whatever the request names.
#[test]
fn the_host_of_a_request_is_not_where_the_code_goes() {
    let mut place = Place::new(&["--auth=oidc", "--allow-host=evil.example"]);
    let _idp = node("hostile.mjs", &[&place.idp.to_string()]);
    place.start();
    let visitor = place.visitor();
    let (_, next) = visitor.step(&format!("{}/auth/oidc", place.url()), Some("evil.example"));
    let next = next.expect("the provider");
    let expected =
        format!("redirect_uri=http%3A%2F%2F127.0.0.1%3A{}%2Fauth%2Foidc%2Fcallback", place.port);
    assert!(next.contains(&expected) && !next.contains("evil"), "{next}");
    for part in
        ["code_challenge_method=S256", "scope=openid+profile+email+groups", "nonce=", "state="]
    {
        assert!(next.contains(part), "{part}: {next}");
    }
}

#[test]
fn settings_that_do_not_fit_are_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |words: &[&str]| {
        let mut command = tinpot();
        command.args(["coordinator", "--port=0", "--embedded-broker=127.0.0.1:0"]).args(words);
        Ran::of({
            command.current_dir(folder.path());
            command
        })
    };
    for (words, says) in [
        (&["--auth=oidc"][..], "--oidc-issuer"),
        (&["--auth=proxy"], "--proxy-secret-file"),
        (&["--auth=everyone"], "must be users, proxy, oidc"),
        (&["--oidc-issuer=https://a.example"], "add oidc to --auth"),
        (&["--oidc-require-group=staff"], "add oidc to --auth"),
        (&["--auth=users", "--admin-group=admins"], "add oidc or proxy to --auth"),
        (&["--proxy-from=10.0.0.1/8"], "without bits behind its length"),
        (&["--public-url=tinpot.example.org"], "must be like https://"),
        (
            &[
                "--auth=oidc",
                "--public-url=http://a.example",
                "--oidc-issuer=https://i.example",
                "--oidc-client-id=x",
            ],
            "redirect URI of OpenID Connect must be an https:// URL",
        ),
    ] {
        let ran = run(words);
        assert!(ran.failed(2).contains(says), "{words:?}: {ran:?}");
    }
}
