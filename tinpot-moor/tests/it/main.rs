//! The promises of the crate, seen from outside.

mod codec;
mod gateway;
mod keys;
mod random;
mod vectors;
