//! The command as a process, with a terminal and without.

mod access;
mod away;
mod clients;
mod codes;
mod completion;
mod configuration;
mod deploy;
mod dev;
mod docs;
mod ids;
mod interrupts;
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
