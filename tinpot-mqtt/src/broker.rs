//! An MQTT 5 broker within the process.
//!
//! For one machine, for tests and for trying things out: it keeps everything in memory and speaks
//! plain TCP. It keeps retained messages of up to 64 KiB, up to 4,000 of them and 32 MiB in all: what
//! is beyond that is delivered and not kept. A fleet on several machines is better served by a broker
//! that has TLS and access lists.

mod backlog;
mod joiners;
mod prefixes;
mod retained;
mod rights;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures::future::BoxFuture;
use mqtt5::broker::auth::PasswordAuthProvider;
use mqtt5::broker::config::{AuthConfig, BrokerConfig, StorageConfig};
use mqtt5::broker::{BrokerShutdownHandle, MqttBroker};
use tinpot_core::Result;
use tokio::task::JoinHandle;

use self::backlog::{Backlog, Events};
use self::retained::Retained;
use self::rights::Guard;
pub use self::rights::{BrokerRights, WorkerLogins};
use crate::error::MqttError;

/// Packets of more than the largest frame of a transport and its topic are refused.
const MAX_PACKET_BYTES: usize = 65 * 1024 * 1024;

/// Frames that wait for one client that does not read; more are dropped. As many as wait in a
/// transport. Their bytes are bounded, too: see `backlog.rs`.
const CLIENT_FRAMES: usize = 4096;

/// Sets up a [`Broker`]; made by [`Broker::builder`].
#[derive(Clone)]
#[must_use = "nothing happens before `start`"]
pub struct BrokerBuilder {
    address: SocketAddr,
    users: Vec<(String, String)>,
    rights: Option<BrokerRights>,
}

impl fmt::Debug for BrokerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Vec<_> = self.users.iter().map(|(name, _)| name).collect();
        f.debug_struct("BrokerBuilder")
            .field("address", &self.address)
            .field("users", &users)
            .field("rights", &self.rights)
            .finish()
    }
}

impl BrokerBuilder {
    /// Sets the address to listen at; by default `127.0.0.1` with a free port. Port 0 takes a free
    /// one.
    ///
    /// An address that other machines can reach needs at least one [`user`](Self::user): a client
    /// that can publish here can run actions.
    pub fn bind(mut self, address: impl Into<SocketAddr>) -> Self {
        self.address = address.into();
        self
    }

    /// Adds a user. With at least one, clients without a user are refused.
    pub fn user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.push((name.into(), password.into()));
        self
    }

    /// Gives each client rights of its own. By default, all clients that are admitted may use all
    /// topics.
    pub fn rights(mut self, rights: BrokerRights) -> Self {
        self.rights = Some(rights);
        self
    }

    /// Binds the address and starts to serve.
    ///
    /// # Errors
    /// `InvalidInput` for an address that other machines can reach without any user, or for a user
    /// name that is not possible; `Unavailable` if the address cannot be bound.
    // A future of a function that is not inlined is compiled here, and not again in each program.
    #[inline(never)]
    pub fn start(self) -> BoxFuture<'static, Result<Broker>> {
        Box::pin(async { Ok(self.serve().await?) })
    }

    async fn serve(self) -> Result<Broker, MqttError> {
        let address = self.address;
        let is_open = self.rights.as_ref().is_none_or(BrokerRights::is_open);
        if !address.ip().is_loopback() && self.users.is_empty() && is_open {
            return Err(MqttError::Option(format!(
                "a broker at {address} must have a user: other machines can reach it, and clients can run actions; add a user or listen at 127.0.0.1"
            )));
        }
        // The library's own error is a page of advice.
        std::net::TcpListener::bind(address)
            .map_err(|error| MqttError::Bind { address, why: error.to_string() })?;
        let mut config = BrokerConfig::new()
            .with_bind_address(address)
            .with_max_packet_size(MAX_PACKET_BYTES)
            .with_client_channel_capacity(CLIENT_FRAMES)
            .with_sys_topics_enabled(false)
            .with_maximum_qos(0)
            .with_auth(AuthConfig::new().with_allow_anonymous(true));
        // By default it writes to the working directory.
        config.storage_config = StorageConfig { enable_persistence: false, ..StorageConfig::new() };
        let guard =
            self.rights.map(|rights| Arc::new(Guard::new(rights, self.users.clone(), address)));
        let retained = Arc::new(Retained::default());
        let backlog = Backlog::default();
        let events = Events { guard: guard.clone(), backlog, retained: retained.clone() };
        config = config.with_event_handler(Arc::new(events));
        let mut broker = MqttBroker::with_config(config)
            .await
            .map_err(|error| MqttError::Bind { address, why: error.to_string() })?;
        retained.set_router(&broker.router());
        if let Some(guard) = guard {
            broker = broker.with_auth_provider(guard);
        } else if !self.users.is_empty() {
            let provider = PasswordAuthProvider::new().with_anonymous(false);
            for (name, password) in &self.users {
                provider.add_user(name, password).map_err(|error| {
                    MqttError::Option(format!("the user {name:?} is not possible: {error}"))
                })?;
            }
            broker = broker.with_auth_provider(Arc::new(provider));
        }
        let address = broker.local_addr().unwrap_or(address);
        let stop = broker.shutdown_handle();
        let mut ready = broker.ready_receiver();
        let task = tokio::spawn(async move {
            if let Err(error) = broker.run().await {
                tracing::error!(%error, "the broker ended");
            }
        });
        // Until then, the broker would miss a shutdown.
        let _ = ready.wait_for(|ready| *ready).await;
        Ok(Broker { address, stop, task })
    }
}

/// An MQTT 5 broker within the process, in memory.
///
/// Dropping it stops it at once, [`shutdown`](Self::shutdown) stops it and waits.
pub struct Broker {
    address: SocketAddr,
    stop: BrokerShutdownHandle,
    task: JoinHandle<()>,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Broker {
    /// Returns a builder for a broker that only this machine can reach.
    pub fn builder() -> BrokerBuilder {
        let address = (Ipv4Addr::LOCALHOST, 0).into();
        BrokerBuilder { address, users: Vec::new(), rights: None }
    }

    /// Returns the address at which the broker listens, with its port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the URL for transports on this machine, without user and password.
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        format!("mqtt://{address}")
    }

    /// Ends every connection and frees the address. Takes up to 5 s if a client does not close.
    pub async fn shutdown(mut self) {
        self.stop.shutdown();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Its own tasks end with this one.
        self.task.abort();
    }
}
