//! `tinpot secrets`.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tinpot_access::{
    ChainAudit, RingSealer, Secret, SecretAllow, SecretStore, StoreKeys, StoredSecret,
};
use tinpot_core::DEFAULT_TEAM;
use tinpot_core::access::AuditWho;
use tinpot_server::settings::StoreSettings;

use super::place::{Place, unreadable};
use super::{Store, records, refused, run};
use crate::args::{Global, SecretFile, Secrets, StoreFile};
use crate::client::{encoded, user_name};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint, clean};
use crate::{secret_prompt, table};

/// The store without a setting, which there always is.
const STORE: &str = "tinpot.db";
/// More than a secret has.
const BYTES: u64 = 64 * 1024;

pub(crate) fn secrets(command: &Secrets, global: &Global) -> Done {
    match command {
        Secrets::Set { name, actions, groups, queues, store } => {
            let mut allow = SecretAllow::all();
            for (given, limit) in [
                (actions, SecretAllow::actions as fn(_, Vec<String>) -> _),
                (groups, SecretAllow::groups),
                (queues, SecretAllow::queues),
            ] {
                if !given.is_empty() {
                    allow = limit(allow, given.clone());
                }
            }
            let place = Place::of(global, &store.store)?;
            let value = read(name)?;
            match place {
                Place::Store(_) => run(set(global, store, name, value, allow)),
                Place::Server(server) => {
                    let SecretAllow { actions, groups, queues, .. } = allow;
                    let body = json!({
                        "value": value.expose(),
                        "actions": actions,
                        "groups": groups,
                        "queues": queues,
                    });
                    let path = format!("/api/secrets/{}", encoded(name));
                    let secret = server.send("PUT", &path, &body)?;
                    let secret = serde_json::from_value(secret).map_err(unreadable)?;
                    was_set(global, &secret)
                }
            }
        }
        Secrets::RotateKey { store } => run(rotate_key(global, store)),
        Secrets::List { store } => match Place::of(global, &store.store)? {
            Place::Store(_) => run(list(global, store)),
            Place::Server(server) => show(global, &server.read::<Listed>("/api/secrets")?.secrets),
        },
        Secrets::Remove { name, store } => match Place::of(global, &store.store)? {
            Place::Store(_) => run(remove(global, store, name)),
            Place::Server(server) => {
                server.remove("secrets", name)?;
                was_removed(global, name)
            }
        },
    }
}

/// A secret, as it is listed.
#[derive(Deserialize, Serialize)]
struct View {
    name: String,
    version: u64,
    set_at: String,
    set_by: String,
    actions: Option<Vec<String>>,
    groups: Option<Vec<String>>,
    queues: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Listed {
    secrets: Vec<View>,
}

impl View {
    fn of(secret: StoredSecret) -> Self {
        let SecretAllow { actions, groups, queues, .. } = secret.allow;
        Self {
            name: secret.name.to_string(),
            version: secret.version,
            set_at: secret.set_at.to_string(),
            set_by: secret.set_by.to_string(),
            actions,
            groups,
            queues,
        }
    }
}

/// Reads the value from standard input, or asks for it. The end of the last line is left out.
fn read(name: &str) -> Result<Secret, CliError> {
    if secret_prompt::can_ask() {
        return Ok(Secret::new(secret_prompt::ask(name)?));
    }
    let mut text = String::new();
    let failed = |error| CliError::new(Code::Failed, format!("cannot read the secret: {error}"));
    std::io::stdin().lock().take(BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(Secret::new(text))
}

/// Opens the secrets in the file of a store.
fn open(file: &StoreFile, sealer: RingSealer) -> Result<SecretStore, CliError> {
    let records = records(file, true)?;
    let audit = Arc::new(ChainAudit::start(records.clone(), "command"));
    Ok(SecretStore::new(records, sealer).audit(audit))
}

fn settings(file: &SecretFile) -> Result<StoreSettings, CliError> {
    // Also for its check of the path.
    records(&file.store.file(), true)?;
    let mut settings = StoreSettings::default();
    settings.store = Some(file.store.file().store);
    settings.store_key_file.clone_from(&file.store_key_file);
    Ok(settings)
}

/// Returns the sealer of a store, whose key is created if nothing was sealed yet.
async fn sealer(file: &SecretFile) -> Result<RingSealer, CliError> {
    let settings = settings(file)?;
    if let Some(sealer) = settings.present_sealer(STORE).await.map_err(refused)? {
        return Ok(sealer);
    }
    check_owner(&file.store.file().store)?;
    settings.sealer(STORE).await.map_err(refused)?.ok_or_else(|| {
        let path = file.store.file().store;
        let path = path.display();
        CliError::new(Code::NotFound, format!("there is no folder for the store {path}"))
    })
}

/// Refuses to create a key for a store of another user, whose coordinator could not read it.
fn check_owner(store: &Path) -> Result<(), CliError> {
    let Ok(metadata) = std::fs::metadata(store) else { return Ok(()) };
    let owner = metadata.uid();
    if owner == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    let message = format!(
        "the store {} has no key yet, and belongs to another user (uid {owner}), who could not read \
         one that is created now: run this command as that user, or start the coordinator first",
        store.display()
    );
    Err(CliError::usage(message))
}

/// Returns the id of the team whose actions may ask for the secrets.
async fn team(global: &Global, file: &StoreFile) -> Result<Arc<str>, CliError> {
    match global.team() {
        Some(name) => Ok(Store::open(file, true).await?.team(name)?.id),
        None => Ok(DEFAULT_TEAM.into()),
    }
}

/// Returns a sealer for what neither seals nor opens.
fn no_sealer() -> Result<RingSealer, CliError> {
    Ok(StoreKeys::generate().map_err(refused)?.sealer())
}

async fn rotate_key(global: &Global, file: &SecretFile) -> Done {
    records(&file.store.file(), false)?;
    // The secrets of actions need no coordinator for it.
    let sealer = settings(file)?.present_sealer(STORE).await.map_err(refused)?;
    let sealer = sealer.ok_or_else(|| {
        CliError::new(Code::NotFound, "the store has no key yet: its coordinator creates one")
    })?;
    let secrets = open(&file.store.file(), sealer)?;
    secrets.reseal().await.map_err(refused)?;
    let path = settings(file)?.rotate_key(STORE).await.map_err(refused)?;
    secrets.record_rotation(&by()).await.map_err(refused)?;
    if global.json {
        let path = path.display().to_string();
        output::println(&json!({ "key_file": path }).to_string())?;
    } else {
        output::println(&format!("{} has another key", path.display()))?;
        output::say("restart the coordinator, which seals all secrets under it");
    }
    Ok(Code::Success)
}

fn by() -> AuditWho {
    AuditWho::new("operator", "", user_name().unwrap_or_default())
}

async fn set(
    global: &Global,
    file: &SecretFile,
    name: &str,
    value: Secret,
    allow: SecretAllow,
) -> Done {
    let place = file.store.file();
    let team = team(global, &place).await?;
    let store = open(&place, sealer(file).await?)?;
    let secret = store.set(&by(), &team, name, &value, allow).await.map_err(refused)?;
    was_set(global, &View::of(secret))
}

fn was_set(global: &Global, secret: &View) -> Done {
    if global.json {
        output::println(&json!(secret).to_string())?;
    } else {
        let name = clean(&secret.name, false);
        output::println(&format!("secret {name} was set, version {}", secret.version))?;
    }
    Ok(Code::Success)
}

async fn list(global: &Global, file: &SecretFile) -> Done {
    let file = file.store.file();
    records(&file, false)?;
    let team = team(global, &file).await?;
    let secrets = open(&file, no_sealer()?)?.list(&team).await.map_err(refused)?;
    let secrets: Vec<View> = secrets.into_iter().map(View::of).collect();
    show(global, &secrets)
}

fn show(global: &Global, secrets: &[View]) -> Done {
    if global.json {
        output::println(&json!({ "secrets": secrets }).to_string())?;
        return Ok(Code::Success);
    }
    if secrets.is_empty() {
        output::say("No secrets. Set one with \"tinpot secrets set NAME\"");
        return Ok(Code::Success);
    }
    let clock = global.clock();
    let names = |names: &Option<Vec<String>>| match names {
        Some(names) => clean(&names.join(", "), false),
        None => "all".to_owned(),
    };
    let row = |secret: &View| {
        vec![
            clean(&secret.name, false),
            secret.version.to_string(),
            clock.short(&secret.set_at),
            clean(&secret.set_by, false),
            names(&secret.actions),
            names(&secret.groups),
            names(&secret.queues),
        ]
    };
    let rows: Vec<Vec<String>> = secrets.iter().map(row).collect();
    let head = ["NAME", "VERSION", "SET", "BY", "ACTIONS", "GROUPS", "QUEUES"];
    output::println(&table::table(&head, &rows, Paint::stdout()))?;
    Ok(Code::Success)
}

async fn remove(global: &Global, file: &SecretFile, name: &str) -> Done {
    let file = file.store.file();
    records(&file, false)?;
    let team = team(global, &file).await?;
    let store = open(&file, no_sealer()?)?;
    store.remove(&by(), &team, name).await.map_err(refused)?;
    was_removed(global, name)
}

fn was_removed(global: &Global, name: &str) -> Done {
    if global.json {
        output::println(&json!({ "name": name }).to_string())?;
    } else {
        output::println(&format!("secret {name} was removed"))?;
    }
    Ok(Code::Success)
}
