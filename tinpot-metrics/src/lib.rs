#![doc = include_str!("../README.md")]

mod bounded;
mod coordinator;
mod descriptions;
mod error;
mod http;
mod link;
mod minitower;
mod observer;
#[cfg(target_os = "linux")]
mod process;
mod series;
mod state;
mod worker;

pub use self::descriptions::{Description, Kind, Program, descriptions};
pub use self::minitower::{
    MinitowerObserver, MinitowerPending, MinitowerRequest, minitower_descriptions,
};
pub use self::observer::PrometheusObserver;
