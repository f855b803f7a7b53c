//! The tests of tinpot-bundle.

mod action;
mod apps;
mod apps_active;
mod apps_folders;
mod blob_mutants;
mod blobs;
mod collect;
mod diff;
mod fuzzed;
mod measured;
mod packing;
mod tarball;
mod towerfile;
mod unpacking;
mod uploads;
