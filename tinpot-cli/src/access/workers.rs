//! `tinpot workers join-token`, `keys`, `revoke` and `rotate`.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tinpot_access::{ChainAudit, JoinTokenInfo, NewJoinToken, RingSuite, WorkerKey, WorkerKeys};
use tinpot_core::Timestamp;
use tinpot_core::access::{AuditEvent, AuditSink, AuditTarget, AuditWho};
use tinpot_core::seal::{KeyId, Suite, WorkerLimits};
use tinpot_server::settings::{EnrolmentSettings, StoreSettings};

use super::place::{Place, Server, unreadable};
use super::{Store, records, refused, run};
use crate::args::{Global, NamespaceKey, StoreFile, Workers};
use crate::client::{encoded, user_name};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint, clean};
use crate::{suggest, table};

pub(crate) fn worker_keys(command: &Workers, global: &Global) -> Done {
    match command {
        Workers::JoinToken {
            names,
            queues,
            groups,
            actions,
            slots,
            uses,
            valid_for,
            temporary,
            store,
            key,
        } => {
            let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
            let mut limits = WorkerLimits::new(names);
            limits.queues = some(queues);
            limits.groups = some(groups);
            limits.actions = some(actions);
            limits.slots = *slots;
            match Place::of(global, store)? {
                Place::Store(file) => run(async {
                    limits.teams = teams(global, &file).await?;
                    let new = NewJoinToken::new(limits)
                        .uses(*uses)
                        .lifetime(Duration::from_secs(*valid_for))
                        .temporary(*temporary);
                    create(global, &file, key, new).await
                }),
                Place::Server(server) => {
                    let mut body = json!(limits);
                    body["uses"] = (*uses).into();
                    body["valid_for_s"] = (*valid_for).into();
                    body["temporary"] = (*temporary).into();
                    let made = server.send("POST", "/api/join-tokens", &body)?;
                    let made: Made = serde_json::from_value(made).map_err(unreadable)?;
                    shown_once(global, &made.secret, &made.token)
                }
            }
        }
        Workers::Keys { store } => match Place::of(global, store)? {
            Place::Store(file) => run(list(global, &file)),
            Place::Server(server) => {
                let (keys, tokens) = server.worker_keys()?;
                show(global, &keys, &tokens)
            }
        },
        Workers::Revoke { key, store } => match Place::of(global, store)? {
            Place::Store(file) => run(revoke(global, &file, key)),
            Place::Server(server) => {
                let (keys, tokens) = server.worker_keys()?;
                let found = find(&keys, &tokens, key)?;
                match found {
                    Found::Key(id) => server.remove("worker-keys", id)?,
                    Found::Token(id) => server.remove("join-tokens", id)?,
                }
                found.was_revoked(global, &keys)
            }
        },
        Workers::Rotate { key, store } => match Place::of(global, store)? {
            Place::Store(file) => run(ask_to_rotate(global, &file, key)),
            Place::Server(server) => {
                let (keys, _) = server.worker_keys()?;
                let id = find_key(&keys, key)?;
                let path = format!("/api/worker-keys/{}/rotate", encoded(id));
                server.send("POST", &path, &json!({}))?;
                was_asked(global, id)
            }
        },
        Workers::RotateNamespaceKey { finish, store, key } => {
            run(rotate(global, store, key, *finish))
        }
        Workers::List | Workers::Show { .. } | Workers::Drain { .. } => Ok(Code::Success),
    }
}

/// Returns the ids of the teams that the options name, separated by commas.
async fn teams(global: &Global, file: &StoreFile) -> Result<Option<Vec<String>>, CliError> {
    let Some(names) = global.team() else { return Ok(None) };
    let store = Store::open(file, true).await?;
    let id = |name: &str| store.team(name.trim()).map(|team| team.id.to_string());
    names.split(',').map(id).collect::<Result<_, _>>().map(Some)
}

/// The name of the store by default.
const STORE: &str = "tinpot.db";

/// The key of a worker, as it is listed.
#[derive(Deserialize)]
struct KeyView {
    id: String,
    limits: WorkerLimits,
    created_at: String,
    last_heard_at: Option<String>,
    revoked_at: Option<String>,
    temporary: bool,
    version: String,
    #[serde(default)]
    rotate: bool,
    #[serde(default)]
    replaced_by: Option<String>,
    #[serde(default)]
    ends_at: Option<String>,
}

/// A join token, as it is listed.
#[derive(Deserialize)]
struct TokenView {
    id: String,
    limits: WorkerLimits,
    uses: u32,
    created_at: String,
    expires_at: String,
    temporary: bool,
}

/// A join token with its secret.
#[derive(Deserialize)]
struct Made {
    secret: String,
    token: TokenView,
}

#[derive(Deserialize)]
struct ListedKeys {
    keys: Vec<KeyView>,
}

#[derive(Deserialize)]
struct ListedTokens {
    tokens: Vec<TokenView>,
}

impl KeyView {
    fn of(key: WorkerKey) -> Self {
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            id: key.id.to_string(),
            limits: key.limits,
            created_at: key.created.to_string(),
            last_heard_at: time(key.last_heard),
            revoked_at: time(key.revoked),
            temporary: key.is_temporary,
            version: key.version,
            rotate: key.rotate,
            replaced_by: key.replaced_by.map(|key| key.to_string()),
            ends_at: time(key.ends),
        }
    }
}

impl TokenView {
    fn of(token: JoinTokenInfo) -> Self {
        Self {
            id: token.id.to_string(),
            uses: token.terms.uses,
            expires_at: token.terms.expires.to_string(),
            limits: token.terms.limits,
            created_at: token.created.to_string(),
            temporary: token.is_temporary,
        }
    }
}

impl Server {
    fn worker_keys(&self) -> Result<(Vec<KeyView>, Vec<TokenView>), CliError> {
        let keys: ListedKeys = self.read("/api/worker-keys")?;
        let tokens: ListedTokens = self.read("/api/join-tokens")?;
        Ok((keys.keys, tokens.tokens))
    }
}

/// The keys in the file of a store.
pub(super) struct Keys {
    pub(super) keys: WorkerKeys,
    /// The person who changes them: an operator of this machine.
    by: AuditWho,
}

impl Keys {
    pub(super) async fn open(file: &StoreFile, may_create: bool) -> Result<Self, CliError> {
        let records = records(file, may_create)?;
        let audit = Arc::new(ChainAudit::start(records.clone(), "command"));
        let keys = WorkerKeys::builder(records).audit(audit).open().await?;
        let by = AuditWho::new("operator", "", user_name().unwrap_or_default());
        Ok(Self { keys, by })
    }
}

/// Returns the key of the namespace.
pub(super) fn namespace(file: &StoreFile, key: &NamespaceKey) -> Result<RingSuite, CliError> {
    let (settings, store) = settings(file, key);
    let namespace = settings.namespace_key(&store, STORE).map_err(refused)?;
    Ok(RingSuite::new(&namespace))
}

fn settings(file: &StoreFile, key: &NamespaceKey) -> (EnrolmentSettings, StoreSettings) {
    let mut store = StoreSettings::default();
    store.store = Some(file.store.clone());
    let mut settings = EnrolmentSettings::default();
    settings.namespace_key_file.clone_from(&key.namespace_key_file);
    (settings, store)
}

/// Makes the next key of the namespace, or replaces the key by it.
async fn rotate(global: &Global, file: &StoreFile, key: &NamespaceKey, finish: bool) -> Done {
    let records = records(file, false)?;
    let (settings, store) = settings(file, key);
    let (path, what, then) = match finish {
        false => (
            settings.prepare_key(&store, STORE).map_err(refused)?,
            "namespace.prepare_key",
            "restart the coordinator: workers that connect from then on know both keys. Once all have \
             connected, run the command again with --finish",
        ),
        true => (
            settings.replace_key(&store, STORE).map_err(refused)?,
            "namespace.rotate_key",
            "restart the coordinator. Join tokens that were made before are for the former key: make \
             others",
        ),
    };
    let by = AuditWho::new("operator", "", user_name().unwrap_or_default());
    let target = AuditTarget::new("namespace", path.display().to_string());
    let event = AuditEvent::new(Timestamp::now(), by, what).target(target);
    ChainAudit::start(records, "command").record(&[event]).await.map_err(refused)?;
    let path = path.display().to_string();
    if global.json {
        output::println(&json!({ "key_file": path }).to_string())?;
    } else {
        output::println(&match finish {
            false => format!("{path} has the next key of the namespace"),
            true => format!("{path} has another key"),
        })?;
        output::say(then);
    }
    Ok(Code::Success)
}

async fn create(global: &Global, file: &StoreFile, key: &NamespaceKey, new: NewJoinToken) -> Done {
    let keys = Keys::open(file, true).await?;
    let namespace = namespace(file, key)?.public();
    let created = keys.keys.create_token(&keys.by, namespace, new).await;
    let (secret, token) = created.map_err(refused)?;
    shown_once(global, secret.expose(), &TokenView::of(token))
}

fn shown_once(global: &Global, secret: &str, token: &TokenView) -> Done {
    if global.json {
        let text = json!({ "id": token.id, "token": secret, "expires_at": token.expires_at });
        output::println(&text.to_string())?;
        return Ok(Code::Success);
    }
    // Alone on standard output, so that a script can keep it.
    output::println(secret)?;
    let uses = match token.uses {
        1 => "one worker".to_owned(),
        uses => format!("{uses} workers"),
    };
    output::say(&format!(
        "{uses} named {:?} may join until {}; the token is not shown again. On the worker, put it \
         into a file, and run: tinpot worker join --join-token-file FILE --name NAME --broker URL",
        token.limits.names,
        global.clock().short(&token.expires_at)
    ));
    Ok(Code::Success)
}

async fn list(global: &Global, file: &StoreFile) -> Done {
    let keys = Keys::open(file, false).await?;
    let tokens: Vec<TokenView> = keys.keys.tokens().into_iter().map(TokenView::of).collect();
    let keys: Vec<KeyView> = keys.keys.keys().into_iter().map(KeyView::of).collect();
    show(global, &keys, &tokens)
}

fn show(global: &Global, keys: &[KeyView], tokens: &[TokenView]) -> Done {
    if global.json {
        let of = |key: &KeyView| {
            json!({
                "id": key.id,
                "name": key.limits.names,
                "limits": key.limits,
                "created_at": key.created_at,
                "last_heard_at": key.last_heard_at,
                "revoked_at": key.revoked_at,
                "temporary": key.temporary,
                "version": key.version,
                "rotate": key.rotate,
                "replaced_by": key.replaced_by,
                "ends_at": key.ends_at,
            })
        };
        let of_token = |token: &TokenView| {
            json!({
                "id": token.id,
                "limits": token.limits,
                "uses": token.uses,
                "expires_at": token.expires_at,
                "temporary": token.temporary,
            })
        };
        let keys: Vec<_> = keys.iter().map(of).collect();
        let tokens: Vec<_> = tokens.iter().map(of_token).collect();
        let text = json!({ "keys": keys, "join_tokens": tokens }).to_string();
        output::println(&text)?;
        return Ok(Code::Success);
    }
    if keys.is_empty() && tokens.is_empty() {
        output::say(
            "No worker has joined. Create a token with \"tinpot workers join-token --names NAME\"",
        );
        return Ok(Code::Success);
    }
    let (clock, paint) = (global.clock(), Paint::stdout());
    let short = |at: Option<&String>| at.map_or_else(|| "never".to_owned(), |at| clock.short(at));
    let now = Timestamp::now().to_string();
    let row = |key: &KeyView| {
        let state = match (&key.revoked_at, &key.ends_at) {
            (Some(_), _) => paint.red("revoked"),
            (None, Some(ends)) if *ends <= now => "replaced".to_owned(),
            (None, Some(ends)) => format!("ends {}", clock.short(ends)),
            (None, None) if key.rotate => "to be replaced".to_owned(),
            (None, None) => "ok".to_owned(),
        };
        let (name, created) = (clean(&key.limits.names, false), short(Some(&key.created_at)));
        let heard = short(key.last_heard_at.as_ref());
        vec![clean(&key.id, false), name, state, created, heard, shown(&key.limits)]
    };
    let mut rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    rows.extend(tokens.iter().map(|token| {
        let state = match (token.uses, token.expires_at <= now) {
            (0, _) => "used".to_owned(),
            (_, true) => "expired".to_owned(),
            (uses, false) => format!("token, {uses} left"),
        };
        let limits = &token.limits;
        let (names, created) = (clean(&limits.names, false), short(Some(&token.created_at)));
        vec![clean(&token.id, false), names, state, created, String::new(), shown(limits)]
    }));
    let head = ["ID", "NAME", "STATE", "CREATED", "LAST HEARD", "LIMITS"];
    output::println(&table::table(&head, &rows, paint))?;
    Ok(Code::Success)
}

/// Returns limits for a table.
fn shown(limits: &WorkerLimits) -> String {
    let WorkerLimits { queues, groups, actions, slots, .. } = limits;
    let lists = [("queues", queues), ("groups", groups), ("actions", actions)];
    let mut parts: Vec<String> = lists
        .iter()
        .filter_map(|(what, list)| list.as_ref().map(|list| format!("{what} {}", list.join(", "))))
        .collect();
    parts.extend(slots.map(|slots| format!("{slots} slots")));
    if parts.is_empty() { "none".to_owned() } else { clean(&parts.join("; "), false) }
}

/// The key or the token that a command names.
enum Found<'a> {
    Key(&'a str),
    Token(&'a str),
}

/// Finds a key by its id or by the name of its worker, or a join token by its id.
fn find<'a>(
    keys: &'a [KeyView],
    tokens: &'a [TokenView],
    named: &str,
) -> Result<Found<'a>, CliError> {
    if let Some(token) = tokens.iter().find(|token| token.id == named) {
        return Ok(Found::Token(&token.id));
    }
    find_key(keys, named).map(Found::Key)
}

/// Finds a key by its id or by the name of its worker.
fn find_key<'a>(keys: &'a [KeyView], named: &str) -> Result<&'a str, CliError> {
    if let Some(key) = keys.iter().find(|key| key.id == named) {
        return Ok(&key.id);
    }
    // Those that were replaced are revoked with the key that has replaced them.
    let is_last = |key: &&KeyView| key.revoked_at.is_none() && key.replaced_by.is_none();
    let by_name = keys.iter().filter(|key| key.limits.names == named);
    let by_name: Vec<&KeyView> = by_name.filter(is_last).collect();
    match by_name.as_slice() {
        [key] => Ok(&key.id),
        [] => {
            let near = suggest::or_list(named, keys.iter().map(|key| &*key.limits.names));
            let message = format!("no key of a worker {named:?}{near}");
            Err(CliError::new(Code::NotFound, message))
        }
        several => {
            let ids: Vec<_> = several.iter().map(|key| &*key.id).collect();
            Err(CliError::usage(format!(
                "{} keys have the name {named:?}; use one of the ids: {}",
                several.len(),
                ids.join(", ")
            )))
        }
    }
}

/// Returns the last of the keys that have replaced a key, one after the other, if it is valid.
fn successor<'a>(keys: &'a [KeyView], id: &str) -> Option<&'a str> {
    let next = |id: &str| {
        let key = keys.iter().find(|key| key.id == id)?;
        keys.iter().find(|next| Some(&*next.id) == key.replaced_by.as_deref())
    };
    // A server may name them in a circle.
    let all = std::iter::successors(next(id), |key| next(&key.id)).take(keys.len());
    all.last().filter(|key| key.revoked_at.is_none()).map(|key| &*key.id)
}

impl Found<'_> {
    fn was_revoked(&self, global: &Global, keys: &[KeyView]) -> Done {
        let (id, what, effect) = match self {
            Self::Key(id) => {
                (id, "key", "its worker is ignored from now on; what it runs ends with its lease")
            }
            Self::Token(id) => (id, "join token", "no worker joins with it from now on"),
        };
        let successor = successor(keys, id);
        if global.json {
            output::println(&json!({ "id": id, "replaced_by": successor }).to_string())?;
        } else if let Some(successor) = successor {
            output::println(&format!(
                "{what} {id} was revoked: its worker goes on with key {successor}, which has \
                 replaced it; if others may know that one, too: tinpot workers revoke {successor}"
            ))?;
        } else {
            output::println(&format!("{what} {id} was revoked: {effect}"))?;
        }
        Ok(Code::Success)
    }
}

async fn revoke(global: &Global, file: &StoreFile, named: &str) -> Done {
    let Keys { keys, by } = Keys::open(file, false).await?;
    let tokens: Vec<TokenView> = keys.tokens().into_iter().map(TokenView::of).collect();
    let all: Vec<KeyView> = keys.keys().into_iter().map(KeyView::of).collect();
    let found = find(&all, &tokens, named)?;
    let parsed = |id: &str| {
        id.parse::<KeyId>().map_err(|_| CliError::new(Code::Failed, format!("bad id {id:?}")))
    };
    match found {
        Found::Key(id) => {
            keys.revoke_key(&by, &parsed(id)?).await.map_err(refused)?;
        }
        Found::Token(id) => keys.revoke_token(&by, &parsed(id)?).await.map_err(refused)?,
    }
    found.was_revoked(global, &all)
}

async fn ask_to_rotate(global: &Global, file: &StoreFile, named: &str) -> Done {
    let Keys { keys, by } = Keys::open(file, false).await?;
    let all: Vec<KeyView> = keys.keys().into_iter().map(KeyView::of).collect();
    let id = find_key(&all, named)?;
    let parsed = id.parse::<KeyId>();
    let parsed = parsed.map_err(|_| CliError::new(Code::Failed, format!("bad id {id:?}")))?;
    keys.ask_to_rotate(&by, &parsed).await.map_err(refused)?;
    was_asked(global, id)
}

fn was_asked(global: &Global, id: &str) -> Done {
    if global.json {
        output::println(&json!({ "id": id }).to_string())?;
    } else {
        output::println(&format!(
            "the worker with key {id} replaces it as soon as it is connected; the key ends 48 hours \
             later"
        ))?;
    }
    Ok(Code::Success)
}
