//! The transport over MQTT 5, and an embedded broker with the feature `broker`.
//!
//! Coordinator and workers each connect to the same broker:
//!
#![cfg_attr(feature = "broker", doc = "```")]
#![cfg_attr(not(feature = "broker"), doc = "```ignore")]
//! # #[tokio::main]
//! # async fn main() -> tinpot::Result<()> {
//! use tinpot::mqtt::MqttTransport;
//! use tinpot::mqtt::broker::Broker;
//! use tinpot::{Coordinator, FunctionExecutor, Worker, WorkerId};
//!
//! // A broker in this process; a broker of your own, such as mosquitto, does as well.
//! let address = ([127, 0, 0, 1], 0);
//! let broker = Broker::builder().bind(address).start().await?;
//!
//! let transport = MqttTransport::builder(broker.url()).connect().await?;
//! let coordinator = Coordinator::builder(transport).start().await?;
//!
//! let id = WorkerId::generate("web");
//! let transport = MqttTransport::builder(broker.url()).worker(&id).connect().await?;
//! let executor = FunctionExecutor::builder().build()?;
//! let worker = Worker::builder(transport).id(id).executor(executor).start().await?;
//! # worker.shutdown(std::time::Duration::from_secs(1)).await;
//! # coordinator.shutdown().await;
//! # broker.shutdown().await;
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "broker")]
#[cfg_attr(docsrs, doc(cfg(feature = "broker")))]
#[doc(inline)]
pub use tinpot_mqtt::broker;
#[cfg(feature = "gateway")]
#[cfg_attr(docsrs, doc(cfg(feature = "gateway")))]
#[doc(inline)]
pub use tinpot_mqtt::gateway;
#[doc(inline)]
pub use tinpot_mqtt::{MqttTransport, MqttTransportBuilder};
