//! The promises of the crate, seen from outside.

mod codec;
mod gateway;
mod guest;
mod keys;
mod random;
mod shared;
mod vectors;
