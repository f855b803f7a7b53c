//! Sealed frames over a broker that everyone may read and write.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tinpot_core::seal::{CoordinatorOptions, EnrolledKeys, Pins, Suite, WorkerGrant};
use tinpot_core::testing::ToySuite;
use tinpot_core::transport::{Address, Lane};
use tinpot_core::{
    Coordinator, Failure, FunctionExecutor, Level, Link, Refusal, Stream, Transport, Worker,
    WorkerId,
};
use tinpot_mqtt::MqttTransport;

use crate::mosquitto::Mosquitto;
use crate::support::{link_is, within};

const CANARY: &str = "canary-in-every-place";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_execution_runs_sealed_and_a_subscriber_sees_and_changes_nothing() {
    let broker = Mosquitto::start().await;
    let builder = MqttTransport::builder(broker.url());
    let web = WorkerId::generate("web");
    let suite = ToySuite::new(1_000, 1);
    let enrolled = Arc::new(EnrolledKeys::default());
    let key = suite.owned_by(1);
    enrolled.enrol(&key, WorkerGrant::new(key.public(), "web"));

    // One who reads what the coordinator reads, and one who reads what the worker reads.
    let to_coordinator = builder.clone().connect().await.unwrap();
    let to_worker = builder.clone().worker(&web).connect().await.unwrap();
    let mut heard = Vec::new();
    for lane in Lane::ALL {
        heard.push(to_coordinator.listen(&Address::Coordinator, lane).await.unwrap());
        for address in [Address::Worker(web.clone()), Address::AllWorkers] {
            heard.push(to_worker.listen(&address, lane).await.unwrap());
        }
    }
    link_is(&to_coordinator, Link::is_up).await;
    link_is(&to_worker, Link::is_up).await;

    let transport = builder.clone().connect().await.unwrap();
    let coordinator = Coordinator::builder(transport)
        .sealed(suite.clone(), CoordinatorOptions::new("tinpot", enrolled))
        .start()
        .await
        .unwrap();
    let executor = FunctionExecutor::builder()
        .action("echo", |context, ()| async move {
            context.logs().write(Stream::Stdout, Level::Info, vec![CANARY.to_owned()]).await;
            Ok::<_, Failure>(CANARY)
        })
        .build()
        .unwrap();
    let transport = builder.clone().worker(&web).connect().await.unwrap();
    let worker = Worker::builder(transport)
        .id(web.clone())
        .name("web")
        .executor(executor)
        .sealed(key, Pins::new("tinpot", [suite.public()]))
        .start()
        .await
        .unwrap();
    within("the action is offered", coordinator.action_available("echo")).await.unwrap();
    let called = within("a result", coordinator.call::<String>("echo", ())).await;
    assert_eq!(called.unwrap(), CANARY);

    // The one who can write as the worker says goodbye for it.
    let forged = format!(r#"{{"v":1,"from":"{web}","messages":[{{"goodbye":{{"held":[]}}}}]}}"#);
    let forged = Bytes::from(forged);
    to_worker.send(&Address::Coordinator, Lane::Control, forged.clone()).await.unwrap();
    within("the frame is refused", async {
        while coordinator.refused(Refusal::Plain) == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let called = within("a result", coordinator.call::<String>("echo", ())).await;
    assert_eq!(called.unwrap(), CANARY);

    worker.shutdown(Duration::from_secs(5)).await;
    coordinator.shutdown().await;
    let mut frames = 0;
    for mut stream in heard {
        while let Some(Some(frame)) = stream.next().now_or_never() {
            if frame.bytes == forged {
                continue;
            }
            frames += 1;
            let text = String::from_utf8_lossy(&frame.bytes);
            assert!(text.starts_with("TPF1") && !text.contains(CANARY), "{text}");
        }
    }
    assert!(frames >= 8, "only {frames} frames");
}
