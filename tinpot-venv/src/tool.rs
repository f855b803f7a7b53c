//! The programs that build environments: uv, or `venv` and pip.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tinpot_core::{Error, ErrorKind, Result};

use crate::interpreter::{Interpreter, find};

/// A command of a build.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Variables besides those of all steps.
    pub variables: Vec<(OsString, OsString)>,
}

/// The packages of an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packages<'a> {
    /// None.
    Nothing,
    /// Those in a file of requirements. `pylock.toml` is one for uv.
    File(&'a Path),
    /// Those of a `uv.lock` in a folder, which may be older than its `pyproject.toml`.
    Frozen(&'a Path),
    /// Those of a `uv.lock` in a folder, with those of groups. An outdated lock is an error.
    Locked(&'a Path, &'a [String]),
}

/// The program that builds environments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `venv` and `pip` of the interpreter.
    Pip,
    /// uv, which is much faster.
    Uv(PathBuf),
}

impl Tool {
    /// Finds the tool on the path. `only_uv` names what only uv can read.
    ///
    /// # Errors
    /// `Unavailable` if uv is needed and is not there.
    pub fn find(variables: &[(OsString, OsString)], only_uv: Option<&str>) -> Result<Self> {
        match (find("uv", variables), only_uv) {
            (Some(uv), _) => Ok(Self::Uv(uv)),
            (None, Some(what)) => {
                let message = format!(
                    "{what} needs uv, which this worker does not have: install uv, or use a \
                     requirements.txt"
                );
                Err(Error::new(ErrorKind::Unavailable, message))
            }
            (None, None) => Ok(Self::Pip),
        }
    }

    /// Returns the name for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pip => "pip",
            Self::Uv(_) => "uv",
        }
    }

    /// Returns the part of the key of an environment.
    pub fn identity(&self) -> String {
        match self {
            Self::Pip => "pip".to_owned(),
            Self::Uv(path) => {
                let metadata = fs::metadata(path).ok();
                let stamp = metadata.map(|metadata| (metadata.ino(), metadata.mtime()));
                format!("uv {stamp:?}")
            }
        }
    }

    /// Returns the command that writes the packages of a script to a list; `None` without uv.
    pub(crate) fn export(
        &self,
        script: &Path,
        list: &Path,
        python: &Interpreter,
        is_locked: bool,
    ) -> Option<Step> {
        let Self::Uv(uv) = self else { return None };
        let words = Words::new(uv.as_os_str()).and(["export", "--script"]).path(script);
        let words = words.and(["--no-emit-package", "tinpot", "--python"]);
        let words = words.path(&python.executable).and(["--output-file"]).path(list);
        let words = if is_locked { words.and(["--locked"]) } else { words };
        Some(words.variable("UV_PYTHON_DOWNLOADS", "never").step())
    }

    /// Returns the command that creates an environment, and the one that installs into it.
    pub fn steps(
        &self,
        path: &Path,
        python: &Interpreter,
        packages: Packages<'_>,
    ) -> (Step, Option<Step>) {
        match self {
            Self::Pip => pip(path, python, packages),
            Self::Uv(uv) => with_uv(uv, path, python, packages),
        }
    }
}

fn pip(path: &Path, python: &Interpreter, packages: Packages<'_>) -> (Step, Option<Step>) {
    let base = python.executable.as_os_str();
    let mut create = Words::new(base).and(["-m", "venv"]);
    let Packages::File(file) = packages else {
        // It takes seconds, and nothing needs it.
        return (create.and(["--without-pip"]).path(path).step(), None);
    };
    let inside = path.join("bin/python");
    let install = match python.has_pip() {
        true => {
            create = create.and(["--without-pip"]);
            Words::new(base).and(["-m", "pip", "--python"]).path(&inside)
        }
        false => Words::new(inside.as_os_str()).and(["-m", "pip"]),
    };
    let install =
        install.and(["--disable-pip-version-check", "--no-input", "install", "-r"]).path(file);
    (create.path(path).step(), Some(install.step()))
}

fn with_uv(
    uv: &Path,
    path: &Path,
    python: &Interpreter,
    packages: Packages<'_>,
) -> (Step, Option<Step>) {
    let uv = || Words::new(uv.as_os_str());
    let create = uv().and(["venv", "--no-project", "--python"]).path(&python.executable);
    let sync = |folder: &Path, freshness: &str| {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let words = ["sync", freshness, "--no-install-project", "--no-dev", "--project"];
        uv().and(words).path(folder).variable("UV_PROJECT_ENVIRONMENT", path)
    };
    let install = match packages {
        Packages::Nothing => None,
        Packages::File(file) => {
            let inside = path.join("bin/python");
            Some(uv().and(["pip", "install", "--python"]).path(&inside).and(["-r"]).path(file))
        }
        Packages::Frozen(folder) => Some(sync(folder, "--frozen")),
        Packages::Locked(folder, groups) => {
            let words = sync(folder, "--locked").and(["--no-install-package", "tinpot"]);
            Some(groups.iter().fold(words, |words, group| words.and(["--group", group])))
        }
    };
    // Interpreters are never downloaded unless the operator allows it.
    let downloads = |words: Words| match std::env::var_os("UV_PYTHON_DOWNLOADS") {
        Some(_) => words,
        None => words.variable("UV_PYTHON_DOWNLOADS", "never"),
    };
    (downloads(create.path(path)).step(), install.map(|install| downloads(install).step()))
}

/// A command in the making.
#[derive(Debug)]
struct Words(Step);

impl Words {
    fn new(program: &OsStr) -> Self {
        Self(Step { command: vec![program.to_owned()], variables: Vec::new() })
    }

    fn and<'a>(mut self, words: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.command.extend(words.into_iter().map(OsString::from));
        self
    }

    fn path(mut self, path: &Path) -> Self {
        self.0.command.push(path.into());
        self
    }

    fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.0.variables.push((name.into(), value.into()));
        self
    }

    fn step(self) -> Step {
        self.0
    }
}

/// Returns true for variables that select indexes and the like.
pub fn is_of_tool(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("PIP_") || name.starts_with("UV_")
}
