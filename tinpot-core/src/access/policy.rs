//! Policies: which caller may do what.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::caller::{Caller, Right};
use crate::model::visible::{Target, Visible};
use crate::watcher::Watcher;

/// The answer of a policy.
///
/// [`Policy`] has an example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// The caller may do it.
    Allow,
    /// The caller may not do it, but may know that the target exists.
    Deny,
    /// The caller may not know that the target exists.
    Hide,
}

/// Decides which caller may do what.
///
/// # Contract
/// - **In memory**: every method answers from a snapshot, without I/O and without waiting.
/// - **Closed**: without a grant, the answer is `Hide`.
/// - **Quiet**: `Deny` is answered only where the caller has the [right to see](Right::sight) the
///   target, and `Hide` only where the caller has not.
/// - **One view**: `visible` shows exactly the executions on which `decide` allows `Read`.
/// - **One team**: what belongs to a team other than [`Caller::team`] is hidden, except from
///   rights that are about the server.
/// - **Announced**: before an answer changes, the number of the revision has grown.
///
/// # Example
/// Pass a policy to a coordinator with
/// [`CoordinatorBuilder::policy`](crate::CoordinatorBuilder::policy).
///
/// ```
/// use tinpot_core::{AllowAll, Caller, Decision, Policy, Right, Target, Visible, Watcher};
///
/// /// Lets callers see what is in their team, and run, cancel or pause nothing.
/// #[derive(Debug)]
/// struct LookOnly;
///
/// impl Policy for LookOnly {
///     fn decide(&self, caller: &Caller, right: Right, target: &Target<'_>) -> Decision {
///         match AllowAll.decide(caller, right, target) {
///             Decision::Allow if right.sight().is_some() => Decision::Deny,
///             decision => decision,
///         }
///     }
///
///     fn visible(&self, caller: &Caller) -> Visible {
///         AllowAll.visible(caller)
///     }
///
///     fn revision(&self) -> Watcher<u64> {
///         AllowAll.revision()
///     }
/// }
///
/// let (ada, target) = (Caller::new("user:7"), Target::team("default").action("deploy"));
/// assert_eq!(LookOnly.decide(&ada, Right::SeeAction, &target), Decision::Allow);
/// assert_eq!(LookOnly.decide(&ada, Right::Run, &target), Decision::Deny);
/// ```
pub trait Policy: fmt::Debug + Send + Sync + 'static {
    /// Decides if the caller has the right on the target.
    fn decide(&self, caller: &Caller, right: Right, target: &Target<'_>) -> Decision;

    /// Returns the executions that the caller may read, for lists and streams.
    fn visible(&self, caller: &Caller) -> Visible;

    /// Watches the number of the revision, which grows when answers change.
    fn revision(&self) -> Watcher<u64>;
}

macro_rules! forward {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: Policy + ?Sized> Policy for $pointer<T> {
            fn decide(&self, caller: &Caller, right: Right, target: &Target<'_>) -> Decision {
                (**self).decide(caller, right, target)
            }

            fn visible(&self, caller: &Caller) -> Visible {
                (**self).visible(caller)
            }

            fn revision(&self) -> Watcher<u64> {
                (**self).revision()
            }
        }
    };
}

forward!(Arc);
forward!(Box);

/// The policy that allows every caller everything within the caller's own team.
///
/// [`Policy`] has an example.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Policy for AllowAll {
    fn decide(&self, caller: &Caller, right: Right, target: &Target<'_>) -> Decision {
        if right.is_about_server() || *caller.team == *target.team {
            Decision::Allow
        } else {
            Decision::Hide
        }
    }

    fn visible(&self, caller: &Caller) -> Visible {
        Visible::everything(caller.team.clone(), caller.id.clone())
    }

    fn revision(&self) -> Watcher<u64> {
        watch::channel(0).1.into()
    }
}
