//! The gateway: sockets and clock around the machine, and a worker of Tinpot for each of mooR.

mod enrolment;
mod executor;
mod member;
mod outcome;
mod parameters;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use tinpot_core::{Error, ErrorKind, MemoryNetwork, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::enrolment::Enrolment;
use self::serve::Serving;
use crate::address::MoorAddress;
use crate::curve::{Curve, CurveClients, CurveKey};
use crate::keys::VerifyingKey;
use crate::server::{MoorType, Server, ServerConfig, Types};
use crate::sockets::Sockets;
use crate::wire::Dialect;

/// Commands of executors that wait: each of at most 500 requests has two.
const COMMANDS: usize = 1024;
/// Workers that may attach, unless the host says otherwise.
const WORKERS: usize = 1000;

/// Takes workers of mooR: each that attaches becomes a worker of Tinpot with one action, the name of
/// which is its type.
///
/// - A worker is offered after its first pong: what is published before it has subscribed is lost.
/// - A request is published once, and never again. A worker that goes away, or attaches again, loses
///   its attempts: they are [`Lost`](tinpot_core::Outcome::Lost).
/// - Nothing can stop a worker of mooR. An execution that is cancelled ends with the worker's
///   answer, or at its timeout. One that times out keeps its slot until the worker is heard again.
/// - All workers of a pair of sockets see the arguments of all requests. Use one pair for each group
///   of workers that may.
///
/// Dropping a gateway ends its workers at once; [`shutdown`](Self::shutdown) drains them first.
#[derive(Debug)]
#[must_use = "dropping a gateway ends its workers: keep it, and end it with `shutdown`"]
pub struct Gateway {
    address: MoorAddress,
    enrolment: Option<(String, JoinHandle<()>)>,
    stop: watch::Sender<Option<Duration>>,
    task: JoinHandle<()>,
}

/// The options of a [`Gateway`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing before `bind`"]
pub struct GatewayBuilder {
    network: MemoryNetwork,
    address: MoorAddress,
    dialect: Dialect,
    keys: Vec<VerifyingKey>,
    types: Types,
    max_workers: usize,
    insecure: bool,
    curve: Option<Curve>,
    enrolment: Option<(MoorAddress, String)>,
    ends_drained: bool,
}

impl Gateway {
    /// Returns a builder for a gateway at this address, whose workers are on this network. The
    /// coordinator has to be there as well.
    pub fn builder(network: &MemoryNetwork, address: MoorAddress) -> GatewayBuilder {
        GatewayBuilder {
            network: network.clone(),
            address,
            dialect: Dialect::Token,
            keys: Vec::new(),
            types: Types::Only(Vec::new()),
            max_workers: WORKERS,
            insecure: false,
            curve: None,
            enrolment: None,
            ends_drained: false,
        }
    }

    /// Returns the address, with the ports that the system chose.
    pub fn address(&self) -> &MoorAddress {
        &self.address
    }

    /// Returns the address of the enrolment, if there is one.
    pub fn enrolment(&self) -> Option<&str> {
        self.enrolment.as_ref().map(|(address, _)| &**address)
    }

    /// Drains the workers: requests that are under way have `patience` to end. Every message of a
    /// worker is replied to until then.
    pub async fn shutdown(mut self, patience: Duration) {
        self.stop.send_replace(Some(patience));
        let _ = (&mut self.task).await;
        if let Some((_, task)) = &mut self.enrolment {
            let _ = task.await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
        if let Some((_, task)) = &self.enrolment {
            task.abort();
        }
    }
}

impl GatewayBuilder {
    /// Sets the dialect of all workers of these sockets. By default, they send tokens.
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Adds a key with which tokens may be signed.
    pub fn key(mut self, key: VerifyingKey) -> Self {
        self.keys.push(key);
        self
    }

    /// Lets workers of this type attach. By default, none may.
    pub fn allow(mut self, kind: MoorType) -> Self {
        match &mut self.types {
            Types::Any => {}
            Types::Only(types) => types.push(Arc::new(kind)),
        }
        self
    }

    /// Lets workers of any type attach.
    pub fn allow_any(mut self) -> Self {
        self.types = Types::Any;
        self
    }

    /// Sets the largest number of workers; 1,000 by default.
    pub fn max_workers(mut self, workers: usize) -> Self {
        self.max_workers = workers;
        self
    }

    /// Takes an address that other machines reach, though all who can connect there see all
    /// arguments, and without tokens can speak for any worker.
    pub fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// Encrypts a TCP address by CURVE with this key, and admits these workers only. Only the plain
    /// dialect supports it. Sockets that are files rely on file permissions instead.
    pub fn curve(mut self, key: CurveKey, clients: CurveClients) -> Self {
        self.curve = Some(Curve { key, clients });
        self
    }

    /// Enrols workers at the first port of this address: one that knows the token has its CURVE key
    /// admitted. The token is sent in the clear.
    pub fn enrolled_at(mut self, address: MoorAddress, token: &str) -> Self {
        self.enrolment = Some((address, token.to_owned()));
        self
    }

    /// Asks workers to end once they are drained. Some workers end even if the request names
    /// another.
    pub fn end_drained(mut self, yes: bool) -> Self {
        self.ends_drained = yes;
        self
    }

    /// Binds the sockets and starts. Must be called within a tokio runtime with time and I/O.
    ///
    /// # Errors
    /// `InvalidInput` for tokens without a key, no type, or an address that other machines reach
    /// without [`insecure`](Self::insecure); `Conflict` if another program listens there.
    pub async fn bind(self) -> Result<Gateway> {
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
        if self.dialect == Dialect::Token && self.keys.is_empty() {
            return invalid(
                "workers of mooR send tokens, and there is no key to check them: name the file of a \
                 public key (--moor-key)"
                    .to_owned(),
            );
        }
        if matches!(&self.types, Types::Only(types) if types.is_empty()) {
            return invalid(
                "no type of workers of mooR is allowed: name the types (--moor-types)".to_owned(),
            );
        }
        if self.dialect == Dialect::Token && self.curve.is_some() {
            return invalid(
                "workers of mooR that send tokens know no CURVE: choose the plain dialect \
                 (--moor-dialect)"
                    .to_owned(),
            );
        }
        let curve = self.curve.as_ref().filter(|_| self.address.paths().is_none());
        if !self.address.is_local() && !self.insecure && curve.is_none() {
            return invalid(format!(
                "other machines can reach {}, and see the arguments of all requests: choose a \
                 loopback address or ipc, encrypt it in the plain dialect (--moor-curve-key), or \
                 accept it (--moor-insecure)",
                self.address
            ));
        }
        let enrolment = match &self.enrolment {
            None => None,
            Some((address, token)) => {
                let Some(curve) = &self.curve else {
                    return invalid(
                        "workers are enrolled with their CURVE keys: name the key of the \
                         coordinator (--moor-curve-key)"
                            .to_owned(),
                    );
                };
                if address.paths().is_some() || !(address.is_local() || self.insecure) {
                    return invalid(format!(
                        "the token of the enrolment is sent in the clear, so {address} must be \
                         tcp:// with a loopback address, or accept it (--moor-insecure)"
                    ));
                }
                Some(Enrolment::bind(&address.requests(), token, curve.clone()).await?)
            }
        };
        let (sockets, address) = Sockets::bind(self.address, curve).await?;
        let server = Server::new(ServerConfig {
            dialect: self.dialect,
            keys: self.keys,
            types: self.types,
            max_workers: self.max_workers,
        });
        let (commands, received) = mpsc::channel(COMMANDS);
        let (stop, stopped) = watch::channel(None);
        let serving =
            Serving::new(sockets, server, self.dialect, self.network, commands, self.ends_drained);
        let enrolment = enrolment
            .map(|(enrolment, address)| (address, tokio::spawn(enrolment.serve(stopped.clone()))));
        let task = tokio::spawn(serving.run(received, stopped));
        tracing::info!(%address, dialect = %self.dialect, "workers of mooR can attach");
        Ok(Gateway { address, enrolment, stop, task })
    }
}
