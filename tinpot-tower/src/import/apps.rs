//! Apps and their versions.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use tinpot_bundle::{Body, Limits, PastApp, PastVersion, PutOptions};
use tinpot_core::{BundleRef, Digest, Error, ErrorKind, Result};

use super::source::{App, Version};
use super::{Import, beginning};
use crate::ids::IdOf;

/// The piece of an archive that is read at one time.
const PIECE_BYTES: usize = 256 * 1024;
/// The longest description of an app, in bytes.
const DESCRIPTION_BYTES: usize = 4 * 1024;
/// Versions that can be missing between two others.
const GAP: i64 = 1_000;

/// An app that was taken.
pub(super) struct KnownApp {
    pub(super) team: Arc<str>,
    pub(super) name: Arc<str>,
    /// The versions, by their id in MiniTower.
    pub(super) versions: HashMap<i64, KnownVersion>,
}

pub(super) struct KnownVersion {
    pub(super) bundle: Arc<BundleRef>,
    pub(super) timeout: Option<Duration>,
}

impl Import<'_> {
    pub(super) async fn apps(&mut self) -> Result<()> {
        for app in self.source.apps()? {
            // The reason is known.
            let Some(team) = self.teams.get(&app.team) else { continue };
            let (team, of) = (team.id.clone(), team.slug.clone());
            self.app(&app, &team, &of).await?;
        }
        Ok(())
    }

    async fn app(&mut self, app: &App, team: &Arc<str>, of: &str) -> Result<()> {
        let shown = format!("app {:?} of team {of:?}", app.slug);
        let versions = self.source.versions(app.id)?;
        let mut past = PastApp::new(&**team, &app.slug, app.created);
        (past.enabled, past.updated_at) = (!app.is_disabled, app.updated);
        let description = app.description.as_deref().unwrap_or_default();
        past.description = beginning(description, DESCRIPTION_BYTES).to_owned();
        // The versions of MiniTower in the places of ours.
        let mut places = Vec::new();
        for version in &versions {
            let next = past.versions.len() as i64 + 1;
            if version.number < next || version.number > next + GAP {
                let number = version.number;
                self.done
                    .note(format!("version {number} of {shown} is not taken: its number is wrong"));
                continue;
            }
            for missing in next..version.number {
                self.done.note(format!("version {missing} of {shown} is missing, and cannot run"));
                past.versions.push(PastVersion::gone(Digest::from([0; 32]), "", version.created));
            }
            let archive = self.archive(team, version, &shown).await?;
            past.versions.push(archive);
            places.push((version, past.versions.len() - 1));
        }
        let restored = match self.target.apps.import(&self.by, past).await {
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Conflict) => {
                let why = error.message();
                self.done.note(format!("{shown} is not taken, and nothing of it: {why}"));
                return Ok(());
            }
            restored => restored?,
        };
        for (number, error) in &restored.refused {
            let why = error.message();
            self.done.note(format!("version {number} of {shown} cannot run: {why}"));
        }
        let latest = restored.versions.last().map(|version| version.number);
        if restored.app.active != latest {
            let active = match restored.app.active {
                Some(active) => format!("version {active} is the active one"),
                None => "it has no active version".to_owned(),
            };
            self.done.note(format!("the latest version of {shown} cannot run: {active}"));
        }
        let known = places.iter().map(|(version, place)| {
            let found = &restored.versions[*place];
            let bundle = BundleRef::new(found.number, found.bundle, found.runtime.as_str());
            let timeout = version.timeout_seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let timeout = timeout.filter(|seconds| *seconds > 0).map(Duration::from_secs);
            (version.id, KnownVersion { bundle: Arc::new(bundle), timeout })
        });
        let known = KnownApp {
            team: team.clone(),
            name: app.slug.as_str().into(),
            versions: known.collect(),
        };
        self.done.apps += 1;
        self.done.versions += restored.versions.len() as u64;
        self.keep_id(IdOf::App, format!("{team}/{}", app.slug), app.id);
        self.apps.insert(app.id, known);
        Ok(())
    }

    /// Stores the archive of a version. One that is missing or another one is noted.
    async fn archive(
        &mut self,
        team: &Arc<str>,
        version: &Version,
        shown: &str,
    ) -> Result<PastVersion> {
        let digest = version.sha256.parse::<Digest>();
        let stored = match (&digest, object(&self.objects, &version.object)) {
            (Err(error), _) => Err(Error::new(ErrorKind::NotFound, error.message().to_owned())),
            (_, Err(error)) => Err(error),
            (Ok(digest), Ok(file)) => {
                let options = PutOptions::default().digest(*digest);
                let options = options.max_bytes(Limits::default().packed_bytes);
                self.target.apps.put_blob(team, content(file), options).await
            }
        };
        let digest = digest.unwrap_or_else(|_| Digest::from([0; 32]));
        match stored {
            Ok(_) => Ok(PastVersion::stored(digest, version.created)),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound | ErrorKind::InvalidInput | ErrorKind::Conflict
                ) =>
            {
                let (number, why) = (version.number, error.message());
                self.done.note(format!("version {number} of {shown} cannot run: {why}"));
                let text = version.towerfile.clone().unwrap_or_else(|| towerfile(version));
                Ok(PastVersion::gone(digest, text, version.created))
            }
            Err(error) => Err(error),
        }
    }
}

/// Returns a Towerfile for a version that is older than their texts.
fn towerfile(version: &Version) -> String {
    // The quotes of JSON are those of TOML, for all that a path may have.
    let script = serde_json::Value::from(version.entrypoint.as_str());
    let mut text = format!("[app]\nname = \"app\"\nscript = {script}\n");
    if let Some(seconds) = version.timeout_seconds.filter(|seconds| *seconds > 0) {
        text.push_str(&format!("[app.timeout]\nseconds = {seconds}\n"));
    }
    text
}

/// Opens an archive. Its key is a claim of the database.
fn object(objects: &Path, key: &str) -> Result<File> {
    let path = PathBuf::from(key);
    if key.is_empty() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
        let message = format!("its object key must be a path below the objects (got {key:?})");
        return Err(Error::new(ErrorKind::NotFound, message));
    }
    let missing = |why: &dyn std::fmt::Display| {
        Error::new(ErrorKind::NotFound, format!("the object {key:?} cannot be read: {why}"))
    };
    let file = File::open(objects.join(path)).map_err(|error| missing(&error))?;
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(_) => Err(missing(&"it is not a file")),
        Err(error) => Err(missing(&error)),
    }
}

/// Returns the content of a file in pieces.
fn content(file: File) -> Body {
    let pieces = std::iter::from_fn({
        let mut file = Some(file);
        move || {
            let mut piece = vec![0; PIECE_BYTES];
            match file.as_mut()?.read(&mut piece) {
                Ok(0) => None,
                Ok(read) => {
                    piece.truncate(read);
                    Some(Ok(Bytes::from(piece)))
                }
                Err(error) => {
                    file = None;
                    let message = format!("its object cannot be read: {error}");
                    Some(Err(Error::new(ErrorKind::NotFound, message)))
                }
            }
        }
    });
    Box::pin(stream::iter(pieces))
}
