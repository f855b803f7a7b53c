//! The conformance suite: on TCP and on sockets in the file system, through proxies that cut
//! connections.

use std::sync::Arc;

use async_trait::async_trait;
use tinpot_core::Transport;
use tinpot_core::testing::transport::{Faults, Network};
use tinpot_core::transport::Address;
use tinpot_zmq::{ZmqAddress, ZmqServer};

use crate::proxy::Proxy;
use crate::support::{Folder, any_port, connect};

/// A server behind a proxy.
#[derive(Debug)]
struct Proxied {
    server: ZmqServer,
    proxy: Proxy,
    address: ZmqAddress,
}

/// A server whose workers may do what participants of the suite do.
async fn trusting(address: ZmqAddress) -> ZmqServer {
    ZmqServer::builder(address).trusting(true).bind().await.unwrap()
}

impl Proxied {
    async fn tcp() -> Self {
        let server = trusting(any_port()).await;
        let at = server.address().to_string().replace("zmq+tcp://", "");
        let (proxy, port) = Proxy::tcp(at).await;
        Self { server, proxy, address: format!("zmq+tcp://127.0.0.1:{port}").parse().unwrap() }
    }

    async fn file(folder: &Folder, name: &str) -> Self {
        let server = trusting(folder.address(name)).await;
        let front = format!("{name}-front");
        let proxy = Proxy::file(&folder.path(&front), folder.path(name));
        Self { server, proxy, address: folder.address(&front) }
    }

    async fn join(&self, participant: &Address) -> Arc<dyn Transport> {
        match participant {
            Address::Coordinator => Arc::new(self.server.transport()),
            _ => Arc::new(connect(&self.address).await),
        }
    }
}

/// Two servers, one for each namespace.
#[derive(Debug)]
struct Both {
    here: Proxied,
    elsewhere: Proxied,
    _folder: Option<Folder>,
}

#[async_trait]
impl Network for Both {
    async fn join(&self, participant: &Address) -> Arc<dyn Transport> {
        self.here.join(participant).await
    }

    async fn join_elsewhere(&self, participant: &Address) -> Arc<dyn Transport> {
        self.elsewhere.join(participant).await
    }

    fn faults(&self) -> Option<&dyn Faults> {
        Some(self)
    }

    fn can_break(&self, participant: &Address) -> bool {
        // The coordinator is in the process of the server.
        *participant != Address::Coordinator
    }
}

#[async_trait]
impl Faults for Both {
    async fn cut(&self) {
        self.here.proxy.cut();
    }

    async fn restore(&self) {
        self.here.proxy.restore();
    }
}

mod on_tcp {
    use super::{Both, Proxied};

    async fn network() -> Both {
        Both { here: Proxied::tcp().await, elsewhere: Proxied::tcp().await, _folder: None }
    }

    tinpot_core::transport_conformance!(network);
}

mod on_files {
    use super::{Both, Folder, Proxied};

    async fn network() -> Both {
        let folder = Folder::new();
        let here = Proxied::file(&folder, "here").await;
        let elsewhere = Proxied::file(&folder, "elsewhere").await;
        Both { here, elsewhere, _folder: Some(folder) }
    }

    tinpot_core::transport_conformance!(network);
}
