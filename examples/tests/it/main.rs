//! The conformance suites on the transport and the executor of the examples.

mod custom_executor;
mod custom_transport;
