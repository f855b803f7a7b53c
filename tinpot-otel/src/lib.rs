#![doc = include_str!("../README.md")]

mod exporter;
mod http;
mod json;
mod observer;
mod pairs;
mod queue;
mod span;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::exporter::{SpanExporter, SpanExporterBuilder};
pub use self::observer::SpanObserver;
pub use self::pairs::pairs;
