#![doc = include_str!("../README.md")]

mod build;
mod cache;
mod failpoint;
mod interpreter;
mod key;
mod lazy_cache;
mod mask;
mod prune;
mod request;
mod retry;
mod run;
mod stored;
mod tool;
mod versions;

pub use self::build::{BuildError, Builder, Environment, Record};
pub use self::cache::{Build, Cache, CacheEntry, Found, Kind};
pub use self::interpreter::{Interpreter, Interpreters};
pub use self::key::Key;
pub use self::lazy_cache::LazyCache;
pub use self::mask::mask;
pub use self::prune::{Pruned, prune};
pub use self::request::{
    DirectoryRequest, Origin, Request, Requirements, WantedPython, declares_packages, folder_asks,
    may_ask,
};
pub use self::retry::ask_for_retries;
pub use self::run::Echo;
pub use self::stored::Stored;
pub use self::tool::{Packages, Step, Tool, is_of_tool};
pub use self::versions::Versions;
