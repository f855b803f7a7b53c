//! Keeps one lane, or another endpoint, connected. Everything that the client library asks of its user is done here, and
//! nowhere else:
//!
//! - **One event loop per connection.** After any error the event loop is thrown away and a new one
//!   is made, so nothing of the old one can come back: no half-sent queue, no packet-id collision
//!   that stops it for good, no acknowledgement that never comes.
//! - **`poll` is not cancel safe**, so it runs in a task of its own, without `select!` or `timeout`
//!   around it; it is ended by a DISCONNECT request or, when that does not help, by aborting the
//!   task, after which the event loop is not used again.
//! - **That task never waits for a publish**: it hands frames to bounded queues, at once or not at
//!   all, and asks for subscriptions only with `try_…`. Senders do the same: a full queue is
//!   `Overloaded`, no connection is `Unavailable`.
//! - **A watchdog** ends an event loop from which nothing came for two keep-alives: a healthy one
//!   pings once per keep-alive. The library does not notice by itself when a write hangs.
//! - **TCP_NODELAY** is off by default; with Nagle's algorithm a round trip takes up to 86 ms
//!   instead of 0.1.
//! - **Packet sizes** are limited to 10 KiB by default; they are set, and the broker's own limit is
//!   heeded before a frame is queued, since a packet over it ends the connection.
//! - **Clean start, no session**: the broker keeps nothing for us, and every CONNACK makes us
//!   subscribe again to all that is wanted.
//! - **QoS 0**, so the in-flight window, its collisions and its stalls do not exist for us; its
//!   limit is small and explicit nevertheless, since packet ids of subscriptions are drawn from it.
//! - **Another client that takes our client id** would end our connection, and we its, for ever:
//!   our ids have a random part, a new one for every connection. Where the broker says that it was
//!   a takeover, so does the status. mosquitto 2.0.11 just closes the connection, and a DISCONNECT
//!   without the (optional) length of its properties, such as the embedded broker's, is lost by the
//!   library (in 0.25.1, and in rumqttc-v5-next 0.34): both show as a closed connection.
//!
//! The library is upstream's rumqttc 0.25. Its maintained continuation, rumqttc-v5-next 0.34, was
//! to replace it if a test of faults on real processes lost or hung something that cannot be
//! repaired above the library; none does (November 2026): `broker_restart`, `network` (black holes,
//! delays, half-open and half-closed connections), `link` (stalls, which the watchdog ends, and
//! random resets around mosquitto and the embedded broker) and `takeover` of `tests/it`. What is
//! left is Nagle's algorithm at a broker with default settings, where only the continuation lets
//! one reach the socket (for TCP_QUICKACK); the outbox of tinpot-core avoids it by lazy
//! acknowledgements.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rumqttc::v5::mqttbytes;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectReturnCode, DisconnectReasonCode, Packet, Publish, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, StateError};
use rumqttc::{NetworkOptions, Outgoing, TlsConfiguration, Transport};
use tinpot_core::transport::ReconnectBackoff;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

use crate::address::{BrokerAddress, Scheme};
use crate::listeners::Refusal;

/// The time in which TCP, TLS and MQTT together must lead to an answer of the broker, in seconds.
const CONNECT_SECONDS: u64 = 5;

/// After this long a connection counts as a good one, and the next outage begins with quick tries
/// again. Less would make a broker that takes us in and throws us out be asked twenty times a
/// second.
const STEADY: Duration = Duration::from_secs(2);

/// The time that `close` gives frames that wait.
const DRAIN: Duration = Duration::from_secs(1);

/// QoS 1 packets under way; we send none.
const INFLIGHT: u16 = 16;

/// Room for the topic and the properties of a packet besides its frame.
const HEADER_BYTES: usize = 64 * 1024;

/// Requests that wait for the event loop, which takes them as fast as the socket does. Enough for a
/// burst of a busy coordinator; small enough to be sent in a moment once the socket moves again.
pub(crate) const QUEUE_REQUESTS: usize = 4096;

/// The user of a connection. Its methods are called by the task that drives the connection, and
/// must not wait.
pub(crate) trait Endpoint: Send + Sync + 'static {
    /// Returns the name, for the client id and the log.
    fn name(&self) -> &str;

    /// Changes the options of the next connection.
    fn set_up(&self, _options: &mut MqttOptions) {}

    /// Takes a new connection: all subscriptions have to be made again.
    fn connected(&self, client: &AsyncClient, connack: &ConnAck);

    /// Takes the answer to a SUBSCRIBE. A refusal ends the connection.
    fn subscribed(
        &self,
        client: &AsyncClient,
        max_packet_bytes: Option<u32>,
        codes: &[SubscribeReasonCode],
    ) -> Option<Refusal>;

    /// Takes a message of the broker.
    fn receive(&self, publish: Publish);

    /// Takes the room that there is in the queue of requests.
    fn has_room(&self);

    /// Takes the end of the connection, or a failure to connect.
    fn disconnected(&self, reason: String);
}

/// The settings of a connection; the same for both lanes.
#[derive(Clone)]
pub(crate) struct ConnectionConfig {
    pub(crate) address: BrokerAddress,
    pub(crate) client_name: String,
    pub(crate) tls: Option<TlsConfiguration>,
    pub(crate) keep_alive: Duration,
    pub(crate) max_frame_bytes: usize,
}

impl ConnectionConfig {
    fn options(&self, client_id: &str) -> MqttOptions {
        let address = &self.address;
        let host = match address.scheme {
            Scheme::Tcp | Scheme::Tls => address.host.clone(),
            Scheme::Ws | Scheme::Wss => address.websocket_url(),
        };
        let mut options = MqttOptions::new(client_id, host, address.port);
        options.set_transport(match (address.scheme, &self.tls) {
            (Scheme::Tls, Some(tls)) => Transport::tls_with_config(tls.clone()),
            (Scheme::Wss, Some(tls)) => Transport::wss_with_config(tls.clone()),
            (Scheme::Ws, _) => Transport::Ws,
            _ => Transport::Tcp,
        });
        if let Some(user) = &address.user {
            options.set_credentials(user, address.password.as_deref().unwrap_or_default());
        }
        let packet_bytes = u32::try_from(self.max_frame_bytes + HEADER_BYTES).unwrap_or(u32::MAX);
        options
            .set_keep_alive(self.keep_alive)
            .set_clean_start(true)
            .set_connection_timeout(CONNECT_SECONDS)
            .set_max_packet_size(Some(packet_bytes))
            .set_session_expiry_interval(Some(0))
            .set_outgoing_inflight_upper_limit(INFLIGHT);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        options
    }

    fn client_id(&self, name: &str) -> String {
        let random = Uuid::new_v4().as_u128() as u32;
        format!("{}-{name}-{random:08x}", self.client_name)
    }
}

/// The end of an event loop.
enum Ending {
    Failed(ConnectionError),
    /// This side sent DISCONNECT.
    Closed,
    Refused(String),
    Stuck,
    /// The task panicked: a bug in it or in the library, and no reason to stop.
    Died,
}

/// A task that is aborted with its handle.
struct Polling(JoinHandle<Ending>);

impl Drop for Polling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The activity of an event loop, as the watchdog sees it.
struct Pulse {
    events: AtomicU64,
    keep_alive_seconds: AtomicU64,
}

/// Connects `endpoint`, again and again, until `closing` says true.
pub(crate) async fn keep_connected<E: Endpoint>(
    endpoint: Arc<E>,
    config: ConnectionConfig,
    mut closing: watch::Receiver<bool>,
) {
    let mut backoff = ReconnectBackoff::new();
    // Whether the log says that there is no link: once per outage.
    let mut told = false;
    while !*closing.borrow() {
        let client_id = config.client_id(endpoint.name());
        let mut options = config.options(&client_id);
        endpoint.set_up(&mut options);
        let (client, event_loop) = AsyncClient::new(options, QUEUE_REQUESTS);
        let pulse = Arc::new(Pulse {
            events: AtomicU64::new(0),
            keep_alive_seconds: AtomicU64::new(config.keep_alive.as_secs()),
        });
        let started = Instant::now();
        let mut polling = Polling(tokio::spawn(poll(
            endpoint.clone(),
            client.clone(),
            event_loop,
            pulse.clone(),
            told,
        )));
        let ending = tokio::select! {
            ending = &mut polling.0 => ending.unwrap_or(Ending::Died),
            () = silence(&pulse) => Ending::Stuck,
            () = told_to_close(&mut closing) => {
                drain(&client, &pulse, &mut polling).await;
                break;
            }
        };
        drop(polling);
        let was_connected = pulse.events.load(Ordering::Relaxed) > 0;
        let reason = describe(&ending, &config, &client_id, was_connected);
        if was_connected {
            tracing::warn!(lane = endpoint.name(), reason, "the link is down");
        } else if !told {
            tracing::warn!(
                lane = endpoint.name(),
                reason,
                "the broker cannot be reached; trying again"
            );
        } else {
            tracing::debug!(lane = endpoint.name(), reason, "the broker cannot be reached");
        }
        told = true;
        endpoint.disconnected(reason);
        if was_connected && started.elapsed() > STEADY {
            backoff.reset();
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.pause()) => {}
            () = told_to_close(&mut closing) => break,
        }
    }
}

/// Resolves when the transport is closed or dropped.
async fn told_to_close(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}

/// Drives one event loop until it fails or the transport closes.
async fn poll<E: Endpoint>(
    endpoint: Arc<E>,
    client: AsyncClient,
    mut event_loop: EventLoop,
    pulse: Arc<Pulse>,
    was_away: bool,
) -> Ending {
    let mut max_packet_bytes = None;
    loop {
        let event = match event_loop.poll().await {
            Ok(event) => event,
            Err(error) => return Ending::Failed(error),
        };
        pulse.events.fetch_add(1, Ordering::Relaxed);
        match event {
            Event::Incoming(Packet::Publish(publish)) => endpoint.receive(publish),
            Event::Incoming(Packet::ConnAck(connack)) => {
                // The broker may have set another interval, and the library keeps to it.
                let keep_alive = event_loop.options.keep_alive().as_secs();
                pulse.keep_alive_seconds.store(keep_alive, Ordering::Relaxed);
                max_packet_bytes = connack.properties.as_ref().and_then(|all| all.max_packet_size);
                if was_away {
                    tracing::info!(lane = endpoint.name(), "the link is up again");
                }
                endpoint.connected(&client, &connack);
            }
            Event::Incoming(Packet::SubAck(ack)) => {
                if let Some(refusal) =
                    endpoint.subscribed(&client, max_packet_bytes, &ack.return_codes)
                {
                    let (filter, why) = (refusal.filter, refusal.why);
                    return Ending::Refused(format!(
                        "the broker does not let this client listen at {filter}: {why}"
                    ));
                }
            }
            Event::Outgoing(Outgoing::Disconnect) => return Ending::Closed,
            Event::Outgoing(_) => endpoint.has_room(),
            Event::Incoming(_) => {}
        }
    }
}

/// Resolves when the event loop was silent for two keep-alives.
async fn silence(pulse: &Pulse) {
    let mut seen = pulse.events.load(Ordering::Relaxed);
    loop {
        let seconds = pulse.keep_alive_seconds.load(Ordering::Relaxed).max(CONNECT_SECONDS);
        tokio::time::sleep(Duration::from_secs(2 * seconds)).await;
        let now = pulse.events.load(Ordering::Relaxed);
        if now == seen {
            return;
        }
        seen = now;
    }
}

/// Sends what is queued and DISCONNECT, within a short time.
async fn drain(client: &AsyncClient, pulse: &Pulse, polling: &mut Polling) {
    if pulse.events.load(Ordering::Relaxed) == 0 {
        return;
    }
    let _ = tokio::time::timeout(DRAIN, async {
        if client.disconnect().await.is_ok() {
            let _ = (&mut polling.0).await;
        }
    })
    .await;
}

/// Describes an end for people, with a remedy where one is known.
fn describe(
    ending: &Ending,
    config: &ConnectionConfig,
    client_id: &str,
    was_connected: bool,
) -> String {
    let broker = &config.address;
    let error = match ending {
        Ending::Closed => return "we closed the link".to_owned(),
        Ending::Died => return "the task of the connection failed; it starts again".to_owned(),
        Ending::Refused(why) => return why.clone(),
        Ending::Stuck => {
            return format!("nothing moved to or from the broker at {broker} for two keep-alives");
        }
        Ending::Failed(error) => error,
    };
    match error {
        ConnectionError::Timeout(_) => {
            format!("the broker at {broker} did not answer within {CONNECT_SECONDS} s")
        }
        ConnectionError::ConnectionRefused(code) => match code {
            ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => format!(
                "the broker at {broker} refuses this client ({code:?}): check user, password and client certificate"
            ),
            code => format!("the broker at {broker} refuses this client: {code:?}"),
        },
        ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, reason_string }) => {
            match reason_code {
                DisconnectReasonCode::SessionTakenOver => format!(
                    "another client connected with our client id {client_id:?}; we come back under another"
                ),
                DisconnectReasonCode::ServerShuttingDown => {
                    format!("the broker at {broker} is shutting down")
                }
                code => {
                    let said = reason_string.as_deref().unwrap_or("and gave no reason");
                    format!("the broker at {broker} ended the connection ({code:?}): {said}")
                }
            }
        }
        ConnectionError::MqttState(StateError::AwaitPingResp) => {
            format!("the broker at {broker} did not answer a ping")
        }
        error if is_closed_by_peer(error) => {
            format!("the broker at {broker} closed the connection; its log may say why")
        }
        error if was_connected => {
            format!("the connection to the broker at {broker} broke: {error}")
        }
        error => format!("cannot connect to the broker at {broker}: {error}"),
    }
}

/// Says whether the other end closed the connection. When bytes of ours were still on their way at that moment, the system
/// reports a reset, or a broken pipe, in place of the end of the stream.
fn is_closed_by_peer(error: &ConnectionError) -> bool {
    use std::io::ErrorKind;

    let error = match error {
        ConnectionError::MqttState(StateError::ConnectionAborted) => return true,
        ConnectionError::MqttState(StateError::Deserialization(mqttbytes::Error::Io(error)))
        | ConnectionError::MqttState(StateError::Io(error))
        | ConnectionError::Io(error) => error,
        _ => return false,
    };
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::UnexpectedEof
    )
}
