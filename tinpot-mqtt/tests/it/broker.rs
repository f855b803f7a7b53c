//! The embedded broker: who may come in, and what it gives back.

use tinpot_core::{ErrorKind, Link};
use tinpot_mqtt::MqttTransport;
use tinpot_mqtt::broker::Broker;

use crate::support::{LARGE, assert_frames_move, down_because, link_is};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_connect_and_others_do_not() {
    let broker = Broker::builder().user("web", "s@cret").start().await.unwrap();
    let connect = MqttTransport::builder(broker.url());
    assert_frames_move(&connect.clone().user("web").password("s@cret"), LARGE).await;
    for refused in [connect.clone().user("web").password("wrong"), connect] {
        let refused = refused.connect().await.unwrap();
        down_because(&refused, &["refuses", "password"]).await;
    }
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_address_is_free_again_after_shutdown() {
    let broker = Broker::builder().start().await.unwrap();
    let address = broker.address();
    let transport = MqttTransport::builder(broker.url()).connect().await.unwrap();
    link_is(&transport, Link::is_up).await;
    let taken = Broker::builder().bind(address).start().await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Unavailable);
    assert!(taken.message().contains(&address.to_string()), "{taken}");
    broker.shutdown().await;
    link_is(&transport, |link| !link.is_up()).await;
    let _again = Broker::builder().bind(address).start().await.unwrap();
    link_is(&transport, Link::is_up).await;
}

#[tokio::test]
async fn an_address_for_other_machines_needs_a_user() {
    let open = Broker::builder().bind(([0, 0, 0, 0], 0)).start().await.unwrap_err();
    assert_eq!(open.kind(), ErrorKind::InvalidInput);
    assert!(open.message().contains("other machines"), "{open}");
    let shown = format!("{:?}", Broker::builder().user("web", "s@cret"));
    assert!(shown.contains("web") && !shown.contains("s@cret"), "{shown}");
}
