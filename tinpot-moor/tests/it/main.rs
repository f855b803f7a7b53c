//! What the crate promises, seen from outside.

mod codec;
mod gateway;
mod keys;
mod random;
mod vectors;
