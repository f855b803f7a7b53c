//! The connection to the broker.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tinpot_core::{Error, ErrorKind, Result, Transport, WorkerId};
use tinpot_http_transport::HttpTransport;
use tinpot_mqtt::{MqttTransport, MqttTransportBuilder};
#[cfg(feature = "zmq")]
use tinpot_zmq::ZmqTransport;

/// The connection to the broker. Its `Debug` form leaves out the password.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct BrokerSettings {
    /// The URL of the broker: mqtt://, tcp://, mqtts://, ws:// or wss://, with user and password if
    /// the broker requires them. A worker that has joined can name the URL of its coordinator
    /// instead, https:// or http://, and a coordinator whose workers all do so `none`. A worker
    /// can also name the address of its coordinator's --listen.
    #[cfg_attr(
        feature = "clap",
        arg(
            long = "broker",
            env = "MQTT_BROKER",
            hide_env_values = true,
            default_value = Self::DEFAULT_URL
        )
    )]
    pub url: String,
    /// The file with the password of the user in --broker, in one line. A password on the command
    /// line is refused.
    #[cfg_attr(
        feature = "clap",
        arg(long = "broker-password-file", env = "MQTT_BROKER_PASSWORD_FILE", value_name = "FILE")
    )]
    pub password_file: Option<PathBuf>,
    /// The time after which an idle connection to the broker is checked, at least 5; a dead one is
    /// noticed after twice that time.
    #[cfg_attr(
        feature = "clap",
        arg(
            long,
            env = "MQTT_KEEP_ALIVE",
            value_name = "SECONDS",
            default_value = "10",
            value_parser = clap::value_parser!(u16).range(5..)
        )
    )]
    pub keep_alive: u16,
    /// The first part of every topic; the same for the coordinator and its workers.
    #[cfg_attr(feature = "clap", arg(long, env = "TINPOT_NAMESPACE", default_value = "tinpot"))]
    pub namespace: String,
    /// A PEM file with the certificate authorities that the broker's certificate may be signed by.
    #[cfg_attr(feature = "clap", arg(long, env = "MQTT_CA", value_name = "FILE"))]
    pub ca: Option<PathBuf>,
    /// A PEM file with the certificate chain to present to the broker; requires --key.
    #[cfg_attr(feature = "clap", arg(long, env = "MQTT_CERT", value_name = "FILE"))]
    pub cert: Option<PathBuf>,
    /// A PEM file with the private key of --cert.
    #[cfg_attr(feature = "clap", arg(long, env = "MQTT_KEY", value_name = "FILE"))]
    pub key: Option<PathBuf>,
}

impl Default for BrokerSettings {
    fn default() -> Self {
        Self {
            url: Self::DEFAULT_URL.to_owned(),
            password_file: None,
            keep_alive: 10,
            namespace: "tinpot".to_owned(),
            ca: None,
            cert: None,
            key: None,
        }
    }
}

impl std::fmt::Debug for BrokerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrokerSettings")
            .field("url", &self.url_without_password())
            .field("password_file", &self.password_file)
            .field("keep_alive", &self.keep_alive)
            .field("namespace", &self.namespace)
            .field("ca", &self.ca)
            .field("cert", &self.cert)
            .field("key", &self.key)
            .finish()
    }
}

impl BrokerSettings {
    /// The URL of the broker unless the settings name another.
    pub const DEFAULT_URL: &str = "tcp://localhost:1883";
    /// The URL of a coordinator without a broker.
    pub const NONE: &str = "none";

    /// Returns the address at which a broker has to listen for the URL to lead to it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if this machine cannot resolve the host of the URL.
    pub fn address(&self) -> Result<SocketAddr> {
        let (_, host) = self.url.split_once("://").unwrap_or(("", &self.url));
        let host = host.rsplit('@').next().unwrap_or(host).trim_end_matches('/');
        let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:1883") };
        let cannot = |why: String| {
            let message = format!("cannot run a broker at {with_port} (MQTT_BROKER): {why}");
            Error::new(ErrorKind::InvalidInput, message)
        };
        let addresses = with_port.to_socket_addrs().map_err(|e| cannot(e.to_string()))?;
        let first = addresses.min_by_key(|address| !address.is_ipv4());
        first.ok_or_else(|| cannot("the host has no address".to_owned()))
    }

    /// Returns the URL without user and password, for messages.
    pub fn url_without_password(&self) -> String {
        match (self.url.split_once("://"), self.url.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            _ => self.url.clone(),
        }
    }

    /// Returns true if the settings name a user at the broker.
    pub(crate) fn has_login(&self) -> bool {
        self.password_file.is_some() || self.url.contains('@')
    }

    /// Returns true if there is no broker: all workers use HTTP.
    pub fn is_none(&self) -> bool {
        self.url == Self::NONE
    }

    /// Returns true if the URL is that of a coordinator, which a worker reaches by HTTP.
    pub fn is_server(&self) -> bool {
        let scheme = self.url.split_once("://").map_or("", |(scheme, _)| scheme);
        scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
    }

    /// Returns true if the URL is the address of a coordinator, which a worker reaches by ZeroMQ.
    pub fn is_zmq(&self) -> bool {
        self.url.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("zmq+"))
    }

    /// Reads the CA certificates that the settings name, in PEM.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the file cannot be read.
    pub(crate) fn ca_certificates(&self) -> Result<Option<Vec<u8>>> {
        self.ca.as_deref().map(read).transpose()
    }

    /// Connects as a coordinator, or as a worker if there is an id. `user` applies unless the URL
    /// has a user.
    ///
    /// Returns before the other side is reached: the transport keeps trying in the background.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the URL or a certificate can never work.
    pub async fn connect(
        &self,
        worker: Option<&WorkerId>,
        user: Option<(String, String)>,
    ) -> Result<Arc<dyn Transport>> {
        match worker {
            Some(worker) if self.is_server() => {
                Ok(Arc::new(self.connect_to_server(worker, user).await?))
            }
            _ if self.is_zmq() => self.connect_by_zmq().await,
            _ => Ok(Arc::new(self.connect_to_broker(worker, user).await?)),
        }
    }

    async fn connect_to_server(
        &self,
        worker: &WorkerId,
        user: Option<(String, String)>,
    ) -> Result<HttpTransport> {
        let Some((user, password)) = user else {
            let message = "a worker that reaches its coordinator by HTTP needs a key: ask for a \
                           join token, then run \"tinpot worker join --join-token-file FILE URL\"";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        };
        let mut builder = HttpTransport::builder(&self.url, worker)
            .login(user, password)
            .max_frame_bytes(super::FRAME_BYTES);
        if let Some(ca) = self.ca_certificates()? {
            builder = builder.ca_certificate(ca);
        }
        builder.connect().await
    }

    #[cfg(feature = "zmq")]
    async fn connect_by_zmq(&self) -> Result<Arc<dyn Transport>> {
        let address = self.url.parse();
        let address = address.map_err(|e: Error| e.with_context("--broker (MQTT_BROKER)"))?;
        let builder = ZmqTransport::builder(address).max_frame_bytes(super::FRAME_BYTES);
        Ok(Arc::new(builder.connect().await?))
    }

    #[cfg(not(feature = "zmq"))]
    #[allow(clippy::unused_async, reason = "as the one with ZeroMQ")]
    async fn connect_by_zmq(&self) -> Result<Arc<dyn Transport>> {
        let message = "this program was built without ZeroMQ: build it with the feature zmq";
        Err(Error::new(ErrorKind::InvalidInput, message))
    }

    async fn connect_to_broker(
        &self,
        worker: Option<&WorkerId>,
        user: Option<(String, String)>,
    ) -> Result<MqttTransport> {
        self.transport(worker, user)?.connect().await
    }

    /// Returns the settings of a connection to the broker, for a coordinator, or for a worker if there
    /// is an id. `user` applies unless the URL has a user.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if they do not fit together, or a file cannot be read.
    pub(crate) fn transport(
        &self,
        worker: Option<&WorkerId>,
        user: Option<(String, String)>,
    ) -> Result<MqttTransportBuilder> {
        let invalid = |message: String| Error::new(ErrorKind::InvalidInput, message);
        let mut builder = MqttTransport::builder(&self.url)
            .namespace(&self.namespace)
            .max_frame_bytes(super::FRAME_BYTES)
            .keep_alive(Duration::from_secs(self.keep_alive.into()));
        if let Some(id) = worker {
            builder = builder.worker(id);
        }
        if let Some((name, password)) = user.filter(|_| !self.has_login()) {
            builder = builder.user(name);
            if !password.is_empty() {
                builder = builder.password(password);
            }
        }
        if let Some(file) = &self.password_file {
            let setting = "--broker-password-file, MQTT_BROKER_PASSWORD_FILE";
            if super::secrets::has_password(&self.url) {
                let message = "the URL of --broker (MQTT_BROKER) has a password, and \
                               --broker-password-file (MQTT_BROKER_PASSWORD_FILE) names another: \
                               leave out that of the URL";
                return Err(invalid(message.to_owned()));
            }
            builder = builder.password(super::secrets::read_password(file, setting)?);
        }
        if let Some(ca) = self.ca_certificates()? {
            builder = builder.ca_certificate(ca);
        }
        // clap's `requires` does not fit: it takes the value of a settings file for a default,
        // which satisfies nothing.
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                builder = builder.client_certificate(read(cert)?, read(key)?);
            }
            (Some(_), None) => {
                return Err(invalid("--cert (MQTT_CERT) requires --key (MQTT_KEY)".to_owned()));
            }
            (None, Some(_)) => {
                return Err(invalid("--key (MQTT_KEY) requires --cert (MQTT_CERT)".to_owned()));
            }
            (None, None) => {}
        }
        Ok(builder)
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| {
        let message = format!("cannot read {}: {e}", path.display());
        Error::new(ErrorKind::InvalidInput, message)
    })
}
