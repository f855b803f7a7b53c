//! The interpreter of the process, and the actions that it has imported.

use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};
use tinpot_core::executor::ActionSet;
use tokio::sync::oneshot;

use super::start::{self, Handlers};
use crate::child_text;
use crate::discovered::Discovered;
use crate::error::PythonError;
use crate::package::FILES;
use crate::python::Python as Probed;

/// Makes the package importable from memory.
///
/// The importer comes first, so that an installed `tinpot` does not replace this package.
const IMPORTER: &str = r#"
import importlib.util, sys

class TinpotImporter:
    def __init__(self, files):
        self.files = files

    def _find(self, name):
        path = name.replace(".", "/")
        for file, is_package in ((path + "/__init__.py", True), (path + ".py", False)):
            if file in self.files:
                return file, is_package
        return None, False

    def find_spec(self, name, path=None, target=None):
        file, is_package = self._find(name)
        if file is None:
            return None
        origin = "/<tinpot>/" + file
        spec = importlib.util.spec_from_loader(name, self, origin=origin, is_package=is_package)
        spec.has_location = True
        return spec

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        file = module.__spec__.origin
        exec(compile(self.get_source(module.__name__), file, "exec"), module.__dict__)

    def get_source(self, name):
        return self.files[self._find(name)[0]]

sys.meta_path.insert(0, TinpotImporter(files))
"#;

/// The interpreter, with the functions that Rust calls.
pub(super) struct Interpreter {
    pub(super) attempt: Py<PyAny>,
    pub(super) run: Py<PyAny>,
    pub(super) finish: Py<PyAny>,
    pub(super) stop: Py<PyAny>,
    discover: Py<PyAny>,
    /// The function that Python sets as the handler of signals.
    signal_handler: usize,
    /// The mark of markup lines, which an attempt cannot print by accident.
    pub(super) mark: String,
    /// The chosen environment, if any.
    python: Option<Probed>,
}

/// The callables of one directory, by name.
pub(super) struct Actions(HashMap<String, Arc<Py<PyAny>>>);

impl Actions {
    pub(super) fn find(&self, name: &str) -> Option<Arc<Py<PyAny>>> {
        self.0.get(name).cloned()
    }
}

/// Starts the interpreter unless it runs already, and imports the actions below `root`.
pub(super) async fn start(
    root: PathBuf,
    python: Option<Probed>,
    timeout: Duration,
) -> Result<(&'static Interpreter, Actions, ActionSet), PythonError> {
    let (send, receive) = oneshot::channel();
    let importing = Arc::new(Mutex::new(None));
    let seen = importing.clone();
    // On another thread: an import may never end.
    std::thread::Builder::new()
        .name("tinpot-python-import".to_owned())
        .spawn(move || {
            let handlers = Handlers::keep();
            let found = interpreter(python).and_then(|interpreter| {
                handlers.put_back(interpreter.signal_handler);
                let handlers = Handlers::keep();
                let found = interpreter.discover(root, seen);
                handlers.put_back(interpreter.signal_handler);
                let (actions, action_set) = found?;
                Ok((interpreter, actions, action_set))
            });
            // Fails if the caller has timed out.
            let _ = send.send(found);
        })
        .map_err(PythonError::io("cannot start a thread for the interpreter"))?;
    match tokio::time::timeout(timeout, receive).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => Err(PythonError::Embed("the interpreter's thread panicked".to_owned())),
        Err(_) => {
            let importing = importing.lock().unwrap_or_else(PoisonError::into_inner).take();
            let output = match &importing {
                Some(file) => format!("importing {file}"),
                None => String::new(),
            };
            let importing = importing.into_iter().collect();
            Err(PythonError::Silent { after: timeout, output, importing })
        }
    }
}

/// Returns the interpreter of this process.
fn interpreter(python: Option<Probed>) -> Result<&'static Interpreter, PythonError> {
    static INTERPRETER: OnceLock<Result<Interpreter, String>> = OnceLock::new();
    let chosen = python.clone();
    if let Some(python) = &chosen {
        start::check(python)?;
    }
    let started = INTERPRETER.get_or_init(|| {
        let is_inside = match &python {
            Some(python) => start::start(python)?,
            None => false,
        };
        Python::initialize();
        Python::attach(|py| Interpreter::load(py, python, is_inside).map_err(|e| explain(py, &e)))
    });
    let interpreter = started.as_ref().map_err(|e| PythonError::Embed(e.clone()))?;
    if chosen.is_some() && chosen != interpreter.python {
        let name = |python: &Option<Probed>| match python {
            Some(python) => python.executable.display().to_string(),
            None => "its default".to_owned(),
        };
        return Err(PythonError::Embed(format!(
            "the interpreter of this process uses {} and cannot use {} too: run a second process",
            name(&interpreter.python),
            name(&chosen)
        )));
    }
    Ok(interpreter)
}

impl Interpreter {
    fn load(py: Python<'_>, python: Option<Probed>, is_inside: bool) -> PyResult<Self> {
        let files = PyDict::new(py);
        for (name, text) in FILES {
            files.set_item(name, text)?;
        }
        let globals = PyDict::new(py);
        globals.set_item("files", files)?;
        py.run(&CString::new(IMPORTER)?, Some(&globals), None)?;
        let module = py.import("tinpot._embedded")?;
        if let Some(python) = &python {
            // Its own start has already run what its packages have to run.
            let sites = if is_inside { &[][..] } else { &python.sites[..] };
            let place = (&python.path, sites, &python.prefix, &python.executable);
            module.call_method1("use", place)?;
        }
        let mark = uuid::Uuid::new_v4().simple().to_string();
        module.call_method1("install", (&mark,))?;
        let function = |name: &str| module.getattr(name).map(Bound::unbind);
        Ok(Self {
            attempt: function("Attempt")?,
            run: function("run")?,
            finish: function("finish")?,
            stop: function("stop")?,
            discover: function("discover")?,
            signal_handler: start::python_handler(py),
            mark,
            python,
        })
    }

    fn discover(
        &self,
        root: PathBuf,
        importing: Arc<Mutex<Option<String>>>,
    ) -> Result<(Actions, ActionSet), PythonError> {
        Python::attach(|py| {
            let found = self.call_discover(py, root, importing);
            let (action_set, actions) = found.map_err(|e| PythonError::Embed(explain(py, &e)))?;
            let discovered: Discovered = child_text::read(&action_set)
                .map_err(|source| PythonError::Malformed { source })?;
            Ok((Actions(actions), discovered.into_action_set(Vec::new())))
        })
    }

    #[allow(clippy::type_complexity, reason = "used once, two lines above")]
    fn call_discover(
        &self,
        py: Python<'_>,
        root: PathBuf,
        importing: Arc<Mutex<Option<String>>>,
    ) -> PyResult<(Vec<u8>, HashMap<String, Arc<Py<PyAny>>>)> {
        let note =
            PyCFunction::new_closure(py, None, None, move |args: &Bound<'_, PyTuple>, _| {
                let file: String = args.get_item(0)?.extract()?;
                *importing.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
                PyResult::Ok(())
            })?;
        let root = root.into_os_string();
        let found = self.discover.bind(py).call1((root, note))?;
        let (action_set, entries): (Vec<u8>, Bound<'_, PyDict>) = found.extract()?;
        let entries = entries
            .iter()
            .map(|(name, entry)| Ok((name.extract::<String>()?, Arc::new(entry.unbind()))));
        Ok((action_set, entries.collect::<PyResult<_>>()?))
    }
}

/// Describes an exception of the package's own code.
fn explain(py: Python<'_>, error: &PyErr) -> String {
    let traceback = error.traceback(py).and_then(|traceback| traceback.format().ok());
    format!("the embedded interpreter failed: {error}\n{}", traceback.unwrap_or_default())
}

impl fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interpreter").field("python", &self.python).finish_non_exhaustive()
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
