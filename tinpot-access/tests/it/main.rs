//! Tests of access control, seen from outside.

mod audit;
mod directory;
mod external;
#[cfg(feature = "passwords")]
mod login;
mod login_requests;
#[cfg(feature = "passwords")]
mod passwords;
mod rules;
mod secret_store;
mod sign_ins;
mod store_key;
mod stored_credentials;
mod support;
mod teams;
mod throttle;
mod tickets;
mod tokens;
mod worker_keys;
