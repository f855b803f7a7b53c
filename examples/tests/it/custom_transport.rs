//! The transport suite on Unix sockets, with a hub that goes away and comes back.

use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use tinpot_core::Transport;
use tinpot_core::testing::transport::{Faults, Network};
use tinpot_core::transport::{Address, Reconnecting};
use tinpot_examples::{UnixHub, UnixSocket};
use tokio::sync::Mutex;

#[derive(Debug)]
struct HubNetwork {
    directory: TempDir,
    hub: Mutex<Option<UnixHub>>,
}

impl HubNetwork {
    fn bind(&self) -> Option<UnixHub> {
        Some(UnixHub::bind(&self.directory.path().join("hub")).expect("a socket"))
    }

    async fn transport(&self, namespace: &str) -> Arc<dyn Transport> {
        let socket = UnixSocket::new(&self.directory.path().join("hub"));
        let builder = Reconnecting::builder(socket).namespace(namespace);
        Arc::new(builder.connect().await.expect("a transport"))
    }
}

#[async_trait]
impl Network for HubNetwork {
    async fn join(&self, _participant: &Address) -> Arc<dyn Transport> {
        self.transport("tinpot").await
    }

    async fn join_elsewhere(&self, _participant: &Address) -> Arc<dyn Transport> {
        self.transport("elsewhere").await
    }

    fn faults(&self) -> Option<&dyn Faults> {
        Some(self)
    }
}

#[async_trait]
impl Faults for HubNetwork {
    async fn cut(&self) {
        *self.hub.lock().await = None;
    }

    async fn restore(&self) {
        *self.hub.lock().await = self.bind();
    }
}

async fn network() -> HubNetwork {
    let directory = tempfile::tempdir().expect("a directory");
    let network = HubNetwork { directory, hub: Mutex::new(None) };
    network.restore().await;
    network
}

tinpot_core::transport_conformance!(network);
