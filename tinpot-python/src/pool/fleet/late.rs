//! Late files: copies of the template import them.

use std::sync::Arc;

use super::super::interpreter::Interpreter;
use super::super::launch::Launch;
use super::super::template::Template;
use super::{Fleet, MAX_HUNG, State};
use crate::discovered::Discovered;
use crate::error::PythonError;
use crate::isolation::IsolationByAction;

/// The first interpreter of a generation, and the template, of which it may be a copy.
#[derive(Debug)]
pub(in crate::pool) struct First {
    pub(super) template: Option<Arc<Template>>,
    pub(super) interpreter: Option<Interpreter>,
    /// The isolation of the actions that declare one.
    pub(in crate::pool) isolation: Arc<IsolationByAction>,
}

impl First {
    /// Makes an interpreter a template, if it can be one.
    pub(in crate::pool) fn of(mut first: Interpreter) -> Self {
        let isolation = Arc::default();
        match first.template.take() {
            Some(socket) => {
                let template = Some(Arc::new(Template::new(first, socket)));
                Self { template, interpreter: None, isolation }
            }
            None => Self { template: None, interpreter: Some(first), isolation },
        }
    }
}

impl Fleet {
    /// Returns true if an interpreter imports the file of the action late.
    pub(in crate::pool) fn is_late(&self, action: &str) -> bool {
        self.lock().launch.as_ref().is_some_and(|launch| launch.late.actions.contains(action))
    }

    /// Counts an interpreter that did not come to run its attempt. After some in a row no more copies
    /// are made.
    pub(in crate::pool) fn hung(&self, error: &PythonError) {
        tracing::warn!("an interpreter was given up: {}", error.with_cause());
        let template = {
            let mut state = self.lock();
            state.hung += 1;
            if state.hung < MAX_HUNG { None } else { state.template.take() }
        };
        if template.is_some() {
            tracing::warn!("from now on each interpreter imports the files itself");
        }
    }

    /// Returns true if copies have hung, so that none is made any more.
    pub(in crate::pool) fn copies_hang(&self) -> bool {
        self.lock().hung >= MAX_HUNG
    }

    /// Makes an interpreter a template, and a first copy, which imports the files that were left to it.
    pub(in crate::pool) async fn copy_first(
        self: &Arc<Self>,
        launch: &Launch,
        process: Interpreter,
    ) -> Result<(First, Discovered), PythonError> {
        let mut first = First::of(process);
        if let Some(template) = &first.template {
            first.interpreter = Some(self.copy(launch, template).await?);
        }
        let Some(interpreter) = &mut first.interpreter else { return Err(PythonError::Closed) };
        let found = launch.import_late(interpreter, true).await?;
        interpreter.limits.0 = found.limits();
        Ok((first, found))
    }

    /// Copies the template, or starts another interpreter. A copy imports late files in advance if
    /// another one can run the actions of the other files meanwhile.
    pub(super) async fn start_another(
        self: &Arc<Self>,
        launch: &Launch,
        template: Option<Arc<Template>>,
    ) -> Result<Interpreter, PythonError> {
        let mut interpreter = self.start_without_late(launch, template.clone()).await?;
        if interpreter.has_late {
            return Ok(interpreter);
        }
        let Some(importing) = ImportingLate::begin(self) else { return Ok(interpreter) };
        match launch.import_late(&mut interpreter, false).await {
            Ok(_) => Ok(interpreter),
            Err(error) => {
                drop((interpreter, importing));
                self.hung(&error);
                self.start_without_late(launch, template).await
            }
        }
    }
}

/// A starting interpreter that imports late files in advance.
struct ImportingLate<'a>(&'a Fleet);

impl<'a> ImportingLate<'a> {
    /// Returns `None` if there is no time for that: one at a time leaves room for other starts.
    fn begin(fleet: &'a Fleet) -> Option<Self> {
        let mut state = fleet.lock();
        let is_idle = |state: &State| state.idle.iter().any(|idle| !idle.has_late);
        if state.waiting > 0 || state.importing_late > 0 || !is_idle(&state) {
            return None;
        }
        state.importing_late += 1;
        drop(state);
        // An attempt may wait for another one than this.
        fleet.wanted.notify_one();
        Some(Self(fleet))
    }
}

impl Drop for ImportingLate<'_> {
    fn drop(&mut self) {
        self.0.lock().importing_late -= 1;
    }
}
