//! Deploys: a new version of an app, or an earlier one with the same content.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use futures::StreamExt;
use tinpot_core::access::AuditWho;
use tinpot_core::access::records::Change;
use tinpot_core::observer::{DeployEnd, Measure};
use tinpot_core::{Action, Error, ErrorKind, Result, Timestamp};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::active::team_of_action;
use super::documents::{APP, VERSION, app_id, version_id, write};
use super::{App, Apps, MAX_VERSIONS, Step, Version, invalid, new_app};
use crate::archive::{Inspection, inspect};
use crate::blob::{Body, ByteRange, PutOptions, body};
use crate::digest::Digest;
use crate::failpoint::failpoint;
use crate::manifest::{MAX_MANIFEST_BYTES, Manifest};
use crate::towerfile::{Runtime, Towerfile};

/// The pieces of an archive that may wait to be inflated. With the pieces of a blob store of this
/// crate, they stay below 1 MiB.
const WAITING: usize = 4;

/// A bundle that is to become a version.
///
/// [`Apps`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deploy {
    /// The identity of its files.
    pub content: Digest,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// The digest of its archive, if the caller names it: then the first answer names all that is
    /// missing.
    pub artifact: Option<Digest>,
    /// The options: by default, the version becomes the active one.
    pub options: DeployOptions,
}

/// The options of a deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeployOptions {
    /// If true, the version becomes the active one. The default is true.
    pub activate: bool,
    /// If true, an app that does not exist is created with its first version. The default is false.
    pub create: bool,
}

impl Default for DeployOptions {
    fn default() -> Self {
        Self { activate: true, create: false }
    }
}

impl DeployOptions {
    /// Sets whether the version becomes the active one.
    #[must_use]
    pub fn activate(mut self, yes: bool) -> Self {
        self.activate = yes;
        self
    }

    /// Sets whether an app that does not exist is created.
    #[must_use]
    pub fn create(mut self, yes: bool) -> Self {
        self.create = yes;
        self
    }
}

impl Deploy {
    /// Creates the deploy of the bundle with this manifest.
    ///
    /// # Errors
    /// `Malformed` if a part of the manifest is not JSON, which no Towerfile causes.
    pub fn new(manifest: &Manifest) -> Result<Self> {
        let digest = manifest.digest()?;
        Ok(Self::of(manifest.content, digest).artifact(manifest.artifact.digest))
    }

    /// Creates the deploy of the bundle with this content and this digest of the manifest.
    pub fn of(content: Digest, manifest: Digest) -> Self {
        Self { content, manifest, artifact: None, options: DeployOptions::default() }
    }

    /// Names the archive.
    #[must_use]
    pub fn artifact(mut self, digest: Digest) -> Self {
        self.artifact = Some(digest);
        self
    }

    /// Sets the options.
    #[must_use]
    pub fn options(mut self, options: DeployOptions) -> Self {
        self.options = options;
        self
    }
}

/// The outcome of a deploy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deployment {
    /// A version with this content is there already, and active unless the deploy asked otherwise.
    Unchanged(Version),
    /// An earlier version with this content is active now.
    Activated(Version),
    /// A new version.
    Created(Version),
    /// Nothing, because the team has not uploaded these blobs.
    Missing(Vec<Digest>),
}

/// A bundle that was checked.
struct Checked {
    towerfile: Digest,
    /// The description in the Towerfile.
    description: String,
    /// The digest of the manifest.
    bundle: Digest,
    manifest: Manifest,
}

impl Checked {
    /// Returns the bundle as the next version of an app, and what the audit says of it.
    fn version(&self, by: &AuditWho, app: &mut App) -> Result<(Version, String)> {
        let number = app.versions.checked_add(1).ok_or_else(|| invalid("too many versions"))?;
        app.versions = number;
        let version = Version {
            team: app.team.clone(),
            app: app.name.clone(),
            number,
            bundle: self.bundle,
            artifact: self.manifest.artifact,
            content: self.manifest.content,
            towerfile: self.towerfile,
            runtime: self.manifest.runtime,
            created_at: Timestamp::now(),
            created_by: by.name.clone(),
            pruned_at: None,
        };
        Ok((version, format!("version {number}, bundle {}", self.bundle.short())))
    }
}

impl Version {
    /// Returns the id of the record.
    fn id(&self) -> String {
        version_id(&self.team, &self.app, self.number)
    }
}

impl Apps {
    /// Deploys a bundle to an app, if its blobs are there.
    ///
    /// Checks the archive by the rules of unpacking, and that it is the one of the manifest. Before
    /// anything changes, `may` decides about the action that the app is then.
    ///
    /// # Errors
    /// `NotFound` if there is no such app; `InvalidInput` if the bundle breaks a rule; that of `may`;
    /// those of the stores and the audit.
    pub async fn deploy(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        deploy: &Deploy,
        may: &(dyn Fn(&Action) -> Result<()> + Sync),
    ) -> Result<Deployment> {
        self.measured(self.deploy_once(by, team, name, deploy, may).await)
    }

    /// Measures the end of a deploy. One that lacks blobs has not ended.
    fn measured(&self, deployed: Result<Deployment>) -> Result<Deployment> {
        let end = match &deployed {
            Ok(Deployment::Created(_)) => DeployEnd::Created,
            Ok(Deployment::Activated(_)) => DeployEnd::Activated,
            Ok(Deployment::Unchanged(_)) => DeployEnd::Unchanged,
            Ok(Deployment::Missing(_)) => return deployed,
            Err(error) => end_of(error),
        };
        self.measure_end(end);
        deployed
    }

    fn measure_end(&self, end: DeployEnd) {
        if let Some(observer) = &self.observer {
            observer.observe(&Measure::Deployed(end));
        }
    }

    async fn deploy_once(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        deploy: &Deploy,
        may: &(dyn Fn(&Action) -> Result<()> + Sync),
    ) -> Result<Deployment> {
        let (content, options) = (&deploy.content, deploy.options);
        if let Some(known) = self.deploy_known(by, team, name, content, options, may).await? {
            return Ok(known);
        }
        let missing = self.missing(team, deploy).await?;
        if !missing.is_empty() {
            return Ok(Deployment::Missing(missing));
        }
        let manifest = self.read_blob(&deploy.manifest, MAX_MANIFEST_BYTES).await?;
        let manifest = Manifest::parse(&manifest).map_err(|error| match error.kind() {
            // The team's fault, and no damage of the store.
            ErrorKind::Malformed => invalid(error.message()),
            _ => error,
        })?;
        if manifest.content != deploy.content {
            let (got, stated) = (deploy.content, manifest.content);
            return Err(invalid(format!(
                "content must be that of the manifest, {stated} (got {got})"
            )));
        }
        if self.blob_info(team, &manifest.artifact.digest).await?.is_none() {
            return Ok(Deployment::Missing(vec![manifest.artifact.digest]));
        }
        let checked = self.check(team, name, manifest, may).await?;
        failpoint("apps.checked");
        let Some(version) = self.add(by, team, name, &checked, options.create).await? else {
            // They had not been deployed for long, and were deleted just now.
            let artifact = checked.manifest.artifact.digest;
            return Ok(Deployment::Missing(vec![deploy.manifest, artifact]));
        };
        // If this fails, the version is there, and the next deploy of its content activates it.
        if options.activate {
            self.activate(by, team, name, version.number).await?;
        }
        Ok(Deployment::Created(version))
    }

    /// Deploys an archive that the team has uploaded, as [`deploy`](Self::deploy) does, for clients
    /// that do not describe it themselves. With `content`, the archive is needed only if no version
    /// has that content.
    ///
    /// # Errors
    /// As [`deploy`](Self::deploy).
    #[expect(clippy::too_many_arguments, reason = "those of `deploy`, without its description")]
    pub async fn deploy_archive(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        archive: &Digest,
        content: Option<&Digest>,
        options: DeployOptions,
        may: &(dyn Fn(&Action) -> Result<()> + Sync),
    ) -> Result<Deployment> {
        let deployed = self.deploy_archive_once(by, team, name, archive, content, options, may);
        self.measured(deployed.await)
    }

    #[expect(clippy::too_many_arguments, reason = "those of `deploy_archive`")]
    async fn deploy_archive_once(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        archive: &Digest,
        content: Option<&Digest>,
        options: DeployOptions,
        may: &(dyn Fn(&Action) -> Result<()> + Sync),
    ) -> Result<Deployment> {
        if let Some(content) = content
            && let Some(known) = self.deploy_known(by, team, name, content, options, may).await?
        {
            return Ok(known);
        }
        if self.blob_info(team, archive).await?.is_none() {
            return Ok(Deployment::Missing(vec![*archive]));
        }
        let (towerfile, manifest) = self.inspect(archive).await?.manifest()?;
        if let Some(stated) = content.filter(|stated| **stated != manifest.content) {
            let found = manifest.content;
            return Err(invalid(format!(
                "content must be that of the files in the archive, {found} (got {stated})"
            )));
        }
        // An import runs code on a worker: not for a version that is there.
        let found = &manifest.content;
        if content.is_none()
            && let Some(known) = self.deploy_known(by, team, name, found, options, may).await?
        {
            return Ok(known);
        }
        let manifest = self.imported(by, team, name, &towerfile, manifest, may).await?;
        self.put_blob(team, body(manifest.to_bytes()?), PutOptions::default()).await?;
        let deploy = Deploy::new(&manifest)?.options(options);
        self.deploy_once(by, team, name, &deploy, may).await
    }

    /// Deploys the version that has this content already; `None` if there is none.
    async fn deploy_known(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        content: &Digest,
        options: DeployOptions,
        may: &(dyn Fn(&Action) -> Result<()> + Sync),
    ) -> Result<Option<Deployment>> {
        let found = match self.with_content(team, name, content).await {
            Err(error) if error.kind() == ErrorKind::NotFound && options.create => None,
            found => found?,
        };
        let Some(found) = found else { return Ok(None) };
        self.actions(&found).await?.iter().try_for_each(may)?;
        let app = self.app(team, name).await?;
        if app.active == Some(found.number) || !options.activate {
            // An earlier deploy may have failed at the coordinator.
            self.confirm(&app).await?;
            return Ok(Some(Deployment::Unchanged(found)));
        }
        self.activate(by, team, name, found.number).await?;
        Ok(Some(Deployment::Activated(found)))
    }

    /// Returns the version with this content: the active one, or the newest.
    async fn with_content(
        &self,
        team: &str,
        name: &str,
        content: &Digest,
    ) -> Result<Option<Version>> {
        let app = self.app(team, name).await?;
        if let Some(active) = app.active {
            let active = self.version(team, name, active).await?;
            // The active one is never pruned.
            if active.content == *content {
                return Ok(Some(active));
            }
        }
        let mut before = None;
        loop {
            let page = self.versions(team, name, before, MAX_VERSIONS).await?;
            let Some(oldest) = page.last() else { return Ok(None) };
            before = Some(oldest.number);
            let is_it =
                |version: &Version| version.content == *content && version.pruned_at.is_none();
            if let Some(found) = page.into_iter().find(is_it) {
                return Ok(Some(found));
            }
        }
    }

    async fn missing(&self, team: &str, deploy: &Deploy) -> Result<Vec<Digest>> {
        let mut missing = Vec::new();
        for digest in [Some(deploy.manifest), deploy.artifact].into_iter().flatten() {
            if self.blob_info(team, &digest).await?.is_none() {
                missing.push(digest);
            }
        }
        Ok(missing)
    }

    /// Checks an archive against its manifest, and stores the text of its Towerfile.
    async fn check(
        &self,
        team: &str,
        name: &str,
        manifest: Manifest,
        may: &(dyn Fn(&Action) -> Result<()> + Sync),
    ) -> Result<Checked> {
        let inspection = self.inspect(&manifest.artifact.digest).await?;
        let (towerfile, mut found) = inspection.manifest()?;
        // The server never runs Python: it takes what the import of the caller has found.
        found.actions.clone_from(&manifest.actions);
        if found != manifest {
            let message = "manifest: must describe the archive as this server does: pack the \
                           folder with the same version of tinpot";
            return Err(invalid(message));
        }
        check_name(&towerfile, name)?;
        let actions = manifest.app_actions(&towerfile)?;
        actions.iter().try_for_each(may)?;
        self.check_names(team, name, &actions).await?;
        let description = towerfile.tinpot.description.unwrap_or_default();
        let text = inspection.towerfile.unwrap_or_default();
        let towerfile = self.blobs.put(body(text), PutOptions::default()).await?.digest;
        Ok(Checked { towerfile, description, bundle: manifest.digest()?, manifest })
    }

    /// Makes an archive that the team has uploaded a new version of an app, which becomes the active
    /// one. There may be a version with the same content, and the Towerfile may have another name.
    ///
    /// # Errors
    /// `NotFound` if there is no such app or blob; `InvalidInput` if the bundle breaks a rule; that
    /// of `may`, which decides about the action that the app is then; those of the stores and the
    /// audit.
    pub async fn upload(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        inspection: Inspection,
        may: &(dyn Fn(&Action) -> Result<()> + Sync),
    ) -> Result<Version> {
        let uploaded = self.upload_once(by, team, name, inspection, may).await;
        let created = |_: &Version| DeployEnd::Created;
        self.measure_end(uploaded.as_ref().map_or_else(end_of, created));
        uploaded
    }

    async fn upload_once(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        inspection: Inspection,
        may: &(dyn Fn(&Action) -> Result<()> + Sync),
    ) -> Result<Version> {
        let (towerfile, manifest) = inspection.manifest()?;
        // An archive alone has no actions that an import has found, which the error says.
        let actions = manifest.app_actions(&towerfile)?;
        for action in actions {
            may(&of_app(action, team, name))?;
        }
        if self.blob_info(team, &manifest.artifact.digest).await?.is_none() {
            return Err(gone(&manifest.artifact.digest));
        }
        let text = inspection.towerfile.unwrap_or_default();
        let towerfile = self.blobs.put(body(text), PutOptions::default()).await?.digest;
        let bundle = self.put_blob(team, body(manifest.to_bytes()?), PutOptions::default());
        let bundle = bundle.await?.digest;
        let checked = Checked { towerfile, description: String::new(), bundle, manifest };
        let Some(version) = self.add(by, team, name, &checked, false).await? else {
            return Err(gone(&checked.manifest.artifact.digest));
        };
        // Of two uploads at one time, the one with the larger number stays active.
        let is_due = |active: Option<u32>| active.is_none_or(|active| active < version.number);
        self.make_active(by, team, name, version.number, is_due).await?;
        Ok(version)
    }

    /// Checks that no other app of the team has one of these actions.
    pub(super) async fn check_names(
        &self,
        team: &str,
        name: &str,
        actions: &[Action],
    ) -> Result<()> {
        for other in self.list(team).await? {
            if *other.name == *name || other.versions == 0 {
                continue;
            }
            let taken = actions.iter().find(|action| other.has_action(&action.name));
            if let Some(Action { name: action, .. }) = taken {
                let message = format!(
                    "action {action:?} belongs to app {:?}: rename one of them",
                    &*other.name
                );
                return Err(Error::new(ErrorKind::Conflict, message));
            }
        }
        Ok(())
    }

    /// Reads an archive by the rules of unpacking.
    ///
    /// # Errors
    /// `InvalidInput` if it breaks a rule; `NotFound` if there is no such blob; those of the blobs.
    pub async fn inspect(&self, artifact: &Digest) -> Result<Inspection> {
        let limits = self.limits.clone();
        self.read_archive(artifact, move |reader| inspect(reader, &limits)).await
    }

    /// Reads an archive on a thread that may block.
    pub(super) async fn read_archive<T: Send + 'static>(
        &self,
        artifact: &Digest,
        read: impl FnOnce(Pieces) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let closed = |_| Error::new(ErrorKind::Closed, "the apps are closed");
        let _check = self.checks.acquire().await.map_err(closed)?;
        let mut archive = self.open_blob(artifact).await?;
        let (sender, pieces) = mpsc::channel(WAITING);
        let reading = spawn_blocking(move || read(Pieces { pieces, piece: Bytes::new() }));
        while let Some(piece) = archive.next().await {
            // The reader has an answer, and needs no more.
            if sender.send(piece).await.is_err() {
                break;
            }
        }
        drop(sender);
        reading.await.map_err(|error| {
            Error::new(ErrorKind::Closed, "the reading of an archive was interrupted")
                .with_source(error)
        })?
    }

    async fn open_blob(&self, digest: &Digest) -> Result<Body> {
        match self.blobs.get(digest, ByteRange::ALL).await? {
            Some(blob) => Ok(blob.body),
            None => Err(gone(digest)),
        }
    }

    pub(super) async fn read_blob(&self, digest: &Digest, max_bytes: usize) -> Result<Bytes> {
        match self.blobs.get(digest, ByteRange::ALL).await? {
            Some(blob) => blob.read(max_bytes).await,
            None => Err(gone(digest)),
        }
    }

    /// Adds a version, which is not active. Returns `None` if its blobs are not there any more.
    async fn add(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        checked: &Checked,
        create: bool,
    ) -> Result<Option<Version>> {
        let _changing = self.changing.lock().await;
        for digest in [&checked.bundle, &checked.manifest.artifact.digest, &checked.towerfile] {
            if self.blobs.info(digest).await?.is_none() {
                return Ok(None);
            }
        }
        if create
            && self.records.get(APP, &app_id(team, name)).await?.is_none()
            && let Some(first) = self.add_first(by, team, name, checked).await?
        {
            return Ok(Some(first));
        }
        let mut added = None;
        let app = self.update_alone(by, team, name, |app| {
            let (version, detail) = checked.version(by, app)?;
            let more = Change::create(VERSION, version.id(), write(&version)?);
            added = Some(version);
            Ok(Some(Step { what: "app.upload", detail, more: Some(more), announced: false }))
        });
        app.await?;
        Ok(added)
    }

    /// Creates an app with its first version, in one change: what is interrupted leaves no app
    /// without versions. Returns `None` if another process has created the app meanwhile.
    async fn add_first(
        &self,
        by: &AuditWho,
        team: &str,
        name: &str,
        checked: &Checked,
    ) -> Result<Option<Version>> {
        let mut app = new_app(by, team, name, &checked.description)?;
        let (version, detail) = checked.version(by, &mut app)?;
        self.record(by, "app.create", &app, String::new()).await?;
        self.record(by, "app.upload", &app, detail).await?;
        failpoint("apps.audited");
        let changes = [
            Change::create(APP, app_id(team, name), write(&app)?),
            Change::create(VERSION, version.id(), write(&version)?),
        ];
        match self.records.change(&changes).await {
            Ok(_) => {
                failpoint("apps.recorded");
                Ok(Some(version))
            }
            Err(error) if error.kind() == ErrorKind::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the action that an app is with this version.
    ///
    /// # Errors
    /// `NotFound` if its blobs are gone; `InvalidInput` if its Towerfile breaks a rule of today;
    /// those of the blobs.
    pub async fn action(&self, version: &Version) -> Result<Action> {
        let action = self.towerfile(version).await?.action()?;
        Ok(of_app(action, &version.team, &version.app))
    }

    /// Returns the actions that an app is with this version: several for a folder of Python actions.
    ///
    /// # Errors
    /// As [`action`](Self::action).
    pub async fn actions(&self, version: &Version) -> Result<Vec<Action>> {
        if version.runtime != Runtime::Python {
            return Ok(vec![self.action(version).await?]);
        }
        let towerfile = self.towerfile(version).await?;
        let mut actions = self.manifest(version).await?.app_actions(&towerfile)?;
        for action in &mut actions {
            action.team = team_of_action(&version.team).to_owned();
        }
        Ok(actions)
    }

    /// Returns the Towerfile of a version.
    ///
    /// # Errors
    /// As [`action`](Self::action).
    pub async fn towerfile(&self, version: &Version) -> Result<Towerfile> {
        Towerfile::parse(&self.towerfile_text(version).await?)
    }
}

/// Returns the action of a Towerfile, which may name another app, as that of this app.
fn of_app(mut action: Action, team: &str, name: &str) -> Action {
    action.name = name.into();
    action.team = team_of_action(team).to_owned();
    action
}

/// Checks that the Towerfile is one of this app.
pub(super) fn check_name(towerfile: &Towerfile, name: &str) -> Result<()> {
    if towerfile.name == name {
        return Ok(());
    }
    let other = &towerfile.name;
    Err(invalid(format!(
        "Towerfile: app.name must be {name:?}, the app that it is deployed to (got {other:?})"
    )))
}

/// Returns the end of a deploy with this error.
fn end_of(error: &Error) -> DeployEnd {
    match error.kind() {
        ErrorKind::InvalidInput
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::Forbidden => DeployEnd::Refused,
        _ => DeployEnd::Failed,
    }
}

fn gone(digest: &Digest) -> Error {
    Error::new(ErrorKind::NotFound, format!("the blob {digest} is not there any more"))
}

/// The content of a blob, for a thread that may block.
pub(super) struct Pieces {
    pieces: mpsc::Receiver<Result<Bytes>>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.piece = piece.map_err(io::Error::other)?,
            }
        }
        let taken = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..taken]);
        Ok(taken)
    }
}
