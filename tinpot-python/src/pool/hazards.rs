//! Hazards: things in a template that its copies cannot share, and the files that are imported late
//! because of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tinpot_core::LoadError;

use crate::child_text::load_error;
use crate::discovered::Discovered;
use crate::limits::LimitsByAction;

/// The advice for the user.
const ADVICE: &str = "open it in the function, or in the `setup()` of a class, to have the file \
                      copied with the others";

/// The things that keep an interpreter that has imported the actions from being copied.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Hazards {
    /// The reason why it cannot be copied without any of its files; empty if it can.
    pub(crate) reason: String,
    /// The files to import in each copy, with the reasons.
    pub(crate) files: BTreeMap<String, String>,
}

impl Hazards {
    /// Returns true if the interpreter can be copied.
    pub(crate) fn is_empty(&self) -> bool {
        self.reason.is_empty() && self.files.is_empty()
    }
}

/// The files that a template leaves to its copies, and the settings of their actions.
#[derive(Clone, Debug, Default)]
pub(super) struct LateFiles {
    /// The reasons, by file.
    pub(super) files: BTreeMap<String, String>,
    pub(super) actions: BTreeSet<String>,
    pub(super) limits: LimitsByAction,
}

impl LateFiles {
    /// Returns the files, with what was found in them.
    pub(super) fn of(files: BTreeMap<String, String>, found: &Discovered) -> Self {
        let owners = found.owners().into_iter();
        let actions: BTreeSet<_> =
            owners.filter_map(|(name, file)| files.contains_key(&file).then_some(name)).collect();
        let mut limits = found.limits();
        limits.retain(|name, _| actions.contains(name));
        Self { files, actions, limits }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Returns the notices for people.
    pub(super) fn notices(&self) -> impl Iterator<Item = LoadError> {
        self.files.iter().map(|(file, reason)| {
            let message = format!(
                "each interpreter imports this file itself, before it runs an action of it: \
                 {reason}\nIf that is slow, {ADVICE}."
            );
            load_error(file, &message).notice()
        })
    }
}

/// Returns the notices of a directory whose files are not copied.
pub(super) fn of_directory(place: &str, hazards: &Hazards) -> Vec<LoadError> {
    let notice = |place: &str, reason: &str| {
        let message = format!(
            "each interpreter imports all files of the directory itself: {reason}\n\
             If that is slow, {ADVICE}."
        );
        load_error(place, &message).notice()
    };
    match hazards.files.is_empty() {
        true => vec![notice(place, &hazards.reason)],
        false => hazards.files.iter().map(|(file, reason)| notice(file, reason)).collect(),
    }
}
