//! The scenes, by subject.

mod cancel;
mod dispatch;
mod drain;
mod epochs;
mod frames;
mod introduction;
mod leases;
mod logs;
mod mixed;
mod probes;
mod results;
mod sealed;
mod slots;

use crate::scene::Scene;

/// All groups of scenes.
pub(crate) const GROUPS: &[&[Scene]] = &[
    introduction::SCENES,
    dispatch::SCENES,
    slots::SCENES,
    cancel::SCENES,
    results::SCENES,
    leases::SCENES,
    epochs::SCENES,
    probes::SCENES,
    drain::SCENES,
    logs::SCENES,
    frames::SCENES,
    sealed::SCENES,
    mixed::SCENES,
];
