//! The conformance suite on the memory transport and on the wrappers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tinpot_core::testing::transport::{Faults, Network};
use tinpot_core::transport::{Address, JoinedTransport};
use tinpot_core::{
    ErrorKind, FunctionExecutor, MemoryNetwork, MemoryTransport, Transport, Worker, WorkerId,
};

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

/// A coordinator on two networks, and workers on one of them each.
#[derive(Debug, Default)]
struct OnTwo {
    networks: [MemoryNetwork; 2],
    elsewhere: MemoryNetwork,
    workers: AtomicUsize,
}

#[async_trait]
impl Network for OnTwo {
    async fn join(&self, who: &Address) -> Arc<dyn Transport> {
        let [first, second] = self.networks.each_ref().map(|network| network.transport_of(who));
        if *who == Address::Coordinator {
            let both: [Arc<dyn Transport>; 2] = [Arc::new(first), Arc::new(second)];
            return Arc::new(JoinedTransport::new(both).expect("two transports"));
        }
        match self.workers.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => Arc::new(first),
            _ => Arc::new(second),
        }
    }

    async fn join_elsewhere(&self, who: &Address) -> Arc<dyn Transport> {
        Arc::new(self.elsewhere.transport_of(who))
    }

    fn faults(&self) -> Option<&dyn Faults> {
        None
    }
}

mod joined_of_two {
    use std::future::{Ready, ready};

    use super::OnTwo;

    fn network() -> Ready<OnTwo> {
        ready(OnTwo::default())
    }

    tinpot_core::transport_conformance!(network);
}

mod joined_of_one {
    use std::future::{Ready, ready};
    use std::sync::Arc;

    use super::{InMemory, JoinedTransport, Transport};

    fn network() -> Ready<InMemory> {
        ready(InMemory::new(|transport| {
            let one: [Arc<dyn Transport>; 1] = [Arc::new(transport)];
            Arc::new(JoinedTransport::new(one).expect("a transport"))
        }))
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

#[tokio::test]
async fn a_worker_on_the_transport_of_another_does_not_start() {
    let network = MemoryNetwork::new();
    let [one, other] = [WorkerId::generate("one"), WorkerId::generate("other")];
    let start = async |id: &WorkerId, participant: &Address| {
        let executor = FunctionExecutor::builder().build().expect("an executor");
        let builder = Worker::builder(network.transport_of(participant)).id(id.clone());
        builder.name(id.name()).executor(executor).start().await
    };
    let of_one = Address::Worker(one.clone());
    let _worker = start(&one, &of_one).await.expect("its own transport");
    let error = start(&other, &of_one).await.expect_err("the transport of another worker");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let message = error.to_string();
    assert!(
        message.contains(&format!("speaks for worker {one}, not for worker {other}")),
        "{message}"
    );
    let error =
        start(&other, &Address::Coordinator).await.expect_err("the coordinator's transport");
    assert!(error.to_string().contains("speaks for"), "{error}");
}
