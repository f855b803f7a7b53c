//! End-to-end tests: one binary, one module per subject.

mod broker_restart;
mod children;
mod children_kills;
mod containment;
mod disk;
mod examples;
mod healing;
mod input;
mod link;
mod multi_worker;
mod network;
mod operations;
mod output;
mod power;
mod processes;
mod proxy;
mod recovery;
mod reverse_proxy;
mod seed_actions;
mod sign_in_proxy;
mod standalone;
mod steps;
mod takeover;
mod types;
mod wall_clock;
mod workers;
