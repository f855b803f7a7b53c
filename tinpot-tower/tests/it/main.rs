//! Conversations as MiniTower's clients have them, with a server on a socket.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod apps;
mod cors;
mod gateway;
mod kills;
mod runners;
mod runs;
mod stronger;
mod support;
mod teams;
mod wire;
