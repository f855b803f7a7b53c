//! What can be set before connecting.

use std::fmt;
use std::time::Duration;

use tinpot_core::{Result, WorkerId};

use crate::address::BrokerAddress;
use crate::connection::ConnectionConfig;
use crate::error::Problem;
use crate::tls::{self, ClientIdentity};
use crate::topics::check_namespace;
use crate::transport::MqttTransport;

const KEEP_ALIVE: Duration = Duration::from_secs(10);
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(5);
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(u16::MAX as u64);

const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// What the contract of a transport asks for.
const SMALLEST_MAX_FRAME_BYTES: usize = 4 * 1024 * 1024;
/// As many bytes as large frames may take while they wait.
const LARGEST_MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;

/// Sets up an [`MqttTransport`]; made by [`MqttTransport::builder`].
#[derive(Clone)]
#[must_use = "nothing happens before `connect`"]
pub struct MqttTransportBuilder {
    url: String,
    namespace: String,
    worker: Option<WorkerId>,
    user: Option<String>,
    password: Option<String>,
    ca: Option<Vec<u8>>,
    identity: Option<ClientIdentity>,
    keep_alive: Duration,
    max_frame_bytes: usize,
}

impl fmt::Debug for MqttTransportBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password, so only what was understood of it is shown.
        f.debug_struct("MqttTransportBuilder")
            .field("broker", &BrokerAddress::parse(&self.url).ok())
            .field("namespace", &self.namespace)
            .field("worker", &self.worker)
            .field("user", &self.user)
            .field("has_password", &self.password.is_some())
            .field("has_ca_certificate", &self.ca.is_some())
            .field("has_client_certificate", &self.identity.is_some())
            .field("keep_alive", &self.keep_alive)
            .field("max_frame_bytes", &self.max_frame_bytes)
            .finish()
    }
}

impl MqttTransportBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            namespace: "tinpot".to_owned(),
            worker: None,
            user: None,
            password: None,
            ca: None,
            identity: None,
            keep_alive: KEEP_ALIVE,
            max_frame_bytes: MAX_FRAME_BYTES,
        }
    }

    /// What every topic begins with, `tinpot` by default: up to 200 of `A-Z a-z 0-9 . _ -` in levels parted by `/`.
    ///
    /// Coordinator and workers of one namespace find each other; those of another are not seen.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Who writes through this transport, for a worker: frames to the coordinator go to a topic of this worker's own, which a broker can
    /// check. A transport without it, such as the coordinator's, makes up a name.
    pub fn worker(mut self, id: &WorkerId) -> Self {
        self.worker = Some(id.clone());
        self
    }

    /// The user name for the broker; wins over one in the URL.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The password for the broker; wins over one in the URL.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Certificates, in PEM, one of which has to have signed the broker's; instead of those that the system trusts.
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// A certificate chain and its private key, both in PEM, that tell the broker who this is.
    pub fn client_certificate(
        mut self,
        chain_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<Vec<u8>>,
    ) -> Self {
        self.identity = Some(ClientIdentity { chain: chain_pem.into(), key: key_pem.into() });
        self
    }

    /// How often an idle connection is checked, 10 s by default, at least 5 s, in whole seconds. A broker that is gone without a word shows
    /// after twice that.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval;
        self
    }

    /// The largest frame that is sent or taken, 16 MiB by default, from 4 to 64 MiB. The broker may allow less.
    pub fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.max_frame_bytes = bytes;
        self
    }

    /// Starts connecting, and waits until the link is up or the first try has failed, for at most 6 s.
    ///
    /// A broker that is not there is no error: the transport goes on trying, and its [`status`](tinpot_core::Transport::status) says why it
    /// is down. Needs a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// `InvalidInput` for a URL, a certificate or an option that can never work; the message says which, and what would.
    pub async fn connect(self) -> Result<MqttTransport> {
        let (connection, namespace, sender) = self.check()?;
        Ok(MqttTransport::start(connection, &namespace, &sender).await)
    }

    fn check(self) -> Result<(ConnectionConfig, String, WorkerId), Problem> {
        let mut address = BrokerAddress::parse(&self.url)?;
        if self.user.is_some() {
            address.user = self.user;
        }
        if self.password.is_some() {
            address.password = self.password;
        }
        if address.password.is_some() && address.user.is_none() {
            return Err(Problem::Option("there is a password but no user".to_owned()));
        }
        check_namespace(&self.namespace)?;
        let keep_alive = self.keep_alive;
        if !(SHORTEST_KEEP_ALIVE..=LONGEST_KEEP_ALIVE).contains(&keep_alive) {
            return Err(Problem::Option(format!(
                "a keep-alive of {keep_alive:?} is not possible; it is from {SHORTEST_KEEP_ALIVE:?} to {LONGEST_KEEP_ALIVE:?}"
            )));
        }
        let max_frame_bytes = self.max_frame_bytes;
        if !(SMALLEST_MAX_FRAME_BYTES..=LARGEST_MAX_FRAME_BYTES).contains(&max_frame_bytes) {
            return Err(Problem::Option(format!(
                "frames of up to {max_frame_bytes} bytes are not possible; the limit is from {SMALLEST_MAX_FRAME_BYTES} to {LARGEST_MAX_FRAME_BYTES}"
            )));
        }
        let tls = if address.scheme.is_encrypted() {
            Some(tls::client_config(self.ca.as_deref(), self.identity.as_ref())?)
        } else if self.ca.is_some() || self.identity.is_some() {
            return Err(Problem::Option(
                "there is a certificate, but the URL asks for a connection without encryption; use mqtts:// or wss://"
                    .to_owned(),
            ));
        } else {
            None
        };
        let client_name = self.worker.as_ref().map_or("tinpot", WorkerId::as_str).to_owned();
        let sender = self.worker.unwrap_or_else(|| WorkerId::generate("unnamed"));
        let connection =
            ConnectionConfig { address, client_name, tls, keep_alive, max_frame_bytes };
        Ok((connection, self.namespace, sender))
    }
}
