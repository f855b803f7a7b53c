//! Tests of the store on SQLite, seen from outside.

mod child;
mod conformance;
mod copies;
mod damage;
mod full;
mod opening;
mod records;
mod retention;
mod secrets;
mod support;
mod upgrade;
