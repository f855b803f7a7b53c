//! The servers, from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod connections;
