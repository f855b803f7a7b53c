//! The conformance suite on the memory transport and on the wrappers.

use std::sync::Arc;

use async_trait::async_trait;
use tinpot_core::testing::transport::{Faults, Network};
use tinpot_core::transport::Address;
use tinpot_core::{MemoryNetwork, MemoryTransport, Transport};

#[derive(Debug)]
struct InMemory {
    here: MemoryNetwork,
    elsewhere: MemoryNetwork,
    wrap: fn(MemoryTransport) -> Arc<dyn Transport>,
}

impl InMemory {
    fn new(wrap: fn(MemoryTransport) -> Arc<dyn Transport>) -> Self {
        Self { here: MemoryNetwork::new(), elsewhere: MemoryNetwork::new(), wrap }
    }
}

#[async_trait]
impl Network for InMemory {
    async fn join(&self, who: &Address) -> Arc<dyn Transport> {
        (self.wrap)(self.here.transport_of(who))
    }

    async fn join_elsewhere(&self, _who: &Address) -> Arc<dyn Transport> {
        (self.wrap)(self.elsewhere.transport())
    }

    fn faults(&self) -> Option<&dyn Faults> {
        None
    }
}

mod memory {
    use std::future::{Ready, ready};
    use std::sync::Arc;

    use super::InMemory;

    fn network() -> Ready<InMemory> {
        ready(InMemory::new(|transport| Arc::new(transport)))
    }

    tinpot_core::transport_conformance!(network);
}

mod in_an_arc {
    use std::future::{Ready, ready};
    use std::sync::Arc;

    use super::InMemory;

    fn network() -> Ready<InMemory> {
        ready(InMemory::new(|transport| Arc::new(Arc::new(transport))))
    }

    tinpot_core::transport_conformance!(network);
}

mod in_a_box {
    use std::future::{Ready, ready};
    use std::sync::Arc;

    use tinpot_core::Transport;

    use super::InMemory;

    fn network() -> Ready<InMemory> {
        ready(InMemory::new(|transport| Arc::new(Box::new(transport) as Box<dyn Transport>)))
    }

    tinpot_core::transport_conformance!(network);
}
