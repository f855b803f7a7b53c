//! The command as a process, with a terminal and without.

mod access;
mod attacks;
mod away;
mod broker_acl;
mod clients;
mod codes;
mod completion;
mod configuration;
mod deploy;
mod dev;
mod docs;
mod ids;
mod interrupts;
mod joining;
mod local;
mod pipes;
mod privacy;
mod reference;
mod run;
mod secrets;
mod steering;
mod support;
mod tables;
mod terminal;
mod tls;
mod tokens;
