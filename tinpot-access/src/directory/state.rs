//! The state of the directory in memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tinpot_core::access::records::Record;
use tinpot_core::{DEFAULT_TEAM, Timestamp};

use crate::documents::{Grant, Group, Program, ServerAdmins, SignIn, Team, Token, User};
use crate::secret::Digest;
use crate::stored::{Stored, read};

pub(crate) const USER: &str = "user";
/// Names of users in lower case, each with the id of its user: so a name is unique.
pub(super) const USER_NAME: &str = "user_name";
/// Digests of the identities of users in other systems, each with the id of its user.
pub(super) const IDENTITY: &str = "user_identity";
pub(super) const TEAM: &str = "team";
/// Names of teams in lower case, each with the id of its team.
pub(super) const TEAM_NAME: &str = "team_name";
pub(super) const PROGRAM: &str = "program";
pub(super) const GROUP: &str = "group";
pub(crate) const GRANT: &str = "grant";
pub(crate) const TOKEN: &str = "token";
pub(crate) const SIGN_IN: &str = "sign_in";
/// The key of proofs that a browser has signed in before: one document.
pub(crate) const DEVICE_KEY: &str = "device_key";
pub(super) const ADMINS: &str = "server_admins";
/// The name of the one document of its kind.
pub(super) const ONE: &str = "one";
/// Tickets are not part of the state: each is read once.
pub(crate) const TICKET: &str = "ticket";
/// Nor are programs that wait for a person.
pub(crate) const LOGIN_REQUEST: &str = "login_request";

/// The kinds of documents of the state.
pub(super) const KINDS: [&str; 12] = [
    USER, USER_NAME, IDENTITY, TEAM, TEAM_NAME, PROGRAM, GROUP, GRANT, TOKEN, SIGN_IN, ADMINS,
    DEVICE_KEY,
];

/// The effect of a changed document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    None,
    /// A credential has gone: streams ask who their caller is.
    Identity,
    /// Rights may have changed.
    Rights,
}

/// A credential, and the time of its last use in this process.
#[derive(Debug)]
pub(crate) struct Used<T> {
    pub(crate) stored: Stored<T>,
    used: AtomicU64,
}

impl<T> Used<T> {
    fn new(stored: Stored<T>, used: Timestamp) -> Self {
        Self { stored, used: AtomicU64::new(used.0) }
    }

    /// Notes a use.
    pub(super) fn note(&self, now: Timestamp) {
        self.used.fetch_max(now.0, Ordering::Relaxed);
    }

    pub(super) fn last(&self) -> Timestamp {
        Timestamp(self.used.load(Ordering::Relaxed))
    }
}

/// All documents, and the indexes of their secrets.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) revision: u64,
    /// True if there are several teams.
    pub(crate) has_teams: bool,
    pub(crate) users: HashMap<Arc<str>, Stored<User>>,
    pub(super) names: HashMap<Arc<str>, Stored<Arc<str>>>,
    pub(super) identities: HashMap<Arc<str>, Stored<Arc<str>>>,
    /// The teams that have a document: all teams, but the default team only once it was changed.
    pub(crate) teams: BTreeMap<Arc<str>, Stored<Team>>,
    pub(super) team_names: HashMap<Arc<str>, Stored<Arc<str>>>,
    pub(crate) programs: BTreeMap<Arc<str>, Stored<Program>>,
    /// The groups by [`group_id`].
    pub(crate) groups: BTreeMap<Arc<str>, Stored<Group>>,
    pub(crate) grants: BTreeMap<Arc<str>, Stored<Grant>>,
    pub(crate) tokens: BTreeMap<Arc<str>, Used<Token>>,
    /// The ids of tokens, by each of their valid digests.
    pub(super) token_ids: HashMap<Digest, Arc<str>>,
    pub(super) sign_ins: HashMap<Digest, Used<SignIn>>,
    pub(crate) admins: Stored<ServerAdmins>,
    pub(super) device_key: Option<DeviceKey>,
}

/// Returns the id of a group's document. Names of groups have no slash.
pub(crate) fn group_id(team: &str, name: &str) -> Arc<str> {
    match team {
        DEFAULT_TEAM => name.into(),
        team => format!("{team}/{name}").into(),
    }
}

/// A secret key. `Debug` prints `***`.
pub(super) struct DeviceKey(String);

impl DeviceKey {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl State {
    /// Takes a document in.
    pub(super) fn put(&mut self, record: &Record) -> Effect {
        let (kind, id) = (&*record.kind, &record.id);
        let taken = match kind {
            USER => read(record).map(|user| {
                self.users.insert(id.clone(), user);
                Effect::Rights
            }),
            USER_NAME => read(record).map(|name| {
                self.names.insert(id.clone(), name);
                Effect::None
            }),
            IDENTITY => read(record).map(|user| {
                self.identities.insert(id.clone(), user);
                Effect::None
            }),
            TEAM => read(record).map(|team| {
                self.teams.insert(id.clone(), team);
                Effect::Rights
            }),
            TEAM_NAME => read(record).map(|name| {
                self.team_names.insert(id.clone(), name);
                Effect::None
            }),
            PROGRAM => read(record).map(|program| {
                self.programs.insert(id.clone(), program);
                Effect::Rights
            }),
            GROUP => read(record).map(|group| {
                self.groups.insert(id.clone(), group);
                Effect::Rights
            }),
            GRANT => read(record).map(|grant| {
                self.grants.insert(id.clone(), grant);
                Effect::Rights
            }),
            TOKEN => read(record).map(|token| self.put_token(id, token)),
            SIGN_IN => read(record).map(|stored: Stored<SignIn>| {
                let digest = stored.value.hash;
                let seen = self.sign_ins.get(&digest).map(Used::last);
                let seen = seen.unwrap_or_default().max(stored.value.seen);
                self.sign_ins.insert(digest, Used::new(stored, seen));
                Effect::None
            }),
            ADMINS => read(record).map(|admins| {
                self.admins = admins;
                Effect::Rights
            }),
            DEVICE_KEY => read(record).map(|key: Stored<String>| {
                self.device_key = Some(DeviceKey(key.value));
                Effect::None
            }),
            _ => Ok(Effect::None),
        };
        taken.unwrap_or_else(|error| {
            // No caller has more rights without it.
            tracing::error!(kind, %id, %error, "skipped a record of access that cannot be read");
            self.remove(kind, id)
        })
    }

    fn put_token(&mut self, id: &Arc<str>, stored: Stored<Token>) -> Effect {
        let before = self.tokens.remove(id);
        let mut used = stored.value.last_used.unwrap_or_default();
        let mut effect = Effect::Rights;
        if let Some(before) = before {
            used = used.max(before.last());
            let (old, new) = (&before.stored.value, &stored.value);
            old.hashes.iter().for_each(|hash| drop(self.token_ids.remove(&hash.hash)));
            if (&old.scopes, &old.principal, &old.team, &old.hashes, old.expires)
                == (&new.scopes, &new.principal, &new.team, &new.hashes, new.expires)
            {
                effect = Effect::None;
            }
        }
        for hash in &stored.value.hashes {
            self.token_ids.insert(hash.hash, id.clone());
        }
        self.tokens.insert(id.clone(), Used::new(stored, used));
        effect
    }

    /// Forgets a document.
    pub(super) fn remove(&mut self, kind: &str, id: &str) -> Effect {
        match kind {
            USER => self.users.remove(id).map(|_| Effect::Rights),
            USER_NAME => self.names.remove(id).map(|_| Effect::None),
            IDENTITY => self.identities.remove(id).map(|_| Effect::None),
            TEAM => self.teams.remove(id).map(|_| Effect::Rights),
            TEAM_NAME => self.team_names.remove(id).map(|_| Effect::None),
            PROGRAM => self.programs.remove(id).map(|_| Effect::Rights),
            GROUP => self.groups.remove(id).map(|_| Effect::Rights),
            GRANT => self.grants.remove(id).map(|_| Effect::Rights),
            TOKEN => self.tokens.remove(id).map(|token| {
                for hash in &token.stored.value.hashes {
                    self.token_ids.remove(&hash.hash);
                }
                Effect::Rights
            }),
            SIGN_IN => Digest::from_hex(id)
                .and_then(|digest| self.sign_ins.remove(&digest))
                .map(|_| Effect::Identity),
            ADMINS => {
                self.admins = Stored::default();
                Some(Effect::Rights)
            }
            DEVICE_KEY => {
                self.device_key = None;
                None
            }
            _ => None,
        }
        .unwrap_or(Effect::None)
    }
}
