//! Apps of another system, with their history.

use tinpot_core::access::AuditWho;
use tinpot_core::access::records::{Change, MAX_CHANGES};
use tinpot_core::{Error, ErrorKind, Result, Timestamp};

use super::documents::{APP, App, VERSION, Version, app_id, version_id, write};
use super::{Apps, invalid};
use crate::archive::Inspection;
use crate::blob::{PutOptions, body};
use crate::digest::Digest;
use crate::manifest::{Artifact, BundleEntries, Manifest};
use crate::towerfile::{Towerfile, check_app_name};

/// An app that another system kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PastApp {
    /// The id of the team.
    pub team: String,
    /// The name, unique in the team.
    pub name: String,
    /// The description, for people.
    pub description: String,
    /// If false, nothing can be submitted to it.
    pub enabled: bool,
    /// The time at which it was created.
    pub created_at: Timestamp,
    /// The time of the last change.
    pub updated_at: Timestamp,
    /// The versions, the oldest first. The first one gets the number 1.
    pub versions: Vec<PastVersion>,
}

impl PastApp {
    /// Describes an enabled app without versions, which was created at this time.
    pub fn new(team: impl Into<String>, name: impl Into<String>, created_at: Timestamp) -> Self {
        Self {
            team: team.into(),
            name: name.into(),
            description: String::new(),
            enabled: true,
            created_at,
            updated_at: created_at,
            versions: Vec::new(),
        }
    }
}

/// A version that another system kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PastVersion {
    /// The digest of the archive.
    pub archive: Digest,
    /// If true, the archive is there: [`Apps::put_blob`] has stored it for the team.
    pub is_stored: bool,
    /// The text of the Towerfile, for a version whose archive is not there.
    pub towerfile: String,
    /// The time at which it was created.
    pub created_at: Timestamp,
}

impl PastVersion {
    /// Describes a version whose archive is stored.
    pub fn stored(archive: Digest, created_at: Timestamp) -> Self {
        Self { archive, is_stored: true, towerfile: String::new(), created_at }
    }

    /// Describes a version whose archive is gone, by the text of its Towerfile.
    pub fn gone(archive: Digest, towerfile: impl Into<String>, created_at: Timestamp) -> Self {
        Self { archive, is_stored: false, towerfile: towerfile.into(), created_at }
    }
}

/// An app that was [imported](Apps::import).
#[derive(Debug)]
#[non_exhaustive]
pub struct ImportedApp {
    /// The app.
    pub app: App,
    /// The versions, the oldest first.
    pub versions: Vec<Version>,
    /// The numbers of the versions whose archives break a rule, and the reasons. They are pruned.
    pub refused: Vec<(u32, Error)>,
}

impl Apps {
    /// Adds an app that another system kept, with all of its versions. The newest version that can
    /// run becomes the active one; a version whose archive is gone or breaks a rule is pruned.
    ///
    /// For a store without a coordinator: the next one activates the version.
    ///
    /// # Errors
    /// `InvalidInput` for a name that no Towerfile can have; `Conflict` if there is such an app; those
    /// of the stores and the audit.
    pub async fn import(&self, by: &AuditWho, past: PastApp) -> Result<ImportedApp> {
        let PastApp { team, name, .. } = &past;
        check_app_name(name).map_err(|rule| invalid(format!("the name of an app {rule}")))?;
        if self.records.get(APP, &app_id(team, name)).await?.is_some() {
            let message = format!("there is an app {name:?} already");
            return Err(Error::new(ErrorKind::Conflict, message));
        }
        let (mut versions, mut refused) = (Vec::new(), Vec::new());
        for (number, version) in (1_u32..).zip(&past.versions) {
            let found = match version.is_stored {
                true => self.checked(&version.archive).await,
                false => Ok(None),
            };
            let found = match found {
                // `NotFound` is an archive without a Towerfile.
                Err(error)
                    if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) =>
                {
                    refused.push((number, error));
                    None
                }
                found => found?,
            };
            versions.push(self.past_version(by, &past, number, version, found).await?);
        }
        let active = versions.iter().rev().find(|version| version.pruned_at.is_none());
        let app = App {
            team: team.as_str().into(),
            name: name.as_str().into(),
            description: past.description.clone(),
            enabled: past.enabled,
            active: active.map(|version| version.number),
            versions: versions.len() as u32,
            created_at: past.created_at,
            created_by: by.name.clone(),
            updated_at: past.updated_at,
            actions: Vec::new(),
            active_actions: Vec::new(),
        };
        let detail = format!("{} versions of another system", versions.len());
        self.record(by, "app.import", &app, detail).await?;
        let mut changes = Vec::with_capacity(versions.len() + 1);
        for version in &versions {
            let id = version_id(team, name, version.number);
            changes.push(Change::create(VERSION, id, write(version)?));
        }
        // The app last: before, none of its versions can be found.
        changes.push(Change::create(APP, app_id(team, name), write(&app)?));
        for changes in changes.chunks(MAX_CHANGES) {
            self.records.change(changes).await?;
        }
        Ok(ImportedApp { app, versions, refused })
    }

    /// Checks an archive by the rules of a deploy.
    async fn checked(&self, archive: &Digest) -> Result<Option<(Inspection, Manifest)>> {
        let inspection = self.inspect(archive).await?;
        let (towerfile, manifest) = inspection.manifest()?;
        manifest.app_actions(&towerfile)?;
        Ok(Some((inspection, manifest)))
    }

    async fn past_version(
        &self,
        by: &AuditWho,
        app: &PastApp,
        number: u32,
        past: &PastVersion,
        found: Option<(Inspection, Manifest)>,
    ) -> Result<Version> {
        let is_there = found.is_some();
        let (text, manifest) = match found {
            Some((inspection, manifest)) => (inspection.towerfile.unwrap_or_default(), manifest),
            None => {
                let (text, towerfile) = known_towerfile(&app.name, &past.towerfile)?;
                let artifact = Artifact { digest: past.archive, bytes: 0 };
                (text, Manifest::new(&towerfile, BundleEntries::new(), artifact)?)
            }
        };
        let towerfile = self.blobs.put(body(text), PutOptions::default()).await?.digest;
        let bundle = body(manifest.to_bytes()?);
        let bundle = self.put_blob(&app.team, bundle, PutOptions::default()).await?.digest;
        Ok(Version {
            team: app.team.as_str().into(),
            app: app.name.as_str().into(),
            number,
            bundle,
            artifact: manifest.artifact,
            content: manifest.content,
            towerfile,
            runtime: manifest.runtime,
            created_at: past.created_at,
            created_by: by.name.clone(),
            pruned_at: (!is_there).then(Timestamp::now),
        })
    }
}

/// Returns a Towerfile that can be read: this one, or one that says no more than the name.
fn known_towerfile(name: &str, text: &str) -> Result<(String, Towerfile)> {
    if let Ok(towerfile) = Towerfile::parse(text)
        && towerfile.action().is_ok()
    {
        return Ok((text.to_owned(), towerfile));
    }
    let text = format!("[app]\nname = \"{name}\"\nscript = \"main.sh\"\n");
    let towerfile = Towerfile::parse(&text)?;
    Ok((text, towerfile))
}
