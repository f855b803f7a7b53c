//! `tinpot workers join-token`, `keys` and `revoke`.

use std::sync::Arc;
use std::time::Duration;

use tinpot_access::{ChainAudit, JoinTokenInfo, NewJoinToken, RingSuite, WorkerKey, WorkerKeys};
use tinpot_core::Timestamp;
use tinpot_core::access::AuditWho;
use tinpot_core::seal::{KeyId, Suite, WorkerLimits};
use tinpot_server::settings::{EnrolmentSettings, StoreSettings};

use super::{Store, records, refused, run};
use crate::args::{Global, NamespaceKey, StoreFile, Workers};
use crate::client::user_name;
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
            run(async {
                limits.teams = teams(global, store).await?;
                let new = NewJoinToken::new(limits)
                    .uses(*uses)
                    .lifetime(Duration::from_secs(*valid_for))
                    .temporary(*temporary);
                create(global, store, key, new).await
            })
        }
        Workers::Keys { store } => run(list(global, store)),
        Workers::Revoke { key, store } => run(revoke(global, store, key)),
        Workers::List | Workers::Drain { .. } => Ok(Code::Success),
    }
}

/// Returns the ids of the teams that the options name, separated by commas.
async fn teams(global: &Global, file: &StoreFile) -> Result<Option<Vec<String>>, CliError> {
    let Some(names) = global.team() else { return Ok(None) };
    let store = Store::open(file, true).await?;
    let id = |name: &str| store.team(name.trim()).map(|team| team.id.to_string());
    names.split(',').map(id).collect::<Result<_, _>>().map(Some)
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
    let mut store = StoreSettings::default();
    store.store = Some(file.store.clone());
    let mut settings = EnrolmentSettings::default();
    settings.namespace_key_file.clone_from(&key.namespace_key_file);
    let namespace = settings.namespace_key(&store, "tinpot.db").map_err(refused)?;
    Ok(RingSuite::new(&namespace))
}

async fn create(global: &Global, file: &StoreFile, key: &NamespaceKey, new: NewJoinToken) -> Done {
    let keys = Keys::open(file, true).await?;
    let namespace = namespace(file, key)?.public();
    let created = keys.keys.create_token(&keys.by, namespace, new).await;
    let (secret, token) = created.map_err(refused)?;
    let expires = token.terms.expires.to_string();
    if global.json {
        let text = serde_json::json!({
            "id": token.id.to_string(),
            "token": secret.expose(),
            "expires_at": expires,
        });
        output::println(&text.to_string())?;
        return Ok(Code::Success);
    }
    // Alone on standard output, so that a script can keep it.
    output::println(secret.expose())?;
    let uses = match token.terms.uses {
        1 => "one worker".to_owned(),
        uses => format!("{uses} workers"),
    };
    output::say(&format!(
        "{uses} named {:?} may join until {}; the token is not shown again. On the worker, put it \
         into a file, and run: tinpot worker join --join-token-file FILE --name NAME --broker URL",
        token.terms.limits.names,
        global.clock().short(&expires)
    ));
    Ok(Code::Success)
}

async fn list(global: &Global, file: &StoreFile) -> Done {
    let keys = Keys::open(file, false).await?;
    let (tokens, keys) = (keys.keys.tokens(), keys.keys.keys());
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
    if global.json {
        let of = |key: &WorkerKey| {
            serde_json::json!({
                "id": key.id.to_string(),
                "name": key.limits.names,
                "limits": key.limits,
                "created_at": key.created.to_string(),
                "last_heard_at": time(key.last_heard),
                "revoked_at": time(key.revoked),
                "temporary": key.is_temporary,
                "version": key.version,
            })
        };
        let of_token = |token: &JoinTokenInfo| {
            serde_json::json!({
                "id": token.id.to_string(),
                "limits": token.terms.limits,
                "uses": token.terms.uses,
                "expires_at": token.terms.expires.to_string(),
                "temporary": token.is_temporary,
            })
        };
        let keys: Vec<_> = keys.iter().map(of).collect();
        let tokens: Vec<_> = tokens.iter().map(of_token).collect();
        let text = serde_json::json!({ "keys": keys, "join_tokens": tokens }).to_string();
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
    let short = |at: Option<Timestamp>| {
        at.map_or_else(|| "never".to_owned(), |at| clock.short(&at.to_string()))
    };
    let row = |key: &WorkerKey| {
        let state = match key.revoked {
            Some(_) => paint.red("revoked"),
            None => "ok".to_owned(),
        };
        let created = short(Some(key.created));
        let name = clean(&key.limits.names, false);
        vec![key.id.to_string(), name, state, created, short(key.last_heard), shown(&key.limits)]
    };
    let mut rows: Vec<Vec<String>> = keys.iter().map(row).collect();
    rows.extend(tokens.iter().map(|token| {
        let state = match (token.terms.uses, token.terms.expires <= Timestamp::now()) {
            (0, _) => "used".to_owned(),
            (_, true) => "expired".to_owned(),
            (uses, false) => format!("token, {uses} left"),
        };
        let limits = &token.terms.limits;
        let (names, created) = (clean(&limits.names, false), short(Some(token.created)));
        vec![token.id.to_string(), names, state, created, String::new(), shown(limits)]
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

async fn revoke(global: &Global, file: &StoreFile, named: &str) -> Done {
    let keys = Keys::open(file, false).await?;
    let all = keys.keys.keys();
    let by_id = named.parse::<KeyId>().ok();
    if let Some(id) = by_id.filter(|id| keys.keys.tokens().iter().any(|token| token.id == *id)) {
        keys.keys.revoke_token(&keys.by, &id).await.map_err(refused)?;
        return done(global, &id, "join token", "no worker joins with it any more");
    }
    let by_name: Vec<&WorkerKey> =
        all.iter().filter(|key| key.limits.names == named && key.revoked.is_none()).collect();
    let id = match (by_id.filter(|id| all.iter().any(|key| key.id == *id)), by_name.as_slice()) {
        (Some(id), _) => id,
        (None, [key]) => key.id,
        (None, []) => {
            let near = suggest::or_list(named, all.iter().map(|key| &*key.limits.names));
            let message = format!("no key of a worker {named:?}{near}");
            return Err(CliError::new(Code::NotFound, message));
        }
        (None, several) => {
            let ids: Vec<_> = several.iter().map(|key| key.id.to_string()).collect();
            return Err(CliError::usage(format!(
                "{} keys have the name {named:?}; use one of the ids: {}",
                several.len(),
                ids.join(", ")
            )));
        }
    };
    keys.keys.revoke_key(&keys.by, &id).await.map_err(refused)?;
    done(global, &id, "key", "its worker is not heard any more; what it runs ends with its lease")
}

fn done(global: &Global, id: &KeyId, what: &str, effect: &str) -> Done {
    if global.json {
        output::println(&serde_json::json!({ "id": id.to_string() }).to_string())?;
    } else {
        output::println(&format!("{what} {id} was revoked: {effect}"))?;
    }
    Ok(Code::Success)
}
