//! `tinpot store`.

use std::path::Path;

use serde_json::json;
use tinpot_access::{ChainAudit, StoredCredentials};
use tinpot_core::access::{AuditWho, Restoration};
use tinpot_server::{OTHER_CREDENTIALS, explained};

use super::{records, refused, run};
use crate::args::{Global, StoreCommand, StoreFile};
use crate::client::user_name;
use crate::exit::{Code, Done};
use crate::output::{self, clean};

pub(crate) fn store(command: &StoreCommand, global: &Global) -> Done {
    match command {
        StoreCommand::Credentials { store } => run(show(global, store)),
        StoreCommand::RevokeAll { store } => run(decide(global, store, true)),
        StoreCommand::AcceptRestored { store } => run(decide(global, store, false)),
    }
}

async fn show(global: &Global, file: &StoreFile) -> Done {
    let records = records(file, false)?;
    let note = Restoration::of(&*records).await.map_err(refused)?;
    let found = StoredCredentials::of(&*records, OTHER_CREDENTIALS).await.map_err(refused)?;
    if global.json {
        let restored = note.map(|note| {
            json!({
                "noticed_at": note.noticed.to_string(),
                "revision": note.revision,
                "revision_before": note.before,
            })
        });
        output::println(&with_credentials(&found, json!({ "restored": restored })).to_string())?;
        return Ok(Code::Success);
    }
    if let Some(note) = note {
        warn(&file.store, &note);
    }
    output::println(&format!("Credentials: {}", clean(&found.to_string(), false)))?;
    Ok(Code::Success)
}

async fn decide(global: &Global, file: &StoreFile, ends_all: bool) -> Done {
    let records = records(file, false)?;
    let audit = ChainAudit::start(records.clone(), "command");
    let by = AuditWho::new("operator", "", user_name().unwrap_or_default());
    let (records, audit) = (&*records, Some(&audit as _));
    let decided = match ends_all {
        true => StoredCredentials::revoke_all(records, OTHER_CREDENTIALS, audit, &by).await,
        false => StoredCredentials::accept_restored(records, OTHER_CREDENTIALS, audit, &by).await,
    };
    let found = decided.map_err(refused)?;
    if global.json {
        let revoked = json!({ "revoked": ends_all });
        output::println(&with_credentials(&found, revoked).to_string())?;
        return Ok(Code::Success);
    }
    let what = if ends_all { "Ended" } else { "Kept" };
    output::println(&format!("{what}: {}", clean(&found.to_string(), false)))?;
    if ends_all {
        output::say(
            "Users and grants stay: check them with \"tinpot users list\" and \"tinpot grants list\", \
             and set passwords with \"tinpot users password NAME\". Workers join again with \"tinpot \
             workers join-token\"",
        );
    }
    Ok(Code::Success)
}

/// Prints a warning about a store that was put back to an earlier state.
pub(super) fn warn(file: &Path, note: &Restoration) {
    let (warning, file) = (output::Paint::stderr().yellow("warning:"), file.display());
    output::say(&format!(
        "{warning} the store {file} {}. Until you run \"tinpot store revoke-all\" or \"tinpot store \
         accept-restored\", its coordinator does not start",
        explained(note)
    ));
}

fn with_credentials(found: &StoredCredentials, mut answer: serde_json::Value) -> serde_json::Value {
    answer["credentials"] = json!({
        "passwords": found.passwords,
        "tokens": found.tokens,
        "sign_ins": found.sign_ins,
        "worker_keys": found.worker_keys,
        "join_tokens": found.join_tokens,
        "others": found.others,
        "grants": found.grants,
    });
    answer
}
