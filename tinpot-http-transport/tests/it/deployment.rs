//! A coordinator and workers over HTTP.

use std::sync::Arc;
use std::time::Duration;

use tinpot_core::transport::JoinedTransport;
use tinpot_core::{Coordinator, Failure, FunctionExecutor, MemoryNetwork, Transport, Worker};
use tinpot_http_transport::HttpTransport;

use crate::proxy::{Answers, Proxy};
use crate::support::{HEARTBEAT, Served, Trusting, id};

async fn start_worker(transport: impl Transport, name: &str, action: &str) -> Worker {
    let text = format!("from {name}");
    let executor = FunctionExecutor::builder()
        .action(action, move |_, ()| {
            let text = text.clone();
            async { Ok::<_, Failure>(text) }
        })
        .build()
        .unwrap();
    Worker::builder(transport).id(id(name)).executor(executor).start().await.unwrap()
}

async fn over_http(url: &str, name: &str) -> HttpTransport {
    HttpTransport::builder(url, &id(name)).heartbeat(HEARTBEAT).connect().await.unwrap()
}

async fn runs_through(answers: Answers) {
    let served = Served::start(Trusting).await;
    let proxy = Proxy::start(served.address, answers).await;
    let memory = MemoryNetwork::new();
    let both: [Arc<dyn Transport>; 2] =
        [Arc::new(served.link.transport()), Arc::new(memory.transport())];
    let joined = JoinedTransport::new(both).unwrap();
    let coordinator = Coordinator::builder(joined).start().await.unwrap();
    let web = start_worker(over_http(&proxy.url(), "web-1").await, "web-1", "remote").await;
    let near = start_worker(memory.transport(), "near-1", "local").await;
    for (action, from) in [("remote", "from web-1"), ("local", "from near-1")] {
        coordinator.action_available(action).await.unwrap();
        assert_eq!(coordinator.call::<String>(action, ()).await.unwrap(), from);
    }
    // The execution waits until the link is back, and then runs.
    proxy.cut();
    let waiting = tokio::spawn({
        let coordinator = coordinator.clone();
        async move { coordinator.call::<String>("remote", ()).await }
    });
    assert_eq!(coordinator.call::<String>("local", ()).await.unwrap(), "from near-1");
    proxy.restore();
    assert_eq!(waiting.await.unwrap().unwrap(), "from web-1");
    web.shutdown(Duration::from_secs(1)).await;
    near.shutdown(Duration::from_secs(1)).await;
    coordinator.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_run_on_workers_over_http_and_others() {
    runs_through(Answers::Pass).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executions_run_behind_a_proxy_that_holds_streams_back() {
    runs_through(Answers::HoldStreams).await;
}
