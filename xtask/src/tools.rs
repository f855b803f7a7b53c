//! The programs that the checks need, and how to get them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::output;

/// A program or a file that some step cannot do without.
struct Tool {
    name: &'static str,
    why: &'static str,
    found: fn() -> Option<String>,
    /// Debian's packages that bring it; empty when they do not.
    packages: &'static [&'static str],
    elsewhere: &'static str,
}

const TOOLS: &[Tool] = &[
    Tool {
        name: "mosquitto",
        why: "the MQTT tests start brokers of their own",
        found: || program("mosquitto").map(|path| path.display().to_string()),
        packages: &["mosquitto"],
        elsewhere: "dnf install mosquitto | pacman -S mosquitto | brew install mosquitto",
    },
    Tool {
        name: "nginx",
        why: "the tests of reverse proxies start one",
        found: || program("nginx").map(|path| path.display().to_string()),
        packages: &["nginx-light"],
        elsewhere: "dnf install nginx | pacman -S nginx | brew install nginx",
    },
    Tool {
        name: "prometheus and promtool",
        why: "the `monitoring` step checks the alert rules, and a test lets one read metrics",
        found: || {
            let at = program("prometheus").filter(|_| program("promtool").is_some());
            at.map(|path| path.display().to_string())
        },
        packages: &["prometheus"],
        elsewhere: "dnf install golang-github-prometheus | pacman -S prometheus | brew install prometheus",
    },
    Tool {
        name: "python3 (3.9 or newer)",
        why: "the tests of the Python pool start interpreters",
        found: python_version,
        packages: &["python3"],
        elsewhere: "dnf install python3 | pacman -S python | brew install python",
    },
    Tool {
        name: "virtual environments of python3 (3.11 or newer)",
        why: "the `api`, `deploy`, `python-lint`, `vectors`, `wheel` and `workers` steps install their programs into one, with pip",
        found: crate::api::venv,
        packages: &["python3-venv"],
        elsewhere: "part of python3 elsewhere",
    },
    Tool {
        name: "systemd-analyze",
        why: "the `deploy` step verifies the units of systemd with it",
        found: || program("systemd-analyze").map(|path| path.display().to_string()),
        packages: &["systemd"],
        elsewhere: "part of systemd",
    },
    Tool {
        name: "dpkg-deb, objdump and strip",
        why: "the `debian` step makes a package with them",
        found: || {
            let all = ["dpkg-deb", "objdump", "strip"].map(program);
            all.iter()
                .all(Option::is_some)
                .then(|| all[0].as_ref().map(|path| path.display().to_string()))?
        },
        packages: &["dpkg", "binutils"],
        elsewhere: "dnf install dpkg binutils | pacman -S dpkg binutils | brew install dpkg binutils",
    },
    Tool {
        name: "a python3 to link with (headers and a shared library)",
        why: "the `embed` steps link CPython into the worker",
        found: || python_to_link().map(|python| python.display().to_string()),
        packages: &["python3", "libpython3-dev"],
        elsewhere: "dnf install python3-devel | pacman -S python | brew install python; \
                    or name an interpreter in PYO3_PYTHON",
    },
    Tool {
        name: "node (20 or newer) and npm",
        why: "the `ui` and `browser` steps build and test the web UI, and the `workers` step a worker library; `python-lint` runs pyright; the tests start an identity provider",
        found: crate::ui::node_version,
        packages: &[],
        elsewhere: "from nodejs.org or the package manager; Debian 12 has 18, which is too old",
    },
    Tool {
        name: "go (1.24 or newer)",
        why: "the `workers` step tests the worker library and a client in Go",
        found: crate::workers::go_version,
        packages: &[],
        elsewhere: "from go.dev or the package manager; Debian 12 has 1.19, which is too old",
    },
    Tool {
        name: "chromium",
        why: "the `browser` step opens pages in it, as /usr/bin/chromium or what CHROMIUM names",
        found: || {
            let named = env::var_os("CHROMIUM").map(PathBuf::from).filter(|path| path.is_file());
            named.or_else(|| program("chromium")).map(|path| path.display().to_string())
        },
        packages: &["chromium", "fonts-dejavu-core"],
        elsewhere: "dnf install chromium | pacman -S chromium; or name a browser in CHROMIUM",
    },
    Tool {
        name: "rustfmt and clippy",
        why: "the `fmt` and `clippy` steps",
        found: || {
            output("cargo", &["fmt", "--version"]).ok()?;
            output("cargo", &["clippy", "--version"]).ok().map(|version| version.trim().to_owned())
        },
        packages: &[],
        elsewhere: "rustup component add rustfmt clippy",
    },
];

/// Says where each tool is, or what to install.
pub(crate) fn check() -> Result<String, String> {
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for tool in TOOLS {
        match (tool.found)() {
            Some(at) => found.push(format!("{}: {at}", tool.name)),
            None => missing.push(advice(tool)),
        }
    }
    if missing.is_empty() { Ok(found.join("\n")) } else { Err(missing.join("\n")) }
}

/// Installs missing tools from the distribution's packages, if that needs no question.
pub(crate) fn install_missing() -> Result<(), String> {
    let missing: Vec<_> = TOOLS.iter().filter(|tool| (tool.found)().is_none()).collect();
    let mut packages: Vec<_> = missing.iter().flat_map(|tool| tool.packages).copied().collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let said = || missing.iter().map(|tool| advice(tool)).collect::<Vec<_>>().join("\n");
    let Some(mut command) = apt_get() else { return Err(said()) };
    // The lists of a fresh machine or image are empty or old.
    let install: Vec<_> =
        ["install", "--yes", "--no-install-recommends"].into_iter().chain(packages).collect();
    for arguments in [vec!["update"], install] {
        command.extend(arguments.iter().map(|&word| word.to_owned()));
        println!("$ {}", command.join(" "));
        let status = Command::new(&command[0]).args(&command[1..]).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(format!("`{}` failed\n{}", command.join(" "), said()));
        }
        command.truncate(command.len() - arguments.len());
    }
    Ok(())
}

/// Returns the words that call apt-get without a question, if that is possible here.
fn apt_get() -> Option<Vec<String>> {
    program("apt-get")?;
    let quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
    let root = output("id", &["-u"]).is_ok_and(|id| id.trim() == "0");
    let prefix: &[&str] = if root {
        &[]
    } else if output("sudo", &["-n", "true"]).is_ok() {
        &["sudo", "-n"]
    } else {
        return None;
    };
    Some(prefix.iter().chain(&quiet).map(|&word| word.to_owned()).collect())
}

fn advice(tool: &Tool) -> String {
    let debian = if tool.packages.is_empty() {
        String::new()
    } else {
        format!("apt-get install {} | ", tool.packages.join(" "))
    };
    format!("missing: {}: {}\n   {debian}{}", tool.name, tool.why, tool.elsewhere)
}

/// The environment of the `embed` steps: nothing when `python3` can be linked with as it is.
pub(crate) fn embed_environment() -> Vec<(&'static str, String)> {
    match python_to_link() {
        Some(python) if python != Path::new("python3") => {
            vec![("PYO3_PYTHON", python.display().to_string())]
        }
        _ => Vec::new(),
    }
}

fn python_version() -> Option<String> {
    let script = "import sys; assert sys.version_info >= (3, 9); print(sys.version.split()[0])";
    output("python3", &["-c", script]).ok().map(|version| version.trim().to_owned())
}

/// The first interpreter that has both headers and a shared library.
fn python_to_link() -> Option<PathBuf> {
    let script = "import os, sysconfig as s; g = s.get_config_var; \
        assert os.path.exists(os.path.join(g('INCLUDEPY'), 'Python.h')); \
        assert os.path.exists(os.path.join(g('LIBDIR'), g('LDLIBRARY'))); \
        assert g('Py_ENABLE_SHARED')";
    let chosen = env::var_os("PYO3_PYTHON").map(PathBuf::from);
    let usual = ["python3", "/usr/bin/python3"].map(PathBuf::from);
    let mut candidates = chosen.map_or_else(|| usual.to_vec(), |chosen| vec![chosen]).into_iter();
    candidates.find(|python| output(&python.to_string_lossy(), &["-c", script]).is_ok())
}

/// Returns the path of a program. Debian keeps daemons outside of a user's `PATH`.
fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(daemons).map(|folder| folder.join(name)).find(|at| at.is_file())
}
