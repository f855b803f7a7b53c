//! `cargo xtask ci api`: the API's description of itself, tried on a real server with generated requests.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::run::{execute, output};
use crate::venv;

/// The actions of the server, what is installed, and what is tried.
const FOLDER: &str = "tests/api";
/// The folder of the environment and the second configuration.
const MADE: &str = "target/api";
const PROGRAM: &str = "target/debug/tinpot";
/// Fixed, so that a failure comes again. Another one is another set of requests: `API_SEED`.
const SEED: &str = "20261121";
/// The time within which the server must offer its actions.
const PATIENCE: Duration = Duration::from_secs(60);

/// Generated requests have to be answered as the description says.
pub(crate) fn check() -> Result<String, String> {
    let root = std::env::current_dir().map_err(|error| error.to_string())?;
    let requirements = Path::new(FOLDER).join("requirements.txt");
    let programs = venv::install(&Path::new(MADE).join("venv"), &requirements)?;
    let schemathesis = root.join(programs).join("schemathesis");
    // Selected like the neighbouring steps, so that features agree and nothing is compiled twice.
    execute(Command::new("cargo").args([
        "build",
        "--quiet",
        "--workspace",
        "--bins",
        "--examples",
    ]))?;
    let server = Server::start()?;
    let failed = |path: &Path, error| format!("{}: {error}", path.display());
    // It remembers what failed, where it is run: from nothing, each run is the same.
    let run = root.join(MADE).join("run");
    if run.exists() {
        fs::remove_dir_all(&run).map_err(|error| failed(&run, error))?;
    }
    fs::create_dir_all(&run).map_err(|error| failed(&run, error))?;
    let given = root.join(FOLDER).join("schemathesis.toml");
    let config = fs::read_to_string(&given).map_err(|error| failed(&given, error))?;
    let id = server.run()?;
    let known = format!(
        "{config}\n[parameters]\n\"path.id\" = \"{id}\"\n\"path.artifact\" = \"1.1\"\n\"path.name\" = \"default\"\n"
    );
    let second = run.join("known.toml");
    fs::write(&second, known).map_err(|error| failed(&second, error))?;
    let seed = std::env::var("API_SEED").unwrap_or_else(|_| SEED.to_owned());
    // The first pass asks for unknown names and ids. The second asks for existing ones, one after
    // the other.
    let alone = "examples,coverage,fuzzing";
    for (config, phases) in [(&given, alone.to_owned()), (&second, format!("{alone},stateful"))] {
        let mut command = Command::new(&schemathesis);
        command.current_dir(&run).arg("--no-color").arg("--config-file").arg(config);
        command.args(["run", &format!("{}/openapi.json", server.url), "--url", &server.url]);
        execute(command.args(["--seed", &seed, "--phases", &phases]))?;
    }
    // After all requests, the server still works.
    server.run()?;
    Ok(format!("seed {seed}; API_SEED chooses another one"))
}

/// Returns the version if `python3` can make environments with pip in them.
pub(crate) fn venv() -> Option<String> {
    output("python3", &["-c", "import ensurepip, sys, venv; assert sys.version_info >= (3, 11); print(ensurepip.version())"])
        .ok()
        .map(|version| format!("with pip {}", version.trim()))
}

/// A server on a free port, ended when this is dropped.
struct Server {
    process: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start() -> Result<Self, String> {
        let mut command = Command::new(PROGRAM);
        command.args(["dev", "--port", "0", "--store", "memory", "--insecure-no-auth"]);
        command.arg(format!("{FOLDER}/actions"));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let process =
            command.spawn().map_err(|error| format!("cannot start {PROGRAM}: {error}"))?;
        let mut server = Self { process, url: String::new() };
        let Some(text) = server.process.stdout.take() else {
            return Err(format!("{PROGRAM} has no output"));
        };
        // At most the two lines that are waited for.
        let (lines, told) = mpsc::sync_channel(2);
        thread::spawn(move || {
            let mut text = BufReader::new(text);
            for _ in 0..2 {
                let mut line = String::new();
                if !matches!(text.read_line(&mut line), Ok(1..)) || lines.send(line).is_err() {
                    return;
                }
            }
            // Read to the end: a program whose output is not read would stop.
            let _ = std::io::copy(&mut text, &mut std::io::sink());
        });
        let next =
            || told.recv_timeout(PATIENCE).map_err(|_| format!("{PROGRAM} dev offers no actions"));
        let (first, second) = (next()?, next()?);
        let url = first.split_whitespace().find(|word| word.starts_with("http://"));
        match url {
            Some(url) if second.starts_with("Actions from") => server.url = url.to_owned(),
            _ => return Err(format!("{PROGRAM} dev says something else:\n{first}{second}")),
        }
        Ok(server)
    }

    /// Runs an action to its end; the id of the execution.
    fn run(&self) -> Result<String, String> {
        let text =
            output(PROGRAM, &["--server", &self.url, "--json", "run", "default", "--detach"])?;
        let id = text.split('"').find(|word| word.len() == 36 && word.matches('-').count() == 4);
        let id = id.ok_or_else(|| format!("`tinpot run --detach` names no execution: {text}"))?;
        output(PROGRAM, &["--server", &self.url, "executions", "watch", id])?;
        Ok(id.to_owned())
    }
}
