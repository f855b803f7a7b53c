//! Stores that were put back to an earlier state, with credentials that were revoked since.

use tinpot_access::StoredCredentials;
use tinpot_core::access::Restoration;
use tinpot_core::{Error, ErrorKind, Result};
use tinpot_tower::RUNNER_RECORDS;

use crate::settings::StoreSettings;

/// The kinds of records of which each is a credential that tinpot-access does not know, for
/// [`StoredCredentials`].
pub const OTHER_CREDENTIALS: &[&str] = &[RUNNER_RECORDS];

/// Refuses a store whose records were put back to an earlier state, until an operator has decided
/// about their credentials.
///
/// # Errors
/// `InvalidInput` for such a store; those of the records.
pub(crate) async fn check(store: &StoreSettings, default: &str) -> Result<()> {
    let Some(records) = store.records(default) else { return Ok(()) };
    let Some(note) = Restoration::of(&records).await? else { return Ok(()) };
    let found = StoredCredentials::of(&records, OTHER_CREDENTIALS).await?;
    if found.is_empty() {
        tracing::info!("the store was restored, and has no credentials");
        return Restoration::settle(&records).await;
    }
    let file = store.path(default);
    let (file, what) = (file.display(), explained(&note));
    let message = format!(
        "the store {file} {what}. Credentials that were revoked, removed or disabled since then are \
         valid again, and so are former passwords. It has: {found}. Run one of these, then start \
         again:\n  tinpot store revoke-all --store {file}        end all of these but the grants\n  \
         tinpot store accept-restored --store {file}   keep all of them"
    );
    Err(Error::new(ErrorKind::InvalidInput, message))
}

/// Describes what has happened to the store, as the rest of a sentence.
pub fn explained(note: &Restoration) -> String {
    let Restoration { revision, before, .. } = note;
    match before {
        Some(before) => format!(
            "was restored from a backup, or has lost changes: its records have revision {revision}, \
             and had revision {before} before"
        ),
        None => format!(
            "is a copy, perhaps a backup: the file that has the last revision of its records did not \
             come with it, and they have revision {revision}"
        ),
    }
}
