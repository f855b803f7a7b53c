//! Our programs as processes of their own, ended with the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait_for;

/// Returns the folder of the example programs, which are built once per run of the tests.
fn examples() -> &'static PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        // The whole workspace, so that nothing is built again with other features.
        build.args(["build", "--quiet", "--workspace", "--examples"]);
        build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        // What cargo tells this program of its own package would be news to build scripts (ring's is one), and all above them be built again.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
                build.env_remove(&name);
            }
        }
        let built = build.status().expect("cargo runs");
        assert!(built.success(), "the examples do not build");
        // This program is target/debug/deps/it-…, or target/debug/soak.
        let this = std::env::current_exe().expect("a path");
        let here = this.parent().expect("a directory");
        let profile = if here.ends_with("deps") { here.parent() } else { Some(here) };
        profile.expect("a target directory").join("examples")
    })
}

/// Returns a command for an example, without the settings of the user who runs the tests.
fn command(example: &str) -> Command {
    let mut command = Command::new(examples().join(example));
    for variable in [
        "MQTT_BROKER",
        "PORT",
        "HOST",
        "ACTIONS_DIR",
        "ACTION_GROUPS",
        "QUEUES",
        "QUEUE_NAME",
        "ACTION_FILTER",
        "REDIS_URL",
        "ROOT_PATH",
        "CORS_ORIGINS",
        "TINPOT_LIMIT_REQUEST",
        "CONCURRENCY",
        "TINPOT_NAMESPACE",
        "GRACE",
        "MQTT_KEEP_ALIVE",
        "TINPOT_BEAT_INTERVAL",
        "TINPOT_HEARTBEAT_INTERVAL",
        "TINPOT_WORKER_LEASE",
        "TINPOT_COORDINATOR_LEASE",
        "TINPOT_KILL_AFTER",
        "TINPOT_STORE",
        "TINPOT_PYTHON",
        "TINPOT_CONTAINMENT",
        "TINPOT_NO_RELOAD",
        "TINPOT_LIMIT_MEMORY",
        "TINPOT_LIMIT_CPU",
        "TINPOT_LIMIT_OPEN_FILES",
        "TINPOT_LIMIT_OUTPUT",
        "TINPOT_LIMIT_RESULT",
        "TINPOT_FAILPOINT",
        "TINPOT_ALLOW_HOSTS",
        "TINPOT_ENV",
        "TINPOT_INSECURE_NO_AUTH",
        "BROKER_USER_FILE",
        "MQTT_BROKER_PASSWORD_FILE",
    ] {
        command.env_remove(variable);
    }
    command
}

/// Runs an example to its end.
pub fn run_example(example: &str, arguments: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = command(example);
    command.env("TINPOT_STORE", "memory");
    command.args(arguments).envs(env.iter().copied()).stdin(Stdio::null());
    command.output().expect("the example starts")
}

/// A running example; killed when dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
    _directory: Option<tempfile::TempDir>,
}

impl Program {
    /// Starts an example.
    pub fn start(example: &str, env: &[(&str, &str)]) -> Self {
        Self::start_with(example, &[], env)
    }

    /// Starts an example with arguments.
    pub fn start_with(example: &str, arguments: &[&str], env: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut program = Self::launch(directory.path(), example, example, arguments, env);
        program._directory = Some(directory);
        program
    }

    /// Starts an example that writes its log to the end of `{name}.log` in a directory.
    pub fn start_in(directory: &Path, name: &str, example: &str, env: &[(&str, &str)]) -> Self {
        Self::launch(directory, name, example, &[], env)
    }

    fn launch(
        directory: &Path,
        name: &str,
        example: &str,
        arguments: &[&str],
        env: &[(&str, &str)],
    ) -> Self {
        let log = directory.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).expect("a file");
        let mut command = command(example);
        if example == "coordinator" {
            // Its default would be shared by all tests.
            command.env("TINPOT_STORE", directory.join("tinpot.db"));
        }
        command.args(arguments).envs(env.iter().copied()).stdin(Stdio::null());
        command.stdout(file.try_clone().expect("a file")).stderr(file);
        let child = command.spawn().expect("the example starts");
        Self { name: name.to_owned(), child, log, _directory: None }
    }

    /// Returns the process id.
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// The most memory it has ever held, in bytes.
    pub fn peak_memory_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kibibytes * 1024
    }

    /// Returns the output so far.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let id = Pid::from_raw(self.id()).expect("a process id");
        kill_process(id, signal).expect("the process is there");
    }

    /// Kills it as the kernel does when memory is short.
    pub fn kill(&mut self) {
        self.child.kill().expect("the process is there");
        self.child.wait().expect("it was started here");
    }

    /// Returns the exit status, if the program has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it was started here")
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        let (child, log) = (&mut self.child, &self.log);
        wait_for(&what, || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            _ => Err(std::fs::read_to_string(log)),
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} printed:\n{}", self.name, self.output());
        }
    }
}
