//! The keys of a worker and of its namespace, as they change while the worker runs.
//!
//! A new key of the worker is in a file of its own before the coordinator hears of it. Once a session
//! has it, worker.toml names it, and then its file takes the place of the former one. Whenever the
//! worker ends on the way, the next start has a key that the coordinator knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tinpot_access::{IdentityKey, RingSuite};
use tinpot_core::seal::{KeyState, PublicKey};
use tinpot_core::{ErrorKind, Result, Worker};
use tokio::time::{Instant, interval_at};

use super::{Facts, Identity, failed, id_of, read, write_private};

/// The interval at which the age of the key is compared.
const LOOK: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Returns the file of the key that is to replace the one in another file.
pub(super) fn next(path: &Path) -> PathBuf {
    path.with_extension("key.next")
}

/// Puts the next key in the place of the former one.
pub(super) fn finish(path: &Path) -> Result<()> {
    let next = next(path);
    fs::rename(&next, path).map_err(|error| failed("rename", &next, &error))?;
    // So that the change survives a power failure. If this fails, the next start does it again.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let _ = fs::File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Returns the key that is to replace the one with this id: that of the file if another process of the
/// worker has replaced it, one that this worker has begun with, or a new one.
fn successor(path: &Path, own: &str) -> Result<IdentityKey> {
    let present = IdentityKey::load(path)?;
    if id_of(&present).to_string() != own {
        return Ok(present);
    }
    let next = next(path);
    match IdentityKey::load(&next) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        loaded => return loaded,
    }
    let key = IdentityKey::generate()?;
    match key.create(&next) {
        // Another process of the worker was faster.
        Err(error) if error.kind() == ErrorKind::Conflict => IdentityKey::load(&next),
        created => created.map(|()| key),
    }
}

/// Writes that the worker has another key, and puts it in the place of the former one.
fn keep(path: &Path, facts: &Facts) -> Result<()> {
    let place = path.with_extension("toml");
    let stored = read(&place).ok().and_then(|text| toml::from_str::<Facts>(&text).ok());
    // Another process may have finished it, or the operator may have joined again.
    let is_next = |key: &IdentityKey| id_of(key).to_string() == facts.key;
    if stored.is_some_and(|stored| stored.key == facts.key) && !next(path).exists() {
        return Ok(());
    }
    if IdentityKey::load(&next(path)).is_ok_and(|key| is_next(&key)) {
        write_private(&place, &facts.to_toml())?;
        finish(path)?;
    }
    Ok(())
}

/// Returns true if the key in a file is older than this.
fn is_older(path: &Path, age: Duration) -> bool {
    let modified = fs::metadata(path).and_then(|file| file.modified());
    modified.is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|is| is >= age))
}

impl Identity {
    /// Keeps the keys of the worker and of its namespace while the worker runs: replaces its own one
    /// after this number of days, or when the coordinator asks for it.
    pub(crate) async fn keep_keys(mut self, worker: &Worker, path: Option<PathBuf>, days: u32) {
        let (mut namespace, Some(mut key)) = (worker.coordinator_keys(), worker.key()) else {
            return;
        };
        let mut looks = interval_at(Instant::now(), LOOK);
        let mut asked: Option<String> = None;
        if path.as_deref().is_some_and(|path| next(path).exists()) {
            self.replace(worker, path.as_deref()).await;
            asked = Some(self.facts.key.clone());
        }
        loop {
            let is_due = tokio::select! {
                keys = namespace.next() => {
                    let Some(keys) = keys else { return };
                    self.keep_namespace(&keys).await;
                    false
                }
                state = key.next() => {
                    let Some(state) = state else { return };
                    self.keep_own(&state, path.as_deref()).await;
                    state.is_to_rotate
                }
                _ = looks.tick() => {
                    let age = DAY * days;
                    days > 0 && path.as_deref().is_some_and(|path| is_older(path, age))
                }
            };
            // Once for each key: what was refused would be refused again.
            if is_due && asked.as_ref() != Some(&self.facts.key) {
                self.replace(worker, path.as_deref()).await;
                asked = Some(self.facts.key.clone());
            }
        }
    }

    /// Has the coordinator enrol another key in place of this one.
    async fn replace(&mut self, worker: &Worker, path: Option<&Path>) {
        let (path, own) = (path.map(Path::to_owned), self.facts.key.clone());
        let made = tokio::task::spawn_blocking(move || match path {
            Some(path) => successor(&path, &own),
            None => IdentityKey::generate(),
        });
        match made.await {
            Ok(Ok(key)) => {
                tracing::info!(key = %id_of(&key), "the key of this worker is being replaced");
                worker.replace_key(RingSuite::new(&key)).await;
            }
            Ok(Err(error)) => {
                tracing::error!("the key of this worker cannot be replaced: {error}");
            }
            // The runtime ends.
            Err(_) => {}
        }
    }

    /// Writes which key the worker uses.
    async fn keep_own(&mut self, state: &KeyState, path: Option<&Path>) {
        if let Some(why) = &state.refused {
            tracing::error!("the key of this worker is not replaced: {why}");
        }
        let used = state.key.to_string();
        if used == self.facts.key {
            return;
        }
        self.facts.key = used;
        let Some(path) = path.map(Path::to_owned) else { return };
        let facts = self.facts.clone();
        match tokio::task::spawn_blocking(move || keep(&path, &facts)).await {
            Ok(Ok(())) => {
                let key = &self.facts.key;
                tracing::info!(key, "this worker has another key");
            }
            Ok(Err(error)) => tracing::error!(
                "the new key of this worker cannot take the place of the former one, which ends in 24 \
                 hours: {error}"
            ),
            Err(_) => {}
        }
    }

    /// Writes the keys of the namespace to `worker.toml` if the coordinator states others.
    async fn keep_namespace(&mut self, keys: &[PublicKey]) {
        let keys: Vec<String> = keys.iter().map(PublicKey::to_string).collect();
        let Some(place) = self.place.clone().filter(|_| keys != self.facts.coordinator_keys) else {
            return;
        };
        self.facts.coordinator_keys = keys;
        let text = self.facts.to_toml();
        let own = self.facts.key.clone();
        let written = tokio::task::spawn_blocking(move || {
            // Another key has taken the place of this one, and counts from the next start on.
            let is_own = |facts: Facts| facts.key == own;
            if !read(&place).is_ok_and(|text| toml::from_str(&text).is_ok_and(is_own)) {
                return Ok(place.display().to_string());
            }
            write_private(&place, &text).map(|()| place.display().to_string())
        });
        match written.await {
            Ok(Ok(file)) => tracing::info!(file, "the coordinator has stated other keys"),
            Ok(Err(error)) => tracing::error!(
                "the keys of the coordinator cannot be kept, and this worker may not follow it after \
                 its next start: {error}"
            ),
            // The runtime ends.
            Err(_) => {}
        }
    }
}
