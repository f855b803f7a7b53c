//! An MQTT client as any other, with the messages that it has heard.

use std::sync::{Arc, Mutex};

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use serde_json::Value;
use tokio::sync::watch;

use crate::support::within;

/// A message that a client has heard.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) topic: String,
    pub(crate) text: String,
    pub(crate) retained: bool,
    pub(crate) properties: Option<PublishProperties>,
}

impl Heard {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    client: AsyncClient,
    heard: Arc<Mutex<Vec<Heard>>>,
    news: watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    pub(crate) async fn connect(port: u16) -> Self {
        let id = format!("client-{:08x}", uuid::Uuid::new_v4().as_u128() as u32);
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_max_packet_size(Some(20_000_000));
        let (client, mut event_loop) = AsyncClient::new(options, 1024);
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let (count, news) = watch::channel(0);
        let sink = heard.clone();
        let task = tokio::spawn(async move {
            loop {
                let message = match event_loop.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => Some(of(&publish)),
                    Ok(Event::Incoming(Packet::SubAck(_) | Packet::ConnAck(_))) => None,
                    Ok(_) => continue,
                    // The broker restarts.
                    Err(_) => {
                        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                        continue;
                    }
                };
                sink.lock().unwrap().extend(message);
                count.send_modify(|count| *count += 1);
            }
        });
        let mut client = Self { client, heard, news, task };
        client.news(1).await;
        client
    }

    /// Waits until there was so much news.
    async fn news(&mut self, least: u64) {
        within("news", self.news.wait_for(|count| *count >= least)).await.unwrap();
    }

    /// Subscribes, and waits for the confirmation.
    pub(crate) async fn subscribe(&mut self, filter: &str) {
        let before = *self.news.borrow();
        self.client.subscribe(filter, QoS::AtLeastOnce).await.unwrap();
        self.news(before + 1).await;
    }

    pub(crate) async fn publish(&self, topic: &str, text: impl Into<String>) {
        let text: String = text.into();
        self.client.publish(topic, QoS::AtLeastOnce, false, text).await.unwrap();
    }

    pub(crate) async fn retain(&self, topic: &str, text: impl Into<String>) {
        let text: String = text.into();
        self.client.publish(topic, QoS::AtLeastOnce, true, text).await.unwrap();
    }

    pub(crate) async fn ask(&self, topic: &str, text: &str, response_topic: &str, data: &str) {
        let properties = PublishProperties {
            response_topic: Some(response_topic.to_owned()),
            correlation_data: Some(data.to_owned().into()),
            ..PublishProperties::default()
        };
        let text = text.to_owned();
        let sent =
            self.client.publish_with_properties(topic, QoS::AtLeastOnce, false, text, properties);
        sent.await.unwrap();
    }

    /// Returns what it has heard at a topic so far.
    pub(crate) fn at(&self, topic: &str) -> Vec<Heard> {
        let heard = self.heard.lock().unwrap();
        heard.iter().filter(|one| one.topic == topic).cloned().collect()
    }

    /// Waits for a message for which this is true, and returns it.
    pub(crate) async fn hears(&self, what: &str, is: impl Fn(&Heard) -> bool) -> Heard {
        let mut news = self.news.clone();
        let wait = async {
            loop {
                // Not under the lock, since the condition may look at what was heard, too.
                let all = self.heard.lock().unwrap().clone();
                if let Some(found) = all.into_iter().find(|one| is(one)) {
                    return found;
                }
                news.changed().await.unwrap();
            }
        };
        match tokio::time::timeout(std::time::Duration::from_secs(60), wait).await {
            Ok(found) => found,
            Err(_) => panic!("{what}: never heard, only {:#?}", self.heard.lock().unwrap()),
        }
    }

    /// Waits for a message at a topic.
    pub(crate) async fn hears_at(&self, topic: &str) -> Heard {
        self.hears(topic, |heard| heard.topic == topic).await
    }
}

fn of(publish: &Publish) -> Heard {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Heard {
        topic: text(&publish.topic),
        text: text(&publish.payload),
        retained: publish.retain,
        properties: publish.properties.clone(),
    }
}
