//! The channel of a frame: who could write it.

use super::Network;
use super::support::{join, listen, next_received, send, worker};
use crate::model::address::{Address, Channel, Lane};

/// A frame comes by the channel of its sender or by an unknown one, whatever it says of itself.
pub async fn frames_come_by_the_channel_of_their_sender(network: &impl Network) {
    let coordinator = join(network, &Address::Coordinator).await;
    let (web, db) = (worker("web-1"), worker("db-1"));
    let (at_web, at_db) = (join(network, &web).await, join(network, &db).await);
    for lane in Lane::ALL {
        let mut frames = listen(&*coordinator, &Address::Coordinator, lane).await;
        for (sender, transport) in [(&web, &at_web), (&db, &at_db), (&web, &at_web)] {
            for says in [r#""from":"db-1","#, r#""from":"web-1","#, ""] {
                let text = format!(r#"{{"v":1,{says}"messages":[]}}"#);
                send(&**transport, &Address::Coordinator, lane, text).await;
                let channel = next_received(&mut frames, "the worker's frame").await.channel;
                let own = [Channel::of(sender), Channel::Unknown];
                assert!(own.contains(&channel), "a frame of {sender} came by {channel}");
            }
        }
        let mut frames = listen(&*at_web, &web, lane).await;
        send(&*coordinator, &web, lane, r#"{"v":1,"from":"db-1","messages":[]}"#).await;
        let channel = next_received(&mut frames, "the coordinator's frame").await.channel;
        let own = [Channel::Coordinator, Channel::Unknown];
        assert!(own.contains(&channel), "a frame of the coordinator came by {channel}");
    }
}
