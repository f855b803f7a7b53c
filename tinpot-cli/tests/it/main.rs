//! The command as a process, with a terminal and without.

mod access;
mod action_bundles;
mod apps;
mod at_server;
mod attacks;
mod away;
mod broker_acl;
mod bundles;
mod clients;
mod codes;
mod completion;
mod configuration;
mod deploy;
mod dev;
mod docs;
mod http_workers;
mod ids;
mod interrupts;
mod joining;
mod local;
mod metrics;
#[cfg(feature = "moor")]
mod moor;
mod mqtt_gateway;
mod oidc;
mod pipes;
mod privacy;
mod python;
mod reference;
mod restored;
mod run;
mod secrets;
mod sign_in;
mod steering;
mod support;
mod tables;
mod teams;
mod terminal;
mod tls;
mod tokens;
mod tower;
mod tower_import;
mod traces;
#[cfg(feature = "otel")]
mod traces_export;
mod zmq;
