//! Removing an app.

use tinpot_core::access::AuditWho;
use tinpot_core::access::records::{Change, MAX_CHANGES};
use tinpot_core::{Error, ErrorKind, Result};

use super::documents::{APP, write};
use super::{App, Apps};

impl Apps {
    /// Removes an app with its versions. Its archives are deleted by a later collection, and its
    /// executions stay. An app that takes submissions has to be disabled first.
    ///
    /// # Errors
    /// `NotFound` if there is none; `Conflict` if it takes submissions, or others change it; those of
    /// the records and the audit.
    pub async fn remove(&self, by: &AuditWho, team: &str, name: &str) -> Result<()> {
        let _changing = self.changing.lock().await;
        let (record, mut app) = self.find(team, name).await?;
        if app.enabled && app.active.is_some() {
            let message = format!("app {name:?} is enabled: disable it first, and then remove it");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        self.record(by, "app.remove", &app, format!("{} versions", app.versions)).await?;
        self.retire(&app).await?;
        // The newest first, so that the rest has no gap at any time.
        let mut version = record.version;
        loop {
            let first = app.versions.saturating_sub(MAX_CHANGES as u32 - 1);
            let records = self.version_records(&app, first, app.versions).await?;
            let removal = |record: &_| removal(record);
            let mut changes: Vec<Change> = records.iter().map(removal).collect();
            if first == 0 {
                changes.push(Change::remove(APP, record.id, version));
                return self.records.change(&changes).await.map(drop);
            }
            rest(&mut app, first);
            changes.push(Change::replace(APP, record.id.clone(), version, write(&app)?));
            version = self.records.change(&changes).await?;
        }
    }
}

/// Leaves an app its first versions, none of which is active.
fn rest(app: &mut App, versions: u32) {
    (app.versions, app.active, app.enabled) = (versions, None, false);
    app.active_actions.clear();
}

fn removal(record: &tinpot_core::access::records::Record) -> Change {
    Change::remove(record.kind.clone(), record.id.clone(), record.version)
}
