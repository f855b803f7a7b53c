//! Tinpot's transport over MQTT 5, and an embedded broker.
//!
//! ```no_run
//! # async fn example() -> tinpot_core::Result<()> {
//! use std::sync::Arc;
//!
//! use tinpot_core::{Transport, WorkerId};
//! use tinpot_mqtt::MqttTransport;
//!
//! let id = WorkerId::generate("web");
//! let transport = MqttTransport::builder("mqtts://broker.example")
//!     .worker(&id)
//!     .user("web")
//!     .password("…")
//!     .connect()
//!     .await?;
//! let transport: Arc<dyn Transport> = Arc::new(transport);
//! # Ok(())
//! # }
//! ```
//!
//! # URLs
//!
//! | URL | connection | port |
//! | --- | --- | --- |
//! | `mqtt://host`, `tcp://host` | TCP | 1883 |
//! | `mqtts://host` | TLS | 8883 |
//! | `ws://host/path` | WebSocket; the path is `/mqtt` when there is none | 80 |
//! | `wss://host/path` | WebSocket over TLS | 443 |
//!
//! `user:password@` may stand before the host, with `@`, `:`, `/`, `?`, `#` and `%` in them written
//! as `%40`, `%3A`, `%2F`, `%3F`, `%23` and `%25`. TLS is rustls on ring; it trusts what the system
//! trusts, or the CA certificate that is set.
//!
//! # Topics
//!
//! With the namespace `tinpot`, for both lanes, which are `control` and `logs`:
//!
//! | topic | written by | read by |
//! | --- | --- | --- |
//! | `tinpot/worker/{name}/{id}/up/{lane}` | this worker | the coordinator, as `tinpot/worker/+/+/up/{lane}` |
//! | `tinpot/worker/{name}/{id}/down/{lane}` | the coordinator | this worker |
//! | `tinpot/workers/{lane}` | the coordinator | all workers |
//!
//! `{id}` is the worker's id and `{name}` the part of it before its last `-`, which is what a
//! worker keeps when it starts again. So a broker can hold every worker to its own topics, with one
//! access list for all of them when the user is called as its workers are. For mosquitto:
//!
//! ```text
//! pattern write tinpot/worker/%u/+/up/+
//! pattern read tinpot/worker/%u/+/down/+
//! pattern read tinpot/workers/+
//! user coordinator
//! topic readwrite tinpot/#
//! ```
//!
//! # Delivery
//!
//! Frames travel with QoS 0, without retained messages and without sessions. QoS 1 would
//! acknowledge that a broker has a frame, at twice the packets; it may still drop it for a reader
//! that is slow or gone. What counts is that the other *end* has it, and that the protocol above
//! acknowledges, end to end, so a second acknowledgement below buys nothing. TCP keeps what is
//! under way whole and in order until a connection breaks; what was under way then is sent again by
//! the protocol.
//!
//! The lanes are two connections, so that a flood of logs fills neither the queues nor the socket
//! of the control lane. Every queue is bounded: a full one on the way out is `Overloaded`; a
//! listener that does not read loses frames, with a warning.
//!
//! # Broker
//!
//! Any broker for MQTT 5. mosquitto drops frames for a client for which more than
//! `max_queued_messages` (1000) wait; set it to 10000 or more for busy systems. `max_packet_size`,
//! if set, has to leave room for frames of 4 MiB. mosquitto 2.0.11 writes no more than 4 KiB per
//! 100 ms to a WebSocket: with that version, use WebSockets for small frames only.
//!
//! # Features
//!
//! | feature | default | what it adds |
//! | --- | --- | --- |
#![cfg_attr(
    feature = "broker",
    doc = "| `broker` | no | [`broker`]: an MQTT broker within the process |"
)]
#![cfg_attr(not(feature = "broker"), doc = "| `broker` | no | an MQTT broker within the process |")]
#![cfg_attr(
    feature = "gateway",
    doc = "| `gateway` | no | [`gateway`]: actions for any MQTT client |"
)]
#![cfg_attr(not(feature = "gateway"), doc = "| `gateway` | no | actions for any MQTT client |")]

mod address;
#[cfg(feature = "broker")]
pub mod broker;
mod config;
mod connection;
mod error;
#[cfg(feature = "gateway")]
pub mod gateway;
mod lane;
mod listeners;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
mod topics;
mod transport;

pub use self::config::MqttTransportBuilder;
pub use self::transport::MqttTransport;
