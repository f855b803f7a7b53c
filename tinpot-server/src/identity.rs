//! The identity of a worker: its key, and what it learned when it joined.

mod rotation;

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tinpot_access::{IdentityKey, JoinToken, RingSuite};
use tinpot_core::seal::{BrokerLogin, JoinRequest, Joined, KeyId, Pins, PublicKey, Suite, join};
use tinpot_core::{Error, ErrorKind, Result};

use crate::settings::{BrokerSettings, BundleSettings, IdentitySettings, read_password};

/// The longest wait for the answer to a join.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than any file about an identity has.
const FILE_BYTES: u64 = 64 * 1024;
/// The longest URL of a server that is kept.
const URL_BYTES: usize = 2048;
/// The user at the broker of those that join.
pub(crate) const JOINER: &str = "join";

/// A worker that has joined.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    key: IdentityKey,
    pub(crate) facts: Facts,
    /// `worker.toml`; `None` if the identity is in memory.
    place: Option<PathBuf>,
}

/// The contents of `worker.toml`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Facts {
    /// The id of the key.
    key: String,
    pub(crate) name: String,
    pub(crate) namespace: String,
    /// The public keys of the namespace.
    coordinator_keys: Vec<String>,
    pub(crate) broker: String,
    /// The URL of the HTTP server, from which bundles are fetched.
    #[serde(default)]
    pub(crate) server: Option<String>,
    #[serde(default)]
    broker_user: Option<String>,
    #[serde(default)]
    broker_password: Option<String>,
}

impl Identity {
    /// Returns the identity that the settings name; `None` if the worker has none, and its frames are
    /// plain. The worker joins if it has a token and no key.
    ///
    /// # Errors
    /// `InvalidInput` for files that cannot be used, and those of joining.
    pub(crate) async fn of(
        settings: &IdentitySettings,
        name: &str,
        broker: &BrokerSettings,
        bundles: &BundleSettings,
    ) -> Result<Option<Self>> {
        let path = settings.key_path();
        if let Some(path) = &path
            && path.exists()
        {
            return Self::load(path).map(Some);
        }
        let Some(token) = settings.token()? else {
            if let (Some(path), true) = (path, settings.is_named()) {
                let message = format!(
                    "this worker is not enrolled: there is no {}: ask for a join token, then run \
                     \"tinpot worker join --join-token-file FILE\"",
                    path.display()
                );
                return Err(Error::new(ErrorKind::InvalidInput, message));
            }
            return Ok(None);
        };
        Self::join(path.as_deref(), false, &token, name, broker, bundles).await.map(Some)
    }

    /// Joins with a token, and writes the key and `worker.toml` if there is a path. If it `replaces` a
    /// key, those that are there stay in use until the coordinator knows the new one.
    ///
    /// # Errors
    /// `Conflict` if the files exist and are not to be replaced, `Forbidden` with the reason of the coordinator, and those of
    /// the broker.
    pub(crate) async fn join(
        path: Option<&Path>,
        replaces: bool,
        token: &JoinToken,
        name: &str,
        broker: &BrokerSettings,
        bundles: &BundleSettings,
    ) -> Result<Self> {
        // The key is written first: a join whose answer is lost is repeated with the same key, and
        // is no further use of the token.
        let key = match path {
            Some(path) => pending_key(path, replaces)?,
            None => IdentityKey::generate()?,
        };
        let suite: Arc<dyn Suite> = Arc::new(RingSuite::new(&key));
        let request = JoinRequest::new(
            &token.suite(),
            suite,
            token.coordinator(),
            &*broker.namespace,
            name,
            env!("CARGO_PKG_VERSION"),
        )?;
        let joined = ask(request, broker).await;
        let joined = joined.map_err(|error| error.with_context("this worker cannot join"))?;
        let facts = Facts::of(joined, broker, bundles);
        if let Some(path) = path {
            write_private(&path.with_extension("toml"), &facts.to_toml())?;
            fs::rename(pending(path), path).map_err(|e| failed("rename", &pending(path), &e))?;
            // It was to replace a key that is gone.
            let _ = fs::remove_file(rotation::next(path));
        }
        Ok(Self { key, facts, place: path.map(|path| path.with_extension("toml")) })
    }

    /// Loads the identity in these files. If the worker ended while it replaced its key, the new one
    /// takes its place now.
    ///
    /// # Errors
    /// `NotFound` without a key; `InvalidInput` for files that cannot be used.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let key = IdentityKey::load(path)?;
        let place = path.with_extension("toml");
        let text = read(&place).map_err(|error| failed("read", &place, &error))?;
        let facts: Facts = toml::from_str(&text).map_err(|error| {
            let message = format!("{} is damaged: {}", place.display(), error.message());
            Error::new(ErrorKind::InvalidInput, message)
        })?;
        let mut identity = Self { key, facts, place: Some(place.clone()) };
        let own = identity.key_id().to_string();
        if own != identity.facts.key {
            // worker.toml is written first, and says which key is in use.
            match IdentityKey::load(&rotation::next(path)) {
                Ok(next) if id_of(&next).to_string() == identity.facts.key => {
                    rotation::finish(path)?;
                    identity.key = next;
                    return identity.pins().map(|_| identity);
                }
                _ => {}
            }
            let message = format!(
                "{} is about key {}, and {} is key {own}: join again",
                place.display(),
                identity.facts.key,
                path.display()
            );
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        identity.pins().map(|_| identity)
    }

    pub(crate) fn suite(&self) -> RingSuite {
        RingSuite::new(&self.key)
    }

    pub(crate) fn key_id(&self) -> KeyId {
        id_of(&self.key)
    }

    /// Returns the coordinators that the worker believes.
    ///
    /// # Errors
    /// `InvalidInput` if the file does not name any.
    pub(crate) fn pins(&self) -> Result<Pins> {
        let keys = self.facts.coordinator_keys.iter().map(|key| key.parse());
        let keys = keys.collect::<Result<Vec<PublicKey>>>()?;
        if keys.is_empty() {
            let message = "worker.toml names no coordinator_keys: join again";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        Ok(Pins::new(&*self.facts.namespace, keys))
    }

    /// Returns the login at the broker.
    pub(crate) fn login(&self) -> Option<(String, String)> {
        let Facts { broker_user, broker_password, .. } = &self.facts;
        Some((broker_user.clone()?, broker_password.clone()?))
    }
}

impl Facts {
    fn of(joined: Joined, broker: &BrokerSettings, bundles: &BundleSettings) -> Self {
        let is_url = |url: &String| {
            url.len() <= URL_BYTES && url.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let (user, password) =
            joined.broker.map(|BrokerLogin { user, password }| (user, password)).unzip();
        Self {
            key: joined.key.to_string(),
            name: joined.name,
            namespace: broker.namespace.clone(),
            coordinator_keys: joined.coordinator_keys.iter().map(PublicKey::to_string).collect(),
            // A login in the URL is that of those that join. The worker gets its own.
            broker: broker.url_without_password(),
            // A worker that uses HTTP has the URL already.
            server: bundles
                .to_keep()
                .or(joined.server.filter(|_| !broker.is_server()))
                .filter(is_url),
            broker_user: user,
            broker_password: password,
        }
    }

    fn to_toml(&self) -> String {
        // All of these are plain ASCII, for which both languages have the same form.
        let quoted = |text: &str| format!("{text:?}");
        let keys: Vec<_> = self.coordinator_keys.iter().map(|key| quoted(key)).collect();
        let mut text = format!(
            "# Written by \"tinpot worker join\". The worker believes the coordinators of these keys.\n\
             key = {}\nname = {}\nnamespace = {}\ncoordinator_keys = [{}]\nbroker = {}\n",
            quoted(&self.key),
            quoted(&self.name),
            quoted(&self.namespace),
            keys.join(", "),
            quoted(&self.broker),
        );
        if let Some(server) = &self.server {
            let _ = writeln!(text, "server = {}", quoted(server));
        }
        if let (Some(user), Some(password)) = (&self.broker_user, &self.broker_password) {
            let _ = write!(
                text,
                "broker_user = {}\nbroker_password = {}\n",
                quoted(user),
                quoted(password)
            );
        }
        text
    }
}

/// Returns the id of a key.
fn id_of(key: &IdentityKey) -> KeyId {
    let suite = RingSuite::new(key);
    KeyId::of(&suite, &suite.public())
}

/// Sends a request to join: to the coordinator itself, or through the broker.
async fn ask(request: JoinRequest, broker: &BrokerSettings) -> Result<Joined> {
    if broker.is_server() {
        let ca = broker.ca_certificates()?;
        return tinpot_http_transport::join(&broker.url, ca.as_deref(), request, PATIENCE).await;
    }
    let user = Some((JOINER.to_owned(), String::new()));
    let transport = broker.connect(Some(&request.joiner()), user).await?;
    let joined = join(&transport, request, PATIENCE).await;
    transport.close().await;
    joined
}

/// Returns the place of a key that has not joined yet.
fn pending(path: &Path) -> PathBuf {
    path.with_extension("key.joining")
}

/// Returns the key of a join that was interrupted, or a new one in a file.
fn pending_key(path: &Path, replaces: bool) -> Result<IdentityKey> {
    if path.exists() && !replaces {
        let message = format!(
            "{} exists: this worker has joined; to give it another key, join with --replace",
            path.display()
        );
        return Err(Error::new(ErrorKind::Conflict, message));
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| failed("create", folder, &error))?;
    }
    let pending = pending(path);
    match IdentityKey::load(&pending) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        loaded => return loaded,
    }
    let key = IdentityKey::generate()?;
    key.create(&pending)?;
    Ok(key)
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension(format!("toml.{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&draft).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)
    });
    written.map_err(|error| {
        let _ = fs::remove_file(&draft);
        failed("write", path, &error)
    })
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::new(ErrorKind::InvalidInput, format!("cannot {what} {}: {error}", path.display()))
}

impl IdentitySettings {
    /// Reads the join token that the settings name.
    ///
    /// # Errors
    /// `InvalidInput` if the file cannot be read, or has no join token.
    pub(crate) fn token(&self) -> Result<Option<JoinToken>> {
        let Some(file) = self.join_token_file.as_ref().filter(|file| !file.as_os_str().is_empty())
        else {
            return Ok(None);
        };
        let text = read_password(file, "--join-token-file, TINPOT_JOIN_TOKEN_FILE")?;
        let token = JoinToken::parse(text.trim());
        token.map(Some).map_err(|error| error.with_context(file.display().to_string()))
    }
}
