//! The conformance suite on sockets in a directory.

use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use tinpot_core::testing::transport::{Faults, Network};
use tinpot_core::{Address, Transport};
use tinpot_examples::UnixTransport;

#[derive(Debug)]
struct Sockets {
    here: TempDir,
    elsewhere: TempDir,
}

#[async_trait]
impl Network for Sockets {
    async fn join(&self, _who: &Address) -> Arc<dyn Transport> {
        Arc::new(UnixTransport::new(self.here.path()).expect("a directory"))
    }

    async fn join_elsewhere(&self, _who: &Address) -> Arc<dyn Transport> {
        Arc::new(UnixTransport::new(self.elsewhere.path()).expect("a directory"))
    }

    fn faults(&self) -> Option<&dyn Faults> {
        None
    }
}

fn network() -> std::future::Ready<Sockets> {
    let directory = || tempfile::tempdir().expect("a directory");
    std::future::ready(Sockets { here: directory(), elsewhere: directory() })
}

tinpot_core::transport_conformance!(network);
