//! A scene, and the list of all.

use std::fmt;

use futures::future::BoxFuture;

use crate::miss::Play;
use crate::scenes::GROUPS;
use crate::stage::Stage;

/// The sections of `docs/protocol.md`, by their anchors.
pub(crate) mod section {
    pub(crate) const FRAMES: &str = "frames";
    pub(crate) const LANES: &str = "lanes-and-topics";
    pub(crate) const SEALED: &str = "sealed-frames";
    pub(crate) const SHORT: &str = "a-worker-in-short";
    pub(crate) const UP: &str = "worker--coordinator-lane-control";
    pub(crate) const DOWN: &str = "coordinator--worker-lane-control";
    pub(crate) const LOGS: &str = "lane-logs";
    pub(crate) const EPOCHS: &str = "the-coordinator-that-a-worker-listens-to";
    pub(crate) const LEASES: &str = "leases";
}

type Script = for<'a> fn(&'a mut Stage) -> BoxFuture<'a, Play>;

/// A scene: what a coordinator does, and what a worker has to do then.
#[derive(Clone, Copy)]
pub struct Scene {
    pub(crate) name: &'static str,
    pub(crate) section: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) script: Script,
    pub(crate) is_sealed: bool,
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Scene {
    /// Returns the name: the subject, a slash, and the scene.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the rule that a worker has to follow.
    pub fn rule(&self) -> &'static str {
        self.rule
    }

    /// Returns the place of the rule in the specification.
    pub fn section(&self) -> String {
        link(self.section)
    }
}

/// Returns the address of a section of the specification, in a copy of the repository.
pub(crate) fn link(section: &str) -> String {
    format!("docs/protocol.md#{section}")
}

/// Returns all scenes, by subject.
pub fn scenes() -> impl Iterator<Item = &'static Scene> {
    GROUPS.iter().copied().flatten()
}

/// Writes an entry of a list of scenes.
macro_rules! scene {
    ($name:literal, $section:ident, $script:ident, $rule:literal $(, $sealed:ident)?) => {
        $crate::scene::Scene {
            name: $name,
            section: $crate::scene::section::$section,
            rule: $rule,
            script: |stage| Box::pin($script(stage)),
            is_sealed: false $(|| stringify!($sealed).len() > 0)?,
        }
    };
}
pub(crate) use scene;
