//! Callers, their rights, and the policies that decide on them.

mod caller;
mod policy;

pub use self::caller::{Caller, Right};
pub use self::policy::{AllowAll, Decision, Policy};
