//! The tests of tinpot-bundle.

mod blob_mutants;
mod blobs;
mod tarball;
mod towerfile;
mod unpacking;
