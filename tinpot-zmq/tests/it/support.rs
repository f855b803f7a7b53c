//! Servers and workers of the tests.

use std::fs::{DirBuilder, Permissions};
use std::future::Future;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tinpot_core::{Link, Transport, WorkerId};
use tinpot_zmq::{ZmqAddress, ZmqServer, ZmqTransport};

/// The heartbeat of the workers.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder that others cannot enter.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("zmq").tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn address(&self, name: &str) -> ZmqAddress {
        format!("zmq+ipc://{}", self.path(name).display()).parse().unwrap()
    }

    /// Creates a folder in it.
    pub(crate) fn folder(&self, name: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        DirBuilder::new().mode(mode).create(&path).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }
}

pub(crate) fn any_port() -> ZmqAddress {
    "zmq+tcp://127.0.0.1:0".parse().unwrap()
}

pub(crate) async fn serve(address: ZmqAddress) -> ZmqServer {
    ZmqServer::builder(address).bind().await.unwrap()
}

pub(crate) async fn connect(address: &ZmqAddress) -> ZmqTransport {
    ZmqTransport::builder(address.clone()).heartbeat(HEARTBEAT).connect().await.unwrap()
}

pub(crate) fn id(name: &str) -> WorkerId {
    WorkerId::new(name).unwrap()
}

pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: too late"))
}

pub(crate) async fn is_up(transport: &dyn Transport) {
    within("the link comes up", async {
        transport.status().wait_for(Link::is_up).await.unwrap();
    })
    .await;
}

/// Waits until the link is down, and returns the reason.
pub(crate) async fn reason(transport: &dyn Transport) -> String {
    let down = |link: &Link| matches!(link, Link::Down { reason } if !reason.is_empty());
    let link = within("the link goes down", async {
        transport.status().wait_for(down).await.unwrap().clone()
    })
    .await;
    let Link::Down { reason } = link else { unreachable!() };
    reason
}
