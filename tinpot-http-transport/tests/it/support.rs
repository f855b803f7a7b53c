//! Servers and workers of the tests.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tinpot_core::transport::Address;
use tinpot_core::{Result, Transport, WorkerId};
use tinpot_http_transport::{Admission, HttpTransport, LinkServer, Login, Peer};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The heartbeat of the workers.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);

/// Admits any client to everything.
#[derive(Debug)]
pub(crate) struct Trusting;

impl Admission for Trusting {
    fn admit(&self, _: Option<&Login>, worker: &WorkerId) -> Result<Peer> {
        Ok(Peer::trusted(worker.as_str(), worker))
    }
}

/// A link that is served on a port of loopback; it ends with this.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) link: LinkServer,
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Served {
    pub(crate) async fn start(admission: impl Admission) -> Self {
        Self::of(LinkServer::builder(Arc::new(admission)).start()).await
    }

    pub(crate) async fn of(link: LinkServer) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = link.router().into_make_service();
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { link, address, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn id(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

/// Returns a worker's end.
pub(crate) async fn worker(url: &str, participant: &Address) -> Arc<dyn Transport> {
    let Address::Worker(id) = participant else { panic!("{participant} is no worker") };
    Arc::new(HttpTransport::builder(url, id).heartbeat(HEARTBEAT).connect().await.unwrap())
}
