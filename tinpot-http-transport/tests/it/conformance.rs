//! The conformance suite: directly, and through proxies that cut connections and hold answers back.

use std::sync::Arc;

use async_trait::async_trait;
use tinpot_core::Transport;
use tinpot_core::testing::transport::{Faults, Network};
use tinpot_core::transport::Address;

use crate::proxy::{Answers, Proxy};
use crate::support::{Served, Trusting, worker};

/// Two servers, one for each namespace, behind proxies.
#[derive(Debug)]
struct Proxied {
    here: Served,
    elsewhere: Served,
    proxy: Proxy,
    proxy_elsewhere: Proxy,
}

impl Proxied {
    async fn start(answers: Answers) -> Self {
        let (here, elsewhere) = (Served::start(Trusting).await, Served::start(Trusting).await);
        let proxy = Proxy::start(here.address, answers).await;
        let proxy_elsewhere = Proxy::start(elsewhere.address, answers).await;
        Self { here, elsewhere, proxy, proxy_elsewhere }
    }
}

#[async_trait]
impl Network for Proxied {
    async fn join(&self, participant: &Address) -> Arc<dyn Transport> {
        match participant {
            Address::Coordinator => Arc::new(self.here.link.transport()),
            _ => worker(&self.proxy.url(), participant).await,
        }
    }

    async fn join_elsewhere(&self, participant: &Address) -> Arc<dyn Transport> {
        match participant {
            Address::Coordinator => Arc::new(self.elsewhere.link.transport()),
            _ => worker(&self.proxy_elsewhere.url(), participant).await,
        }
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
impl Faults for Proxied {
    async fn cut(&self) {
        self.proxy.cut();
    }

    async fn restore(&self) {
        self.proxy.restore();
    }
}

mod through_a_proxy_that_cuts {
    use super::{Answers, Proxied};

    async fn network() -> Proxied {
        Proxied::start(Answers::Pass).await
    }

    tinpot_core::transport_conformance!(network);
}

mod through_a_proxy_that_holds_streams_back {
    use super::{Answers, Proxied};

    async fn network() -> Proxied {
        Proxied::start(Answers::HoldStreams).await
    }

    tinpot_core::transport_conformance!(network);
}
