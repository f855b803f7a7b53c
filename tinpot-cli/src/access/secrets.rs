//! `tinpot secrets`.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use tinpot_access::{
    ChainAudit, RingSealer, Secret, SecretAllow, SecretStore, StoreKeys, StoredSecret,
};
use tinpot_core::DEFAULT_TEAM;
use tinpot_core::access::AuditWho;
use tinpot_server::settings::StoreSettings;

use super::{Store, records, refused, run};
use crate::args::{Global, SecretFile, Secrets, StoreFile};
use crate::client::user_name;
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
            let value = read(name)?;
            run(set(global, store, name, value, allow))
        }
        Secrets::RotateKey { store } => run(rotate_key(global, store)),
        Secrets::List { store } => run(list(global, store)),
        Secrets::Remove { name, store } => run(remove(global, store, name)),
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
    records(&file.store, true)?;
    let mut settings = StoreSettings::default();
    settings.store = Some(file.store.store.clone());
    settings.store_key_file.clone_from(&file.store_key_file);
    Ok(settings)
}

/// Returns the sealer of a store, whose key is created if nothing was sealed yet.
async fn sealer(file: &SecretFile) -> Result<RingSealer, CliError> {
    let settings = settings(file)?;
    if let Some(sealer) = settings.present_sealer(STORE).await.map_err(refused)? {
        return Ok(sealer);
    }
    check_owner(&file.store.store)?;
    settings.sealer(STORE).await.map_err(refused)?.ok_or_else(|| {
        let path = file.store.store.display();
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
    records(&file.store, false)?;
    // The secrets of actions need no coordinator for it.
    let sealer = settings(file)?.present_sealer(STORE).await.map_err(refused)?;
    let sealer = sealer.ok_or_else(|| {
        CliError::new(Code::NotFound, "the store has no key yet: its coordinator creates one")
    })?;
    let secrets = open(&file.store, sealer)?;
    secrets.reseal().await.map_err(refused)?;
    let path = settings(file)?.rotate_key(STORE).await.map_err(refused)?;
    secrets.record_rotation(&by()).await.map_err(refused)?;
    if global.json {
        let path = path.display().to_string();
        output::println(&serde_json::json!({ "key_file": path }).to_string())?;
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
    let team = team(global, &file.store).await?;
    let store = open(&file.store, sealer(file).await?)?;
    let secret = store.set(&by(), &team, name, &value, allow).await.map_err(refused)?;
    if global.json {
        output::println(&json(&secret).to_string())?;
    } else {
        output::println(&format!("secret {name} was set, version {}", secret.version))?;
    }
    Ok(Code::Success)
}

async fn list(global: &Global, file: &SecretFile) -> Done {
    records(&file.store, false)?;
    let team = team(global, &file.store).await?;
    let secrets = open(&file.store, no_sealer()?)?.list(&team).await.map_err(refused)?;
    if global.json {
        let all: Vec<_> = secrets.iter().map(json).collect();
        output::println(&serde_json::json!({ "secrets": all }).to_string())?;
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
    let row = |secret: &StoredSecret| {
        vec![
            clean(&secret.name, false),
            secret.version.to_string(),
            clock.short(&secret.set_at.to_string()),
            clean(&secret.set_by, false),
            names(&secret.allow.actions),
            names(&secret.allow.groups),
            names(&secret.allow.queues),
        ]
    };
    let rows: Vec<Vec<String>> = secrets.iter().map(row).collect();
    let head = ["NAME", "VERSION", "SET", "BY", "ACTIONS", "GROUPS", "QUEUES"];
    output::println(&table::table(&head, &rows, Paint::stdout()))?;
    Ok(Code::Success)
}

fn json(secret: &StoredSecret) -> serde_json::Value {
    serde_json::json!({
        "name": &*secret.name,
        "version": secret.version,
        "set_at": secret.set_at.to_string(),
        "set_by": &*secret.set_by,
        "actions": secret.allow.actions,
        "groups": secret.allow.groups,
        "queues": secret.allow.queues,
    })
}

async fn remove(global: &Global, file: &SecretFile, name: &str) -> Done {
    records(&file.store, false)?;
    let team = team(global, &file.store).await?;
    let store = open(&file.store, no_sealer()?)?;
    store.remove(&by(), &team, name).await.map_err(refused)?;
    if global.json {
        output::println(&serde_json::json!({ "name": name }).to_string())?;
    } else {
        output::println(&format!("secret {name} was removed"))?;
    }
    Ok(Code::Success)
}
