//! What the crate promises, seen from outside.

mod codec;
mod random;
mod vectors;
