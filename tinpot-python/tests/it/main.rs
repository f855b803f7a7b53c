//! Integration tests of tinpot-python: one binary, one module per subject.

#[cfg(feature = "bundles")]
mod bundle_pools;
mod clean_interpreter;
mod conformance;
mod containment;
mod context;
mod crashes;
mod discovery;
#[cfg(feature = "embed")]
mod embedded;
mod environments;
mod files;
mod forged_replies;
mod healing;
mod interpreters;
mod isolation;
mod late_imports;
mod leftovers;
mod limits;
mod odd_files;
mod output;
mod package;
mod recycling;
mod reload;
mod results;
mod shared_interpreter;
mod support;
mod templates;
mod types;
mod worker_death;
