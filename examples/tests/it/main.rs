//! The conformance suites on the transport, the executor and the store of the examples.

mod custom_executor;
mod custom_store;
mod custom_transport;
