//! The one interpreter of the process, and the actions it has imported.

use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};
use tinpot_core::ActionSet;
use tokio::sync::oneshot;

use crate::discovered::Discovered;
use crate::error::PythonError;
use crate::package::FILES;
use crate::python::Python as Probed;

/// Makes the package importable from memory. Before anything else on the way, so that an installed `tinpot` does not take its place.
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
        spec = importlib.util.spec_from_loader(name, self, origin="/<tinpot>/" + file, is_package=is_package)
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

/// What is called in the interpreter.
pub(super) struct Interpreter {
    pub(super) attempt: Py<PyAny>,
    pub(super) run: Py<PyAny>,
    pub(super) settle: Py<PyAny>,
    pub(super) stop: Py<PyAny>,
    discover: Py<PyAny>,
    /// How lines begin that an attempt does not print.
    pub(super) mark: String,
    /// The environment that was chosen, if any.
    python: Option<Probed>,
}

/// The callables of one directory by name.
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
    // A thread of its own: an import may never end.
    std::thread::Builder::new()
        .name("tinpot-python-import".to_owned())
        .spawn(move || {
            let found = interpreter(python).and_then(|interpreter| {
                let (actions, offer) = interpreter.discover(root, seen)?;
                Ok((interpreter, actions, offer))
            });
            // Whoever waited has given up: there is nobody to tell.
            let _ = send.send(found);
        })
        .map_err(PythonError::io("no thread for the interpreter"))?;
    match tokio::time::timeout(timeout, receive).await {
        Ok(Ok(found)) => found,
        Ok(Err(_)) => Err(PythonError::Embed("the interpreter's thread panicked".to_owned())),
        Err(_) => {
            let importing = importing.lock().unwrap_or_else(PoisonError::into_inner).take();
            let said = match &importing {
                Some(file) => format!("it was importing {file}"),
                None => String::new(),
            };
            let importing = importing.into_iter().collect();
            Err(PythonError::Silent { after: timeout, said, importing })
        }
    }
}

/// The interpreter of this process.
fn interpreter(python: Option<Probed>) -> Result<&'static Interpreter, PythonError> {
    static INTERPRETER: OnceLock<Result<Interpreter, String>> = OnceLock::new();
    let asked = python.clone();
    let started = INTERPRETER.get_or_init(|| {
        Python::initialize();
        Python::attach(|py| Interpreter::new(py, python))
    });
    let interpreter = started.as_ref().map_err(|e| PythonError::Embed(e.clone()))?;
    if asked.is_some() && asked != interpreter.python {
        let name = |python: &Option<Probed>| match python {
            Some(python) => python.executable.display().to_string(),
            None => "its default".to_owned(),
        };
        return Err(PythonError::Embed(format!(
            "the interpreter in this process already uses {}, and cannot use {} as well",
            name(&interpreter.python),
            name(&asked)
        )));
    }
    Ok(interpreter)
}

impl Interpreter {
    fn new(py: Python<'_>, python: Option<Probed>) -> Result<Self, String> {
        let version = py.version_info();
        if let Some(python) = &python
            && (python.version.0, python.version.1)
                != (u32::from(version.major), u32::from(version.minor))
        {
            let (major, minor, _) = python.version;
            return Err(format!(
                "{} is Python {major}.{minor}, and this program embeds {}.{}",
                python.executable.display(),
                version.major,
                version.minor
            ));
        }
        Self::load(py, python).map_err(|e| explain(py, &e))
    }

    fn load(py: Python<'_>, python: Option<Probed>) -> PyResult<Self> {
        let files = PyDict::new(py);
        for (name, text) in FILES {
            files.set_item(name, text)?;
        }
        let globals = PyDict::new(py);
        globals.set_item("files", files)?;
        py.run(&CString::new(IMPORTER)?, Some(&globals), None)?;
        let module = py.import("tinpot._embedded")?;
        if let Some(python) = &python {
            let (path, sites) = (&python.path, &python.sites);
            module.call_method1("use", (path, sites, &python.prefix, &python.executable))?;
        }
        let mark = uuid::Uuid::new_v4().simple().to_string();
        module.call_method1("install", (&mark,))?;
        let function = |name: &str| module.getattr(name).map(Bound::unbind);
        Ok(Self {
            attempt: function("Attempt")?,
            run: function("run")?,
            settle: function("settle")?,
            stop: function("stop")?,
            discover: function("discover")?,
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
            let (offer, actions) = found.map_err(|e| PythonError::Embed(explain(py, &e)))?;
            let discovered: Discovered = serde_json::from_slice(&offer)
                .map_err(|source| PythonError::Malformed { source })?;
            Ok((Actions(actions), discovered.into_offer(Vec::new())))
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
        let (offer, entries): (Vec<u8>, Bound<'_, PyDict>) = found.extract()?;
        let entries = entries
            .iter()
            .map(|(name, entry)| Ok((name.extract::<String>()?, Arc::new(entry.unbind()))));
        Ok((offer, entries.collect::<PyResult<_>>()?))
    }
}

/// An exception of our own Python code, in words.
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
