#![doc = include_str!("../README.md")]

mod api;
mod caller;
mod config;
mod cors;
mod dispatch;
mod gateway;
mod ids;
#[cfg(feature = "import")]
mod import;
mod observed;
mod route;
mod tower;
mod wire;

pub use self::config::TowerConfig;
pub use self::dispatch::{ClientAddress, router, router_before};
pub use self::gateway::{Gateway, RUNNER_RECORDS, RunnerUpkeep};
#[cfg(feature = "import")]
pub use self::import::{ActiveRuns, ImportTarget, Imported, MiniTower, import, is_minitower};
pub use self::observed::AnsweredRequest;
pub use self::tower::Tower;
