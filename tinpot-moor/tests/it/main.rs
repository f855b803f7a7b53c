//! What the crate promises, seen from outside.

mod codec;
mod keys;
mod random;
mod vectors;
