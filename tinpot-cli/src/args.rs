//! The tree of commands. What it says here is what `--help`, the completions and `docs/cli.md` say.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::programs::{CoordinatorArgs, DevArgs, WorkerArgs};

/// Runs Python functions, scripts and Rust closures on workers, and lets people and programs watch them live
#[derive(Debug, Parser)]
#[command(
    name = "tinpot",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "To begin: `tinpot dev` in an empty folder. Exit codes are in docs/cli.md.",
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command that talks to a server takes.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Global {
    /// The server: http:// or https://, with a path where it is mounted under one; http://127.0.0.1:8000 by default
    #[arg(
        long,
        global = true,
        env = "TINPOT_SERVER",
        value_name = "URL",
        help_heading = "Global options"
    )]
    pub(crate) server: Option<String>,
    /// The profile to take the server from, as named in tinpot/config.toml of the user's configuration directory
    #[arg(
        long,
        global = true,
        env = "TINPOT_PROFILE",
        value_name = "NAME",
        help_heading = "Global options"
    )]
    pub(crate) profile: Option<String>,
    /// Write JSON for programs; one line per event when following
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Everything in one process on this machine only: coordinator, worker and web interface; changed files are picked up
    Dev(DevArgs),
    /// Accept executions over HTTP, and have them run by workers that are reached by MQTT
    Coordinator(CoordinatorArgs),
    /// Run Python actions for a coordinator that is reached by MQTT
    Worker(WorkerArgs),
    /// What can be run
    #[command(subcommand)]
    Actions(Actions),
    /// Run an action, watch it, and print its result
    Run(RunArgs),
    /// What was run
    #[command(subcommand)]
    Executions(Executions),
    /// Who runs it
    #[command(subcommand)]
    Workers(Workers),
    /// What waits
    #[command(subcommand)]
    Queues(Queues),
    /// Write example actions to begin with
    Init(InitArgs),
    /// Import the actions of a folder as a worker would, and say what is wrong
    Check(CheckArgs),
    /// Run one action of a file without a server, in a child interpreter
    Exec(ExecArgs),
    /// Look for what keeps Tinpot from working here, and say what to do
    Doctor(DoctorArgs),
    /// Print the description of the HTTP API
    Openapi,
    /// Print a script that completes commands, action names and values in a shell
    #[command(
        after_help = "bash: source <(tinpot completions bash)   zsh: the same   fish: tinpot completions fish | source"
    )]
    Completions(CompletionsArgs),
    /// Print the versions of this program and of the server
    Version,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Actions {
    /// All actions, by group
    List {
        /// Only those with this text in name, group or description
        #[arg(value_name = "TEXT")]
        search: Option<String>,
    },
    /// One action: its parameters, and what it promises
    Show {
        /// The action
        name: String,
    },
}

/// How an execution is asked for. What is left out is as the action says.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Run options")]
pub(crate) struct SubmitArgs {
    /// The same key and the same parameters are the same execution, whenever it is asked for
    #[arg(long, value_name = "KEY")]
    pub(crate) idempotency_key: Option<String>,
    /// Higher runs first within a queue
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) priority: Option<i32>,
    /// Another queue than the action's
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    /// How many seconds it waits at least before it starts
    #[arg(long, value_name = "SECONDS")]
    pub(crate) delay: Option<f64>,
    /// It fails if it still waits for a worker after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub(crate) expires_in: Option<f64>,
    /// How many seconds an attempt may run
    #[arg(long, value_name = "SECONDS")]
    pub(crate) attempt_timeout: Option<f64>,
    /// How often it is tried again after it failed, timed out or was lost
    #[arg(long, value_name = "NUMBER")]
    pub(crate) retries: Option<u32>,
}

/// How its end is waited for.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Run options")]
pub(crate) struct WaitArgs {
    /// Do not wait: print the execution's id
    #[arg(long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) follow: FollowArgs,
}

/// How something is followed.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Run options")]
pub(crate) struct FollowArgs {
    /// Wait so many seconds, then leave it alone and end with 7
    #[arg(long, value_name = "SECONDS", value_parser = tinpot_server::settings::seconds, allow_negative_numbers = true)]
    pub(crate) timeout: Option<std::time::Duration>,
    /// Do not print its log
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Parameters as pairs and documents.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Run options")]
pub(crate) struct ParameterArgs {
    /// A parameter, as its flag would take it; wins over --data
    #[arg(long = "param", short, value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// All parameters as one JSON object: the text itself, @FILE, or - for standard input
    #[arg(long, short, value_name = "JSON|@FILE|-", allow_hyphen_values = true, value_hint = ValueHint::FilePath)]
    pub(crate) data: Option<String>,
}

#[derive(Args, Clone, Debug)]
#[command(
    disable_help_flag = true,
    override_usage = "tinpot run [OPTIONS] <NAME> [FLAGS OF THE ACTION]",
    after_help = "`tinpot run NAME --help` shows the flags of an action, made from its schema.\n\
        The result goes to standard output, log and progress to standard error.\n\
        Ctrl-C stops waiting, and the execution goes on; twice cancels it."
)]
pub(crate) struct RunArgs {
    /// The action
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) fixed: RunOptions,
    /// Print help; of an action after its name
    #[arg(long, short, action = clap::ArgAction::SetTrue)]
    pub(crate) help: bool,
}

/// What `run` takes for every action.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) parameters: ParameterArgs,
    #[command(flatten)]
    pub(crate) submit: SubmitArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Executions {
    /// Executions, newest first
    List(ListArgs),
    /// Everything that is recorded of one
    Show {
        /// The execution
        id: String,
    },
    /// What it has written, on standard output
    Logs(LogsArgs),
    /// Follow one to its end; the result on standard output, the log on standard error
    Watch {
        /// The execution
        id: String,
        #[command(flatten)]
        follow: FollowArgs,
    },
    /// Ask one to end
    Cancel {
        /// The execution
        id: String,
        /// Kill it, without the time to clean up
        #[arg(long)]
        force: bool,
    },
    /// Run the same action again with the same parameters
    Rerun {
        /// The execution
        id: String,
        #[command(flatten)]
        submit: SubmitArgs,
        #[command(flatten)]
        wait: WaitArgs,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// Only of this action
    #[arg(long, value_name = "NAME")]
    pub(crate) action: Option<String>,
    /// Only with one of these statuses
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    pub(crate) status: Vec<StatusName>,
    /// Only of this queue
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    /// Only those that this one asked for
    #[arg(long, value_name = "ID")]
    pub(crate) parent: Option<String>,
    /// Only those that this person or program asked for
    #[arg(long, value_name = "TEXT")]
    pub(crate) requested_by: Option<String>,
    /// Only those accepted since then, as in 2026-12-24T18:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only those accepted until then
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// At most so many
    #[arg(long, short = 'n', value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

/// The statuses of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum StatusName {
    Queued,
    Running,
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
    TimedOut,
    Lost,
}

/// How important a line is at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum LevelName {
    Debug,
    Info,
    Warning,
    Error,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct LogsArgs {
    /// The execution
    pub(crate) id: String,
    /// Go on with what it writes, until it ends
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only the last lines, so many
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["after", "search", "follow"], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) tail: Option<u32>,
    /// Only lines above this number
    #[arg(long, value_name = "LINE", default_value_t = 0)]
    pub(crate) after: u64,
    /// Only lines of at least this level
    #[arg(long, value_name = "LEVEL")]
    pub(crate) level: Option<LevelName>,
    /// Only these: stdout, stderr, log
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = ["stdout", "stderr", "log", "system"])]
    pub(crate) stream: Vec<String>,
    /// Only lines with this text, which the server looks for
    #[arg(long, value_name = "TEXT", conflicts_with = "follow")]
    pub(crate) search: Option<String>,
    /// The text is a regular expression
    #[arg(long, requires = "search")]
    pub(crate) regex: bool,
    /// Upper and lower case differ
    #[arg(long, requires = "search")]
    pub(crate) case: bool,
    /// Show so many lines around each hit
    #[arg(long, short = 'C', value_name = "LINES", requires = "search", value_parser = clap::value_parser!(u32).range(0..=5))]
    pub(crate) context: Option<u32>,
    /// Put the time of each line before it
    #[arg(long, short = 't')]
    pub(crate) timestamps: bool,
    /// Put the number of each line before it
    #[arg(long, short = 'N')]
    pub(crate) numbers: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Workers {
    /// The live workers
    List,
    /// Give a worker no new work; it ends when what it runs has ended
    Drain {
        /// The worker's id, or its name where only one has it
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Queues {
    /// The queues: what waits in them, and why
    List,
    /// Start nothing new from a queue; what runs goes on
    Pause {
        /// The queue
        name: String,
    },
    /// Start what waits in a paused queue
    Resume {
        /// The queue
        name: String,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct InitArgs {
    /// The folder, which is made if it is not there
    #[arg(default_value = "actions", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CheckArgs {
    /// The folder of the Python actions
    #[arg(default_value = "actions", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// The Python interpreter, or a virtual environment; VIRTUAL_ENV or python3 by default
    #[arg(long, env = "TINPOT_PYTHON", value_name = "PATH")]
    pub(crate) python: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
#[command(
    disable_help_flag = true,
    override_usage = "tinpot exec [OPTIONS] <FILE::ACTION> [FLAGS OF THE ACTION]",
    after_help = "Takes the same flags as `tinpot run`; `tinpot exec FILE::ACTION --help` shows them. Ctrl-C cancels it."
)]
pub(crate) struct ExecArgs {
    /// The file, and the name of an action in it
    #[arg(value_name = "FILE::ACTION")]
    pub(crate) target: Option<String>,
    /// The Python interpreter, or a virtual environment; VIRTUAL_ENV or python3 by default
    #[arg(long, env = "TINPOT_PYTHON", value_name = "PATH", help_heading = "Run options")]
    pub(crate) python: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) fixed: RunOptions,
    /// Print help; of an action after its name
    #[arg(long, short, action = clap::ArgAction::SetTrue)]
    pub(crate) help: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) http: tinpot_server::settings::HttpSettings,
    #[command(flatten)]
    pub(crate) broker: tinpot_server::settings::BrokerSettings,
    /// The Python interpreter, or a virtual environment; VIRTUAL_ENV or python3 by default
    #[arg(long, env = "TINPOT_PYTHON", value_name = "PATH")]
    pub(crate) python: Option<PathBuf>,
    /// The file in which executions are kept
    #[arg(long, env = "TINPOT_STORE", value_name = "PATH")]
    pub(crate) store: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

/// The shells that can be completed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    Power,
    Zsh,
}
