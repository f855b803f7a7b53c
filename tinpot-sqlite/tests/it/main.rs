//! Tests of the store on SQLite, seen from outside.

mod conformance;
