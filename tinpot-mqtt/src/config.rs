//! The settings of a transport.

use std::fmt;
use std::time::Duration;

use futures::future::BoxFuture;
use tinpot_core::{Result, WorkerId};

use crate::address::BrokerAddress;
use crate::connection::ConnectionConfig;
use crate::error::MqttError;
use crate::tls::{self, ClientIdentity};
use crate::topics::check_namespace;
use crate::transport::MqttTransport;

const KEEP_ALIVE: Duration = Duration::from_secs(10);
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(5);
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(u16::MAX as u64);

const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// The size that the contract of a transport asks for.
const SMALLEST_MAX_FRAME_BYTES: usize = 4 * 1024 * 1024;
/// The bytes that large frames may take while they wait.
const LARGEST_MAX_FRAME_BYTES: usize = 64 * 1024 * 1024;

/// Sets up an [`MqttTransport`]; made by [`MqttTransport::builder`].
///
/// ```no_run
/// use tinpot_core::Coordinator;
/// use tinpot_mqtt::MqttTransport;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let transport = MqttTransport::builder("mqtts://broker.example")
///     .namespace("factory/line-3")
///     .ca_certificate(std::fs::read("ca.pem")?)
///     .user("coordinator")
///     .password(std::env::var("BROKER_PASSWORD")?)
///     .connect()
///     .await?;
/// let coordinator = Coordinator::builder(transport).start().await?;
/// # coordinator.shutdown().await;
/// # Ok(())
/// # }
/// ```
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

    /// Sets the first part of every topic; `tinpot` by default. Up to 200 of `A-Z a-z 0-9 . _ -`,
    /// in levels separated by `/`.
    ///
    /// Participants of one namespace see each other and those of no other.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets the worker that uses this transport. Its frames to the coordinator go to a topic of its
    /// own, which a broker can check. Without a worker, as for the coordinator, the transport
    /// generates an id.
    pub fn worker(mut self, id: &WorkerId) -> Self {
        self.worker = Some(id.clone());
        self
    }

    /// Sets the user name for the broker; overrides the one in the URL.
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the password for the broker; overrides the one in the URL.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the trusted CA certificates, in PEM, instead of those of the system.
    pub fn ca_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// Sets a certificate chain and its private key, both in PEM, by which the broker identifies
    /// this client.
    pub fn client_certificate(
        mut self,
        chain_pem: impl Into<Vec<u8>>,
        key_pem: impl Into<Vec<u8>>,
    ) -> Self {
        self.identity = Some(ClientIdentity { chain: chain_pem.into(), key: key_pem.into() });
        self
    }

    /// Sets the interval at which an idle connection is checked; 10 s by default, at least 5 s, in
    /// whole seconds. A half-open connection shows after twice that, at most.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.keep_alive = interval;
        self
    }

    /// Sets the size of the largest frame, in bytes; 16 MiB by default, from 4 MiB to 64 MiB. The
    /// broker may allow less.
    pub fn max_frame_bytes(mut self, bytes: usize) -> Self {
        self.max_frame_bytes = bytes;
        self
    }

    /// Starts to connect, and waits until the link is up or the first attempt has failed, for at
    /// most 6 s.
    ///
    /// An unreachable broker is no error: the transport goes on trying, and its
    /// [`status`](tinpot_core::Transport::status) says why it is down. Must be called within a
    /// Tokio runtime with I/O and time enabled.
    ///
    /// # Errors
    /// `InvalidInput` for a URL, certificate or option that can never work.
    // A future of a function that is not inlined is compiled here, and not again in each program.
    #[inline(never)]
    pub fn connect(self) -> BoxFuture<'static, Result<MqttTransport>> {
        Box::pin(async {
            let (connection, namespace, sender) = self.check()?;
            Ok(MqttTransport::start(connection, &namespace, &sender).await)
        })
    }

    pub(crate) fn check(self) -> Result<(ConnectionConfig, String, WorkerId), MqttError> {
        let mut address = BrokerAddress::parse(&self.url)?;
        if self.user.is_some() {
            address.user = self.user;
        }
        if self.password.is_some() {
            address.password = self.password;
        }
        if address.password.is_some() && address.user.is_none() {
            return Err(MqttError::Option(
                "a password needs a user: set one in the URL or by `user`".to_owned(),
            ));
        }
        check_namespace(&self.namespace)?;
        let keep_alive = self.keep_alive;
        if !(SHORTEST_KEEP_ALIVE..=LONGEST_KEEP_ALIVE).contains(&keep_alive) {
            return Err(MqttError::Option(format!(
                "keep_alive must be from {SHORTEST_KEEP_ALIVE:?} to {LONGEST_KEEP_ALIVE:?} (got {keep_alive:?})"
            )));
        }
        let max_frame_bytes = self.max_frame_bytes;
        if !(SMALLEST_MAX_FRAME_BYTES..=LARGEST_MAX_FRAME_BYTES).contains(&max_frame_bytes) {
            return Err(MqttError::Option(format!(
                "max_frame_bytes must be from {SMALLEST_MAX_FRAME_BYTES} to {LARGEST_MAX_FRAME_BYTES} (got {max_frame_bytes})"
            )));
        }
        let tls = if address.scheme.is_encrypted() {
            Some(tls::client_config(self.ca.as_deref(), self.identity.as_ref())?)
        } else if self.ca.is_some() || self.identity.is_some() {
            return Err(MqttError::Option(
                "a certificate needs an encrypted connection; use mqtts:// or wss://".to_owned(),
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
