//! The rights of a caller that are about no object.

use super::Scoped;
use crate::access::Right;
use crate::model::visible::Target;

impl Scoped {
    /// Returns true if the caller has a right over its whole team, or over the server.
    pub fn has(&self, right: Right) -> bool {
        self.allows(right, &Target::team(&self.caller.team))
    }

    /// Returns the rights that the caller has on anything of its team, or over the server. A caller
    /// without one of them has no use for what needs it.
    pub fn rights(&self) -> Vec<Right> {
        // A right on parts of the team is one on this: it is about no action and no queue. A right
        // on the own executions is one on an own execution.
        let anything = Target::team(&self.caller.team).owner(&self.caller.id);
        Right::ALL.iter().copied().filter(|right| self.allows(*right, &anything)).collect()
    }
}
