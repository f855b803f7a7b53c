//! Starts CPython in a chosen environment, and leaves the signals of the program alone.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;

use pyo3::ffi;
use pyo3::prelude::*;

use crate::error::PythonError;
use crate::python::Python as Probed;

/// Mark of the builds of CPython whose compiled packages can be loaded; empty if the
/// build did not find out.
const ABI: &str = match option_env!("TINPOT_EMBED_ABI") {
    Some(abi) => abi,
    None => "",
};
/// The signals that programs have handlers for.
const SIGNALS: std::ops::RangeInclusive<i32> = 1..=31;

/// Checks that the packages of an interpreter can be used in this process. CPython itself would
/// start in the environment of another version, and find no packages.
///
/// # Errors
/// Fails if its version or its ABI is not the embedded one.
pub(super) fn check(python: &Probed) -> Result<(), PythonError> {
    let (major, minor, _) = python.version;
    let embedded = version();
    let of = |abi: &str| if abi.is_empty() { String::new() } else { format!(" ({abi})") };
    let is_same_abi = ABI.is_empty() || python.abi.is_empty() || ABI == python.abi;
    if embedded == format!("{major}.{minor}") && is_same_abi {
        return Ok(());
    }
    let path = python.executable.display();
    Err(PythonError::Embed(format!(
        "{path} is Python {major}.{minor}{}; this program embeds {embedded}{}. Run it without \
         --in-process, which takes any Python from 3.9, or build with PYO3_PYTHON={path}",
        of(&python.abi),
        of(ABI)
    )))
}

/// Returns the embedded version, such as `3.11`.
#[allow(unsafe_code, reason = "a function of C, which may be called before the start")]
fn version() -> String {
    // SAFETY: CPython returns a static text.
    let text = unsafe { CStr::from_ptr(ffi::Py_GetVersion()) }.to_string_lossy();
    let parts: Vec<_> = text.split(['.', ' ']).take(2).collect();
    parts.join(".")
}

/// Starts the interpreter in the environment of `python`, unless it runs already. Returns true if it
/// was started so.
///
/// # Errors
/// Fails with the reason of CPython.
#[allow(unsafe_code, reason = "no safe function starts CPython in an environment")]
pub(super) fn start(python: &Probed) -> Result<bool, String> {
    let program = CString::new(python.executable.as_os_str().as_bytes())
        .map_err(|_| format!("{} has a zero byte", python.executable.display()))?;
    // SAFETY: It may be called at any time.
    if unsafe { ffi::Py_IsInitialized() } != 0 {
        return Ok(false);
    }
    let mut before = MaybeUninit::<ffi::PyPreConfig>::uninit();
    // SAFETY: CPython writes every field.
    let mut before = unsafe {
        ffi::PyPreConfig_InitPythonConfig(before.as_mut_ptr());
        before.assume_init()
    };
    // Settings of the shell are for programs, and the environment is the worker's.
    (before.use_environment, before.parse_argv, before.coerce_c_locale) = (0, 0, 0);
    // SAFETY: The interpreter does not run, and the configuration is complete.
    checked(unsafe { ffi::Py_PreInitialize(&before) })?;
    let mut config = MaybeUninit::<ffi::PyConfig>::uninit();
    // SAFETY: CPython writes every field; `config` stays where it is until it is cleared.
    unsafe {
        ffi::PyConfig_InitPythonConfig(config.as_mut_ptr());
        let config = config.assume_init_mut();
        (config.use_environment, config.parse_argv) = (0, 0);
        (config.install_signal_handlers, config.configure_c_stdio) = (0, 0);
        // The search for the paths begins at the program, and finds `pyvenv.cfg` next to it.
        let name = &raw mut config.program_name;
        let mut status = ffi::PyConfig_SetBytesString(config, name, program.as_ptr());
        if ffi::PyStatus_Exception(status) == 0 {
            status = ffi::Py_InitializeFromConfig(config);
        }
        ffi::PyConfig_Clear(config);
        checked(status)?;
        // Other threads attach to it.
        ffi::PyEval_SaveThread();
    }
    Ok(true)
}

/// Returns the error in a status.
#[allow(unsafe_code, reason = "a status of C")]
fn checked(status: ffi::PyStatus) -> Result<(), String> {
    // SAFETY: The message is null or a static text.
    unsafe {
        if ffi::PyStatus_Exception(status) == 0 {
            return Ok(());
        }
        let why = match status.err_msg.is_null() {
            true => "no reason given".into(),
            false => CStr::from_ptr(status.err_msg).to_string_lossy(),
        };
        Err(format!("cannot start the embedded interpreter: {why}"))
    }
}

/// The handlers of signals at one moment.
///
/// The first import of `signal` takes SIGINT if the program has no handler for it yet, and a file may
/// set handlers when it is imported. Both would keep the worker from ending in order.
pub(super) struct Handlers(Vec<(i32, libc::sigaction)>);

impl Handlers {
    /// Notes the present ones.
    pub(super) fn keep() -> Self {
        Self(SIGNALS.filter_map(|signal| Some((signal, handler(signal)?))).collect())
    }

    /// Puts back those that Python code has replaced. `python` is the function that Python sets. What
    /// the program itself has set meanwhile stays.
    #[allow(unsafe_code, reason = "handlers of C functions cannot be set by safe functions")]
    pub(super) fn put_back(self, python: usize) {
        let is_function = |handler: usize| handler != libc::SIG_DFL && handler != libc::SIG_IGN;
        for (signal, action) in self.0 {
            let Some(now) = handler(signal).map(|now| now.sa_sigaction) else { continue };
            let before = action.sa_sigaction;
            if now != before && (now == python || is_function(before) && !is_function(now)) {
                // SAFETY: It was the handler of the program, whose code is still there.
                unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
            }
        }
    }
}

/// Returns the function that Python sets as the handler of every signal; 0 if it cannot be found out,
/// because other code has started the interpreter.
pub(super) fn python_handler(py: Python<'_>) -> usize {
    let find = || {
        let signal = py.import("signal")?;
        // Nothing happens if it comes meanwhile.
        let urgent = signal.getattr("SIGURG")?;
        let other = signal.getattr("default_int_handler")?;
        let before = signal.call_method1("signal", (&urgent, other))?;
        let found = handler(libc::SIGURG).map_or(0, |action| action.sa_sigaction);
        signal.call_method1("signal", (urgent, before))?;
        PyResult::Ok(found)
    };
    find().unwrap_or_default()
}

#[allow(unsafe_code, reason = "handlers of C functions cannot be read by safe functions")]
fn handler(signal: i32) -> Option<libc::sigaction> {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: It only reads, and writes the whole structure if it succeeds.
    let done = unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: See above.
    (done == 0).then(|| unsafe { action.assume_init() })
}
