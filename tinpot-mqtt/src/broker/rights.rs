//! The rights of the clients of an embedded broker.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use tinpot_core::WorkerId;

use super::joiners::Joiners;
use super::prefixes::Prefixes;

/// The user of those that join. It has no password.
const JOINER: &str = "join";
/// The lanes, as levels of topics.
const LANES: [&str; 2] = ["control", "logs"];

pub(super) type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The logins of workers that have joined.
pub trait WorkerLogins: fmt::Debug + Send + Sync + 'static {
    /// Returns the name of the worker with this user and password; `None` if they are wrong.
    fn worker(&self, user: &str, password: &str) -> Option<String>;

    /// Returns true if the user is still one of a worker. Called for each of its frames.
    fn is_valid(&self, user: &str) -> bool;
}

/// The rights of the clients of a [`Broker`](super::Broker): each uses its own topics.
///
/// The coordinator uses all topics of the namespace. A worker that has joined uses those of its
/// name; one that joins, with the user `join` and the id of its key as client id, those of its join.
/// A client with a [user](super::BrokerBuilder::user) of the broker uses those of any worker; a
/// [plain client](Self::client), those of its prefix.
#[derive(Clone)]
pub struct BrokerRights {
    namespace: String,
    coordinator: (String, String),
    workers: Option<Arc<dyn WorkerLogins>>,
    is_open: bool,
    prefixes: Prefixes,
    clients: Vec<PlainLogin>,
}

/// The login of clients of a prefix.
#[derive(Clone)]
struct PlainLogin {
    user: String,
    password: String,
    /// The index of the prefix.
    prefix: usize,
}

impl fmt::Debug for BrokerRights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerRights")
            .field("namespace", &self.namespace)
            .field("coordinator", &self.coordinator.0)
            .field("workers", &self.workers)
            .field("is_open", &self.is_open)
            .field("prefixes", &self.prefixes)
            .finish_non_exhaustive()
    }
}

impl BrokerRights {
    /// Describes a broker of one namespace, whose coordinator has this user and password.
    pub fn new(
        namespace: impl Into<String>,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        let coordinator = (user.into(), password.into());
        let (workers, is_open, (prefixes, clients)) = (None, false, Default::default());
        Self { namespace: namespace.into(), coordinator, workers, is_open, prefixes, clients }
    }

    /// Admits workers that have joined.
    #[must_use]
    pub fn workers(mut self, logins: Arc<dyn WorkerLogins>) -> Self {
        self.workers = Some(logins);
        self
    }

    /// If true, clients of this machine are workers without a login, unless the broker has users.
    #[must_use]
    pub fn open(mut self, yes: bool) -> Self {
        self.is_open = yes;
        self
    }

    /// Lets the coordinator use the topics below a prefix, too, for clients that know nothing of
    /// Tinpot. If `offers` is true, these may announce actions.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>, offers: bool) -> Self {
        self.prefixes.add(prefix.into(), offers);
        self
    }

    /// Admits clients with this login, and gives them the topics below a prefix: they read all of
    /// them, and publish triggers and requests to cancel.
    #[must_use]
    pub fn client(
        mut self,
        prefix: impl Into<String>,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        let prefix = self.prefixes.add(prefix.into(), false);
        self.clients.push(PlainLogin { user: user.into(), password: password.into(), prefix });
        self
    }

    /// Returns true if clients may be workers without a login.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }
}

/// The role of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    Coordinator,
    /// A worker that has joined, with the user of its login.
    Worker {
        name: String,
        user: String,
    },
    /// A worker of any name.
    AnyWorker,
    /// One that joins, by the id of its key and the number of its connection.
    Joiner(String, u64),
    /// One that knows nothing of Tinpot, by the index of its prefix.
    Plain(usize),
}

impl Role {
    /// Returns the role as a user id of the broker, which `of` reads again. No user chooses it.
    fn to_user_id(&self) -> String {
        match self {
            Role::Coordinator => "c".to_owned(),
            Role::Worker { name, user } => format!("w/{name}/{user}"),
            Role::AnyWorker => "a".to_owned(),
            Role::Joiner(key, number) => format!("j/{key}/{number}"),
            Role::Plain(prefix) => format!("p/{prefix}"),
        }
    }

    fn of(user_id: Option<&str>) -> Option<Self> {
        let mut parts = user_id?.splitn(3, '/');
        Some(match (parts.next()?, parts.next(), parts.next()) {
            ("c", None, None) => Role::Coordinator,
            ("w", Some(name), Some(user)) => {
                Role::Worker { name: name.to_owned(), user: user.to_owned() }
            }
            ("a", None, None) => Role::AnyWorker,
            ("p", Some(prefix), None) => Role::Plain(prefix.parse().ok()?),
            ("j", Some(key), Some(number)) => Role::Joiner(key.to_owned(), number.parse().ok()?),
            _ => return None,
        })
    }
}

/// Decides what clients may do.
#[derive(Debug)]
pub(super) struct Guard {
    rights: BrokerRights,
    users: Vec<(String, String)>,
    is_local: bool,
    joiners: Joiners,
}

impl Guard {
    pub(super) fn new(
        rights: BrokerRights,
        users: Vec<(String, String)>,
        address: SocketAddr,
    ) -> Self {
        let (is_local, joiners) = (address.ip().is_loopback(), Joiners::default());
        Self { rights, users, is_local, joiners }
    }

    /// Returns the connections of those that join.
    pub(super) fn joiners(&self) -> &Joiners {
        &self.joiners
    }

    /// Returns the number of the connection, if it is of one that joins.
    pub(super) fn joiner(&self, user_id: Option<&str>) -> Option<u64> {
        match Role::of(user_id)? {
            Role::Joiner(_, number) => Some(number),
            _ => None,
        }
    }

    /// Admits one that joins. Nothing of it is kept after its connection.
    fn admit_joiner(&self, connect: &ConnectPacket, address: SocketAddr) -> AuthResult {
        let session = connect.properties.get_session_expiry_interval().unwrap_or(0);
        let key = connect.client_id.split_once('-').map_or("", |(key, _)| key);
        let is_key = key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_key || !connect.clean_start || session > 0 || connect.will.is_some() {
            tracing::debug!(%address, "the broker refuses one that joins: it asks for more");
            return AuthResult::fail(ReasonCode::NotAuthorized);
        }
        match self.joiners.admit(address.ip(), key, Instant::now()) {
            Some(number) => {
                AuthResult::success_with_user(Role::Joiner(key.to_owned(), number).to_user_id())
            }
            None => {
                tracing::debug!(%address, "the broker refuses one that joins: there are too many");
                AuthResult::fail(ReasonCode::QuotaExceeded)
            }
        }
    }

    fn role(&self, user: Option<&str>, password: &[u8]) -> Option<Role> {
        let Some(user) = user.filter(|user| !user.is_empty()) else {
            let admits = self.rights.is_open && self.is_local && self.users.is_empty();
            return admits.then_some(Role::AnyWorker);
        };
        let is =
            |(name, secret): &(String, String)| name == user && same(secret.as_bytes(), password);
        if is(&self.rights.coordinator) {
            return Some(Role::Coordinator);
        }
        if self.users.iter().any(is) {
            return Some(Role::AnyWorker);
        }
        let is_login =
            |login: &&PlainLogin| login.user == user && same(login.password.as_bytes(), password);
        if let Some(login) = self.rights.clients.iter().find(is_login) {
            return Some(Role::Plain(login.prefix));
        }
        let workers = self.rights.workers.as_ref()?;
        let name = workers.worker(user, std::str::from_utf8(password).ok()?)?;
        Some(Role::Worker { name, user: user.to_owned() })
    }

    /// Returns true if a client may have messages retained: plain clients and the coordinator.
    pub(super) fn may_retain(&self, user_id: Option<&str>) -> bool {
        matches!(Role::of(user_id), Some(Role::Coordinator | Role::Plain(_)))
    }

    fn may(&self, user_id: Option<&str>, topic: &str, writes: bool) -> bool {
        let BrokerRights { prefixes, namespace, .. } = &self.rights;
        match Role::of(user_id) {
            Some(Role::Plain(index)) if writes => return prefixes.may_write(index, topic),
            Some(Role::Plain(index)) => return prefixes.may_read(index, namespace, topic),
            Some(Role::Coordinator) if prefixes.have(topic) => return true,
            _ => {}
        }
        let Some(below) = topic.strip_prefix(&self.rights.namespace) else { return false };
        let Some(below) = below.strip_prefix('/') else { return false };
        let levels: Vec<&str> = below.split('/').collect();
        let way = if writes { "up" } else { "down" };
        let of_worker = |own: Option<&str>| match *levels {
            ["worker", name, id, last, lane] => {
                let id = WorkerId::new(id);
                id.is_ok_and(|id| id.name() == name)
                    && own.is_none_or(|own| own == name)
                    && last == way
                    && LANES.contains(&lane)
            }
            ["workers", lane] => !writes && LANES.contains(&lane),
            _ => false,
        };
        match Role::of(user_id) {
            Some(Role::Coordinator) => true,
            Some(Role::Worker { name, user }) => {
                let workers = self.rights.workers.as_ref();
                of_worker(Some(&name)) && workers.is_some_and(|workers| workers.is_valid(&user))
            }
            Some(Role::AnyWorker) => of_worker(None),
            Some(Role::Joiner(key, _)) => *levels == ["join", &*key, way],
            Some(Role::Plain(_)) | None => false,
        }
    }
}

impl AuthProvider for Guard {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        address: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        let password = connect.password.as_deref().unwrap_or_default();
        let retains = connect.will.as_ref().is_some_and(|will| will.retain);
        let result = match self.role(connect.username.as_deref(), password) {
            Some(role) if retains && !self.may_retain(Some(&role.to_user_id())) => {
                tracing::debug!(%address, "the broker refuses a worker with a retained will");
                AuthResult::fail(ReasonCode::NotAuthorized)
            }
            Some(role) => AuthResult::success_with_user(role.to_user_id()),
            None if connect.username.as_deref() == Some(JOINER) && password.is_empty() => {
                self.admit_joiner(connect, address)
            }
            None => {
                tracing::debug!(%address, "the broker refuses a client: its login is wrong");
                AuthResult::fail(ReasonCode::BadUsernameOrPassword)
            }
        };
        Box::pin(async { Ok(result) })
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(async move { self.may(user_id, topic, true) })
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(async move { self.may(user_id, filter, false) })
    }

    fn cleanup_session<'a>(&'a self, user_id: &'a str) -> Answer<'a, ()> {
        if let Some(number) = self.joiner(Some(user_id)) {
            self.joiners.close(number);
        }
        Box::pin(async {})
    }
}

/// Compares two secrets in a time that depends on their lengths only.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |found, (a, b)| found | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mqtt5::broker::auth::AuthProvider;
    use mqtt5::packet::connect::ConnectPacket;

    use super::{BrokerRights, Guard, Role, WorkerLogins};

    #[derive(Debug)]
    struct One;

    impl WorkerLogins for One {
        fn worker(&self, user: &str, password: &str) -> Option<String> {
            ((user, password) == ("0bd7", "secret")).then(|| "web".to_owned())
        }

        fn is_valid(&self, user: &str) -> bool {
            user == "0bd7"
        }
    }

    fn guard(is_open: bool, users: &[(&str, &str)]) -> Guard {
        let rights = BrokerRights::new("prod/eu", "coordinator", "c-secret");
        let rights = rights.workers(Arc::new(One)).open(is_open);
        let users = users.iter().map(|(user, word)| ((*user).to_owned(), (*word).to_owned()));
        Guard::new(rights, users.collect(), ([127, 0, 0, 1], 1883).into())
    }

    #[test]
    fn a_login_gives_a_role() {
        let role = |user: Option<&str>, password: &str| {
            guard(false, &[("shared", "s-secret")]).role(user, password.as_bytes())
        };
        let web = Role::Worker { name: "web".to_owned(), user: "0bd7".to_owned() };
        for (user, password, expected) in [
            (Some("coordinator"), "c-secret", Some(Role::Coordinator)),
            (Some("coordinator"), "", None),
            (Some("shared"), "s-secret", Some(Role::AnyWorker)),
            (Some("shared"), "secret", None),
            (Some("0bd7"), "secret", Some(web)),
            (Some("0bd7"), "guess", None),
            (Some("join"), "", None),
            (Some("c"), "", None),
            (None, "", None),
        ] {
            let found = role(user, password);
            assert_eq!(found, expected, "{user:?} {password}");
            let read = found.as_ref().map(Role::to_user_id);
            assert_eq!(Role::of(read.as_deref()), found);
        }
        assert_eq!(guard(true, &[]).role(None, b""), Some(Role::AnyWorker));
        assert_eq!(guard(true, &[("a", "b")]).role(None, b""), None);
    }

    #[tokio::test]
    async fn one_that_joins_is_known_by_its_key_and_leaves_nothing() {
        let guard = guard(false, &[]);
        let key = "0123456789abcdef0123456789abcdef";
        let user_id = async |client: &str, change: &dyn Fn(&mut ConnectPacket)| {
            let mut connect = ConnectPacket {
                protocol_version: 5,
                clean_start: true,
                keep_alive: 60,
                client_id: client.to_owned(),
                username: Some("join".to_owned()),
                password: None,
                will: None,
                properties: Default::default(),
                will_properties: Default::default(),
            };
            change(&mut connect);
            let address = ([127, 0, 0, 1], 9).into();
            guard.authenticate(&connect, address).await.expect("a decision").user_id
        };
        let client = format!("{key}-control-00c0ffee");
        let joiner = user_id(&client, &|_| {}).await;
        assert_eq!(Role::of(joiner.as_deref()), Some(Role::Joiner(key.to_owned(), 1)));
        assert_eq!(user_id("short-1", &|_| {}).await, None);
        let password = |connect: &mut ConnectPacket| connect.password = Some(b"x".to_vec());
        assert_eq!(user_id(&client, &password).await, None);
        assert_eq!(user_id(&client, &|connect| connect.clean_start = false).await, None);
        let session =
            |connect: &mut ConnectPacket| connect.properties.set_session_expiry_interval(60);
        assert_eq!(user_id(&client, &session).await, None);
    }

    #[test]
    fn each_role_uses_its_own_topics() {
        let guard = guard(true, &[]);
        let may = |role: &Role, topic: &str, writes| {
            guard.may(Some(&role.to_user_id()), &format!("prod/eu/{topic}"), writes)
        };
        let web = Role::Worker { name: "web".to_owned(), user: "0bd7".to_owned() };
        let revoked = Role::Worker { name: "web".to_owned(), user: "9a1f".to_owned() };
        let joiner = Role::Joiner("0123".to_owned(), 1);
        for (topic, writers, readers) in [
            ("worker/web/web-1/up/control", vec![&web, &Role::AnyWorker], vec![]),
            ("worker/web/web-1/up/logs", vec![&web, &Role::AnyWorker], vec![]),
            ("worker/web/web-1/down/control", vec![], vec![&web, &Role::AnyWorker]),
            ("workers/control", vec![], vec![&web, &Role::AnyWorker]),
            ("worker/db/db-1/up/control", vec![&Role::AnyWorker], vec![]),
            ("worker/db/db-1/down/control", vec![], vec![&Role::AnyWorker]),
            // An id under the name of another, and wildcards.
            ("worker/web/db-1/up/control", vec![], vec![]),
            ("worker/web/+/down/control", vec![], vec![]),
            ("worker/+/+/up/control", vec![], vec![]),
            ("worker/web/web-1/down/+", vec![], vec![]),
            ("workers/+", vec![], vec![]),
            ("#", vec![], vec![]),
            ("join/0123/up", vec![&joiner], vec![]),
            ("join/0123/down", vec![], vec![&joiner]),
            ("join/+/up", vec![], vec![]),
            ("join/4567/up", vec![], vec![]),
        ] {
            for role in [&web, &revoked, &Role::AnyWorker, &joiner] {
                assert_eq!(may(role, topic, true), writers.contains(&role), "{role:?} {topic}");
                assert_eq!(may(role, topic, false), readers.contains(&role), "{role:?} {topic}");
            }
            assert!(may(&Role::Coordinator, topic, true) && may(&Role::Coordinator, topic, false));
        }
        for outside in ["other/workers/control", "prod/eufoo/workers/control", "$SYS/broker"] {
            assert!(!guard.may(Some("c"), outside, false) && !guard.may(None, outside, false));
        }
    }
}
