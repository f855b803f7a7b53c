//! A router with users, and a client that keeps cookies as a browser does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tinpot_access::{
    ChainAudit, Directory, Grant, Grantee, IdentityKey, Login, NewUser, PasswordCost, Passwords,
    RingSuite, Role, Secret, SecretStore, StoreKeys, Team, User, WorkerKeys,
};
use tinpot_core::access::{AuditWho, MemoryRecords, Records};
use tinpot_core::seal::Suite;
use tinpot_core::{Coordinator, CoordinatorBuilder, MemoryNetwork};
use tinpot_http::{Accounts, HttpConfig, PeerAddress};

use crate::cluster::{Answer, answer};

pub(crate) const PASSWORD: &str = "correct horse battery";
const ORIGIN: &str = "http://localhost:8000";

/// Passwords that cost little, for tests.
pub(crate) fn cheap_passwords() -> Passwords {
    Passwords::new(PasswordCost::default().memory_kib(64).passes(1)).unwrap()
}

pub(crate) fn by() -> AuditWho {
    AuditWho::new("operator", "", "test")
}

/// A server with users.
pub(crate) struct People {
    pub(crate) router: Router,
    pub(crate) directory: Directory,
    pub(crate) records: Arc<dyn Records>,
    pub(crate) login: Login,
    audit: ChainAudit,
    pub(crate) coordinator: Coordinator,
}

impl People {
    /// A server without users.
    pub(crate) async fn none() -> Self {
        Self::with(cheap_passwords()).await
    }

    pub(crate) async fn with(passwords: Passwords) -> Self {
        Self::of(passwords, false, |_| Coordinator::builder(MemoryNetwork::new().transport())).await
    }

    /// A server with several teams, without users, and with this coordinator.
    pub(crate) async fn with_teams(
        coordinator: impl FnOnce(&Directory) -> CoordinatorBuilder,
    ) -> Self {
        Self::of(cheap_passwords(), true, coordinator).await
    }

    async fn of(
        passwords: Passwords,
        has_teams: bool,
        coordinator: impl FnOnce(&Directory) -> CoordinatorBuilder,
    ) -> Self {
        let records: Arc<dyn Records> = Arc::new(MemoryRecords::new());
        let audit = ChainAudit::start(records.clone(), "test");
        let directory = Directory::builder(records.clone()).audit(Arc::new(audit.clone()));
        let directory = directory.teams(has_teams).open().await.unwrap();
        let login = Login::new(directory.clone(), passwords);
        let coordinator = coordinator(&directory).teams(has_teams).audit(audit.clone());
        let coordinator = coordinator.policy(directory.rules()).start().await.unwrap();
        let accounts = Accounts::new(login.clone()).audit(audit.clone());
        let config = HttpConfig::default().accounts(accounts);
        let router = tinpot_http::router(coordinator.clone(), config);
        Self { router, directory, records, login, audit, coordinator }
    }

    /// The same with another configuration.
    pub(crate) fn configured(
        mut self,
        accounts: impl FnOnce(Accounts) -> Accounts,
        config: impl FnOnce(HttpConfig) -> HttpConfig,
    ) -> Self {
        let known = Accounts::new(self.login.clone()).audit(self.audit.clone());
        let config = config(HttpConfig::default().accounts(accounts(known)));
        self.router = tinpot_http::router(self.coordinator.clone(), config);
        self
    }

    /// The same as [`some`](Self::some), with the developer `dora`, secrets for actions and keys of
    /// workers.
    pub(crate) async fn with_stores() -> Self {
        let mut people = Self::some().await;
        people.add("dora", Role::Developer).await;
        let audit = ChainAudit::start(people.records.clone(), "test");
        let accounts = Accounts::new(people.login.clone()).audit(audit.clone());
        let audit = Arc::new(audit);
        let sealer = StoreKeys::generate().unwrap().sealer();
        let secrets = SecretStore::new(people.records.clone(), sealer).audit(audit.clone());
        let keys = WorkerKeys::builder(people.records.clone()).audit(audit).open().await.unwrap();
        let namespace = RingSuite::new(&IdentityKey::generate().unwrap());
        let accounts = accounts.secrets(secrets).worker_keys(keys, namespace.public());
        let config = HttpConfig::default().accounts(accounts);
        people.router = tinpot_http::router(people.coordinator.clone(), config);
        people
    }

    /// The admin of the server `root`, the admin of the team `adam`, the operator `olga` and the
    /// viewer `vera`.
    pub(crate) async fn some() -> Self {
        let people = Self::none().await;
        for (name, role) in [
            ("root", Role::Admin),
            ("adam", Role::Admin),
            ("olga", Role::Operator),
            ("vera", Role::Viewer),
        ] {
            people.add(name, role).await;
        }
        people
    }

    /// The same, with tickets for the person at this machine.
    pub(crate) fn local(mut self) -> Self {
        let accounts = Accounts::new(self.login.clone()).local();
        let config = HttpConfig::default().accounts(accounts);
        self.router = tinpot_http::router(self.coordinator.clone(), config);
        self
    }

    /// Adds a user to a team.
    pub(crate) async fn add_to(&self, team: &Team, name: &str, role: Role) -> User {
        let password = self.login.hash(name, Secret::new(PASSWORD)).await.unwrap();
        let new = NewUser::new(name).password_hash(password).role(role);
        self.directory.of_team(team.id.clone()).add_user(&by(), new).await.unwrap()
    }

    async fn add(&self, name: &str, role: Role) {
        let mut new = NewUser::new(name);
        if name == "root" {
            new = new.server_admin();
        }
        let address = [127, 0, 0, 1].into();
        let user = self.login.add_user(&by(), new, Secret::new(PASSWORD), address).await.unwrap();
        let grant = Grant::new(Grantee::Principal(user.id), role);
        self.directory.add_grant(&by(), grant).await.unwrap();
    }

    pub(crate) fn id(&self, name: &str) -> String {
        self.directory.user(name).unwrap().id.to_string()
    }

    /// A browser without a sign-in.
    pub(crate) fn browser(&self) -> Browser {
        Browser {
            router: self.router.clone(),
            cookies: Mutex::default(),
            peer: ([192, 0, 2, 1], 4711).into(),
            token: None,
            team: None,
        }
    }

    /// A browser of a user.
    pub(crate) async fn browser_of(&self, name: &str) -> Browser {
        let browser = self.browser();
        let answer = browser.login(name, PASSWORD).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        browser
    }

    /// A program with a token of a user.
    pub(crate) async fn program(&self, user: &str, scopes: &[&str]) -> Browser {
        let new = tinpot_access::NewToken::new("ci", self.id(user)).scopes(scopes);
        let (secret, _) = self.directory.create_token(&by(), new).await.unwrap();
        Browser { token: Some(secret.expose().to_owned()), ..self.browser() }
    }
}

/// A client at an address, with the cookies that it was given or a token.
#[derive(Debug)]
pub(crate) struct Browser {
    router: Router,
    pub(crate) cookies: Mutex<BTreeMap<String, String>>,
    pub(crate) peer: SocketAddr,
    token: Option<String>,
    /// The value of the header `Tinpot-Team`.
    team: Option<String>,
}

impl Browser {
    /// The same one, whose requests name this team.
    pub(crate) fn in_team(self, team: &str) -> Self {
        Self { team: Some(team.to_owned()), ..self }
    }

    /// The same one, with a token instead of cookies.
    pub(crate) fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    pub(crate) fn cookie(&self) -> String {
        let cookies = self.cookies.lock().unwrap();
        let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    /// The secret of the sign-in.
    pub(crate) fn session(&self) -> String {
        self.cookies.lock().unwrap()["tinpot-8000"].clone()
    }

    /// A request as the page of the server sends it.
    pub(crate) fn request(&self, method: &str, path: &str, body: &Value) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(path).header("host", HOST);
        if let Some(team) = &self.team {
            request = request.header("tinpot-team", team);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        } else {
            request = request.header("cookie", self.cookie());
            if method != "GET" {
                request = request.header("origin", ORIGIN).header("sec-fetch-site", "same-origin");
            }
        }
        if body.is_null() {
            return request.body(Body::empty()).unwrap();
        }
        let request = request.header("content-type", "application/json");
        request.body(Body::from(body.to_string())).unwrap()
    }

    pub(crate) async fn send(&self, mut request: Request<Body>) -> Answer {
        request.extensions_mut().insert(PeerAddress(self.peer));
        let answer = answer(self.router.clone(), request).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let (pair, rules) = cookie.to_str().unwrap().split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            let mut cookies = self.cookies.lock().unwrap();
            match rules.contains("Max-Age=0;") {
                true => cookies.remove(name),
                false => cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        answer
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send(self.request(method, path, &body)).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Value::Null).await
    }

    /// Expects this status, and returns the JSON if there is some.
    pub(crate) async fn expect(&self, status: u16, method: &str, path: &str, body: Value) -> Value {
        let answer = self.ask(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    pub(crate) async fn login(&self, user: &str, password: &str) -> Answer {
        let body = json!({ "user": user, "password": password });
        self.ask("POST", "/api/auth/login", body).await
    }

    /// The status of a request that every user may send.
    pub(crate) async fn status(&self) -> u16 {
        self.get("/api/version").await.status.as_u16()
    }
}

pub(crate) const HOST: &str = "localhost:8000";
