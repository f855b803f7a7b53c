//! The tree of commands. Its texts are those of `--help`, of the completions and of `docs/cli.md`.

mod access;
mod apps;
mod conformance;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use tinpot_server::{TowerImport, TowerSettings};

pub(crate) use self::access::{
    AnyStore, Audit, AuditFilter, AuditLog, GrantTo, GrantWhere, Grants, Groups, LoginArgs,
    Programs, RoleName, SecretFile, Secrets, StoreCommand, StoreFile, Teams, Tokens, Users,
};
pub(crate) use self::apps::{Apps, BundleDir, DeployArgs, PackArgs, RollbackArgs, Versions};
pub(crate) use self::conformance::{Conformance, ConformanceArgs, FrameKind, ReportForm};
use crate::numbers;
use crate::programs::{CoordinatorArgs, DevArgs, WorkerArgs};
use crate::times::{Clock, Moment, since, until};

/// Run Python functions and Rust closures on workers, and watch them live
#[derive(Debug, Parser)]
#[command(
    name = "tinpot",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Start with `tinpot dev` in an empty directory. docs/cli.md lists the exit codes.",
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of every command that talks to a server.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Global {
    /// The URL of the server: http:// or https://, with the path that it is mounted at;
    /// http://127.0.0.1:8000 by default
    #[arg(
        long,
        global = true,
        env = "TINPOT_SERVER",
        value_name = "URL",
        help_heading = "Global options"
    )]
    pub(crate) server: Option<String>,
    /// The profile that names the server, from tinpot/config.toml in the user's configuration
    /// directory
    #[arg(
        long,
        global = true,
        env = "TINPOT_PROFILE",
        value_name = "NAME",
        help_heading = "Global options"
    )]
    pub(crate) profile: Option<String>,
    /// The file with the API token to send to the server, which only its owner may read; without one,
    /// TINPOT_TOKEN has the token
    #[arg(
        long,
        global = true,
        env = "TINPOT_TOKEN_FILE",
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        help_heading = "Global options"
    )]
    pub(crate) token_file: Option<PathBuf>,
    /// The team to act in, on a server with several; by default, the team of the profile
    #[arg(
        long,
        global = true,
        env = "TINPOT_TEAM",
        value_name = "NAME",
        help_heading = "Global options"
    )]
    pub(crate) team: Option<String>,
    /// Print JSON for programs; one line per event when following
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Print times in UTC, instead of the local time that TZ or the system names; JSON is always
    /// in UTC
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) utc: bool,
}

impl Global {
    /// Returns the team that a flag or a variable names.
    pub(crate) fn team(&self) -> Option<&str> {
        // A variable that is set to nothing counts as not set.
        self.team.as_deref().filter(|team| !team.is_empty())
    }

    /// Returns the clock for the times to print.
    pub(crate) fn clock(&self) -> Clock {
        Clock::new(self.utc)
    }
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct TowerArgs {
    #[command(flatten)]
    pub(crate) settings: TowerSettings,
    #[command(subcommand)]
    pub(crate) command: Option<TowerCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TowerCommand {
    /// Make a store from a MiniTower's database and objects: teams, tokens, passwords, runners,
    /// apps,
    /// versions, and runs with their logs
    Import(TowerImport),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start coordinator, worker and web UI in one process, for this machine only; reload changed
    /// files
    Dev(Box<DevArgs>),
    /// Start a coordinator: accept executions over HTTP, and run them on workers that connect
    /// through MQTT or HTTP
    Coordinator(Box<CoordinatorArgs>),
    /// Start a worker: run Python actions for a coordinator, through MQTT or HTTP
    Worker(Box<WorkerArgs>),
    /// Start a server in place of MiniTower's, with its variables and its API.
    /// MINITOWER_BOOTSTRAP_TOKEN and MINITOWER_RUNNER_REGISTRATION_TOKEN have the tokens
    Tower(Box<TowerArgs>),
    /// List actions
    #[command(subcommand)]
    Actions(Actions),
    /// Run an action, follow its log, and print its result
    Run(RunArgs),
    /// Manage executions
    #[command(subcommand)]
    Executions(Executions),
    /// Print the log of an execution, as `tinpot executions logs` does
    Logs(LogsArgs),
    /// Manage workers
    #[command(subcommand)]
    Workers(Workers),
    /// Manage queues
    #[command(subcommand)]
    Queues(Queues),
    /// Pack a directory with a Towerfile into a bundle, and check it
    Pack(PackArgs),
    /// Deploy a directory with a Towerfile: the version becomes the active one of its app
    Deploy(DeployArgs),
    /// Manage apps
    #[command(subcommand)]
    Apps(Apps),
    /// Manage versions of apps
    #[command(subcommand)]
    Versions(Versions),
    /// Activate an earlier version of an app
    Rollback(RollbackArgs),
    /// Print the rules for a broker
    #[command(subcommand)]
    Broker(Broker),
    /// Sign in to a server, and keep a token for it
    Login(LoginArgs),
    /// Revoke and forget the token of a server
    Logout {
        /// URL of the server
        #[arg(value_name = "SERVER")]
        server: Option<String>,
    },
    /// Print who the server takes this command for
    Whoami {
        /// Print the header with the token, for `curl -H @-`
        #[arg(long)]
        header: bool,
    },
    /// Print the URL of the web UI, which for `tinpot dev` signs a browser in once
    Open,
    /// Manage users in the file of a store
    #[command(subcommand)]
    Users(Users),
    /// Manage teams in the file of a store, for a server with --teams
    #[command(subcommand)]
    Teams(Teams),
    /// Manage the roles of users, groups, programs and actions
    #[command(subcommand)]
    Grants(Grants),
    /// Manage groups of users
    #[command(subcommand)]
    Groups(Groups),
    /// Manage programs: the service accounts of a team
    #[command(subcommand)]
    Programs(Programs),
    /// Manage API tokens in the file of a store
    #[command(subcommand)]
    Tokens(Tokens),
    /// Set, list and remove secrets of actions in the file of a store
    #[command(subcommand)]
    Secrets(Secrets),
    /// Check the audit in the file of a store
    #[command(subcommand)]
    Audit(Audit),
    /// Show and end all credentials in the file of a store, such as after a restored backup
    #[command(subcommand)]
    Store(StoreCommand),
    /// Write example actions into a new directory
    Init(InitArgs),
    /// Import the actions of a directory as a worker would, and report errors
    Check(CheckArgs),
    /// Run one action of a file, without a server
    Exec(ExecArgs),
    /// Check this machine for problems, and suggest remedies
    Doctor(DoctorArgs),
    /// List, build and remove the Python environments of workers of this user, and show their logs
    #[command(subcommand)]
    Python(Python),
    /// Check whether a worker in any language follows the protocol
    #[command(subcommand)]
    Conformance(Conformance),
    /// Manage the keys of workers of mooR
    #[cfg(feature = "moor")]
    #[command(subcommand)]
    Moor(crate::moor::Moor),
    /// Print the OpenAPI description of the HTTP API
    Openapi,
    /// Print a script for completions in a shell
    #[command(
        after_help = "bash and zsh: source <(tinpot completions bash)   fish: tinpot completions fish | source"
    )]
    Completions(CompletionsArgs),
    /// Write the manual pages of all commands into a directory
    #[command(hide = true)]
    Manual {
        /// Directory to write to
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
    /// Print the versions of this program and of the server
    Version,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Actions {
    /// List actions by group
    List {
        /// Text in the name, group or description of the actions to list
        #[arg(value_name = "TEXT")]
        search: Option<String>,
    },
    /// Show an action with its parameters and options
    Show {
        /// Name of the action
        name: String,
    },
}

/// The options of a submission. The action has the defaults.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Run options")]
pub(crate) struct SubmitArgs {
    /// Key that identifies the execution: a second submission with the same key and parameters is
    /// the same execution
    #[arg(long, value_name = "KEY", value_parser = numbers::key)]
    pub(crate) idempotency_key: Option<String>,
    /// Priority within the queue; higher runs first
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) priority: Option<i32>,
    /// Queue to run in, instead of that of the action
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    /// Time to wait before the execution starts
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = numbers::delay,
        allow_negative_numbers = true
    )]
    pub(crate) delay: Option<f64>,
    /// Time after which the execution fails if it has not started
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = numbers::seconds,
        allow_negative_numbers = true
    )]
    pub(crate) expires_in: Option<f64>,
    /// Time limit of each attempt
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = numbers::seconds,
        allow_negative_numbers = true
    )]
    pub(crate) attempt_timeout: Option<f64>,
    /// Number of retries after an attempt that failed, timed out or was lost
    #[arg(
        long,
        value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(0..=1_000),
        allow_negative_numbers = true
    )]
    pub(crate) retries: Option<u32>,
    /// Trace context of the submission, in the format of W3C Trace Context, by default that of the
    /// variable TRACEPARENT; actions get it as this variable
    #[arg(long, value_name = "CONTEXT")]
    pub(crate) traceparent: Option<String>,
}

/// The options of waiting for the end of an execution.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Run options")]
pub(crate) struct WaitArgs {
    /// Print the id of the execution, and do not wait for its end
    #[arg(long)]
    pub(crate) detach: bool,
    #[command(flatten)]
    pub(crate) follow: FollowArgs,
}

/// The options of following an execution.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Run options")]
pub(crate) struct FollowArgs {
    /// Stop waiting after SECONDS and exit with status 7; the execution continues
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = tinpot_server::settings::seconds,
        allow_negative_numbers = true
    )]
    pub(crate) timeout: Option<std::time::Duration>,
    /// Do not print the log
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// The parameters, as pairs and as a document.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Run options")]
pub(crate) struct ParameterArgs {
    /// Parameter of the action, as its own flag takes it; overrides --data
    #[arg(long = "param", short, value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// All parameters as a JSON object: the text, @FILE, or - for standard input
    #[arg(
        long,
        short,
        value_name = "JSON|@FILE|-",
        allow_hyphen_values = true,
        value_hint = ValueHint::FilePath
    )]
    pub(crate) data: Option<String>,
}

#[derive(Args, Clone, Debug)]
#[command(
    disable_help_flag = true,
    override_usage = "tinpot run [OPTIONS] <NAME> [FLAGS OF THE ACTION]",
    after_help = "`tinpot run NAME --help` shows the flags of an action, which are made from its schema.\n\
        The result is printed to standard output, log and progress to standard error.\n\
        Ctrl-C stops waiting while the execution continues; a second Ctrl-C cancels it."
)]
pub(crate) struct RunArgs {
    /// The action
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) fixed: RunOptions,
    /// Print help; after the name of an action, its own
    #[arg(long, short, action = clap::ArgAction::SetTrue)]
    pub(crate) help: bool,
}

/// The options of `run` for every action.
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
    /// List executions, newest first
    List(ListArgs),
    /// Show the record of an execution
    Show {
        /// Id or number of the execution, or the start of the id
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Print the log of an execution to standard output
    Logs(LogsArgs),
    /// Follow an execution to its end, and print its result
    Watch {
        /// Id or number of the execution, or the start of the id
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        follow: FollowArgs,
    },
    /// Cancel an execution
    Cancel {
        /// Id or number of the execution, or the start of the id
        #[arg(value_name = "ID")]
        id: String,
        /// Kill it now, without a grace period
        #[arg(long)]
        force: bool,
    },
    /// Run the same action again, with the same parameters unless others are given
    Rerun(RerunArgs),
}

#[derive(Args, Clone, Debug)]
#[command(
    disable_help_flag = true,
    override_usage = "tinpot executions rerun [OPTIONS] <ID> [FLAGS OF THE ACTION]",
    after_help = "A flag of the action, --param or --data replaces the recorded value of that \
        parameter; `tinpot executions rerun ID --help` shows the flags."
)]
pub(crate) struct RerunArgs {
    /// Id or number of the execution, or the start of the id
    #[arg(value_name = "ID")]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) fixed: RunOptions,
    /// Print help; after an id, that of its action
    #[arg(long, short, action = clap::ArgAction::SetTrue)]
    pub(crate) help: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct ListArgs {
    /// Name of the action
    #[arg(long, value_name = "NAME")]
    pub(crate) action: Option<String>,
    /// Statuses to list, separated by commas
    #[arg(long, value_name = "STATUS", value_delimiter = ',')]
    pub(crate) status: Vec<StatusName>,
    /// Name of the queue
    #[arg(long, value_name = "NAME")]
    pub(crate) queue: Option<String>,
    /// Id or number of the execution that called those to list, or the start of the id
    #[arg(long, value_name = "ID")]
    pub(crate) parent: Option<String>,
    /// Person or program that submitted the executions
    #[arg(long, value_name = "TEXT")]
    pub(crate) requested_by: Option<String>,
    /// Earliest time of acceptance: an age like 30m, 1h or 2d, today, yesterday, a date, or a time
    /// like 18:00, 2026-12-24T18:00 or 2026-12-24T18:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<Moment>,
    /// Latest time of acceptance, in the same forms; a day is meant to its end
    #[arg(long, value_name = "TIME", value_parser = until)]
    pub(crate) until: Option<Moment>,
    /// Maximum number to list
    #[arg(
        long,
        short = 'n',
        value_name = "NUMBER",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=100_000),
        allow_negative_numbers = true
    )]
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

/// The lowest level of a line to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum LevelName {
    Debug,
    Info,
    Warning,
    Error,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct LogsArgs {
    /// Id or number of the execution, or the start of the id
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Follow the log until the execution ends
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Number of last lines to print
    #[arg(
        long,
        value_name = "NUMBER",
        conflicts_with_all = ["after", "search", "follow"],
        value_parser = clap::value_parser!(u32).range(1..=10_000),
        allow_negative_numbers = true
    )]
    pub(crate) tail: Option<u32>,
    /// Line number to start after
    #[arg(long, value_name = "LINE", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) after: u64,
    /// Lowest level to print
    #[arg(long, value_name = "LEVEL")]
    pub(crate) level: Option<LevelName>,
    /// Streams to print, separated by commas
    #[arg(
        long,
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = ["stdout", "stderr", "log", "system"]
    )]
    pub(crate) stream: Vec<String>,
    /// Text that the lines to print contain; the server searches
    #[arg(long, value_name = "TEXT", conflicts_with = "follow")]
    pub(crate) search: Option<String>,
    /// Search for a regular expression
    #[arg(long, requires = "search")]
    pub(crate) regex: bool,
    /// Distinguish upper and lower case
    #[arg(long, requires = "search")]
    pub(crate) case: bool,
    /// Number of lines to print around each match
    #[arg(
        long,
        short = 'C',
        value_name = "LINES",
        requires = "search",
        value_parser = clap::value_parser!(u32).range(0..=5),
        allow_negative_numbers = true
    )]
    pub(crate) context: Option<u32>,
    /// Print the time of each line
    #[arg(long, short = 't')]
    pub(crate) timestamps: bool,
    /// Print the number of each line
    #[arg(long, short = 'N')]
    pub(crate) numbers: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Workers {
    /// List live workers
    List,
    /// Show a worker, its problems and its Python environments, with the logs of failed builds
    Show {
        /// Id of the worker, or its name if no other has it
        id: String,
    },
    /// Drain a worker: it receives no new attempts and exits when idle
    Drain {
        /// Id of the worker, or its name if no other has it
        id: String,
    },
    /// Create a token with which workers join, and print it: this is the only time that it is shown
    #[command(
        after_help = "On the worker: tinpot worker join --join-token-file FILE --name web-1 --broker URL"
    )]
    #[command(
        after_help = "With --team, the actions of the workers belong to that team, or to several teams: --team red,blue"
    )]
    JoinToken {
        /// Names of the workers, as a pattern with `*`; each worker gets the one name that it joins
        /// with
        #[arg(long, value_name = "PATTERN")]
        names: String,
        /// Queue that the workers may serve; all by default. Repeat it for several
        #[arg(long = "queue", value_name = "NAME")]
        queues: Vec<String>,
        /// Group of actions that the workers may offer; all by default
        #[arg(long = "group", value_name = "NAME")]
        groups: Vec<String>,
        /// Action that the workers may offer, as a pattern with `*`; all by default
        #[arg(long = "action", value_name = "PATTERN")]
        actions: Vec<String>,
        /// Largest number of slots of a worker
        #[arg(long, value_name = "NUMBER")]
        slots: Option<u32>,
        /// Number of workers that may join with it
        #[arg(long, value_name = "NUMBER", default_value_t = 1)]
        uses: u32,
        /// Time for which workers may join with it
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        valid_for: u64,
        /// Remove the keys of its workers a day after they were last heard: for workers that start
        /// with --worker-key memory
        #[arg(long)]
        temporary: bool,
        #[command(flatten)]
        store: AnyStore,
        #[command(flatten)]
        key: NamespaceKey,
    },
    /// List the keys of workers that have joined, and join tokens
    Keys {
        #[command(flatten)]
        store: AnyStore,
    },
    /// Revoke the key of a worker: the coordinator ignores it, and what it runs ends with its lease
    Revoke {
        /// Id of the key, or the name of its worker if no other key has it; or the id of a join token
        key: String,
        #[command(flatten)]
        store: AnyStore,
    },
    /// Ask a worker to replace its key while it runs; the former key ends after 48 hours
    Rotate {
        /// Id of the key, or the name of its worker if no other key has it
        key: String,
        #[command(flatten)]
        store: AnyStore,
    },
    /// Make the next key of the namespace, or replace the key by it; works only on the file of a store
    #[command(
        after_help = "1. Make the next key. 2. Restart the coordinator: workers that connect learn of it. 3. Replace the key with --finish. 4. Restart the coordinator"
    )]
    RotateNamespaceKey {
        /// Replace the key by the next one, which all workers know by now
        #[arg(long)]
        finish: bool,
        #[command(flatten)]
        store: StoreFile,
        #[command(flatten)]
        key: NamespaceKey,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Broker {
    /// Print an access list for a broker: each worker that has joined uses its own topics
    #[command(
        after_help = "mosquitto: tinpot broker acl > acl, tinpot broker acl --passwords > passwd, mosquitto_passwd -U passwd"
    )]
    Acl {
        /// Kind of broker
        #[arg(long, value_name = "KIND", default_value = "mosquitto")]
        format: BrokerKind,
        /// Print the users with their passwords instead
        #[arg(long)]
        passwords: bool,
        /// First part of every topic
        #[arg(long, env = "TINPOT_NAMESPACE", value_name = "NAME", default_value = "tinpot")]
        namespace: String,
        #[command(flatten)]
        store: StoreFile,
        #[command(flatten)]
        key: NamespaceKey,
    },
}

/// The brokers whose access lists are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum BrokerKind {
    Mosquitto,
}

/// The key of the namespace, next to the store.
#[derive(Args, Clone, Debug)]
pub(crate) struct NamespaceKey {
    /// File with the private key of the namespace, made if missing; namespace.key in the directory of
    /// the store by default
    #[arg(long, env = "TINPOT_NAMESPACE_KEY_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) namespace_key_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Queues {
    /// List queues with the number of waiting executions and the reason
    List,
    /// Pause a queue: nothing of it starts; running attempts continue
    Pause {
        /// Name of the queue
        name: String,
    },
    /// Resume a paused queue
    Resume {
        /// Name of the queue
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Python {
    /// List Python environments, the last used one first
    List,
    /// Print the log of a build
    Log {
        /// Key of the environment, or its first characters
        key: String,
    },
    /// Build the environments that a directory or a file asks for, and print the log
    #[command(
        after_help = "A worker with the same user, Python and index settings finds it in the cache"
    )]
    Build {
        /// Directory or file of actions, or a list of requirements, such as requirements.txt
        #[arg(default_value = "actions", value_hint = ValueHint::AnyPath)]
        path: PathBuf,
        /// Python interpreter or virtual environment; VIRTUAL_ENV or python3 by default. More of them,
        /// separated by commas, are for directories and files that ask for another version
        #[arg(long, env = "TINPOT_PYTHON", value_name = "PATH", value_delimiter = ',')]
        python: Vec<PathBuf>,
    },
    /// Make running workers of this user try failed builds again now
    Retry,
    /// Remove the environments that nothing uses
    Prune {
        /// Print what would be removed, and remove nothing
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Args, Clone, Debug)]
pub(crate) struct InitArgs {
    /// Directory to write into; created if missing
    #[arg(default_value = "actions", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CheckArgs {
    /// Directory of the Python actions
    #[arg(default_value = "actions", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Python interpreter or virtual environment; VIRTUAL_ENV or python3 by default. More of them,
    /// separated by commas, are for directories and files that ask for another version
    #[arg(long, env = "TINPOT_PYTHON", value_name = "PATH", value_delimiter = ',')]
    pub(crate) python: Vec<PathBuf>,
    /// Variables that actions get, separated by commas: names, or their beginnings like AWS_*
    #[arg(long, env = "TINPOT_ENV", value_name = "NAME", value_delimiter = ',')]
    pub(crate) env: Vec<String>,
}

#[derive(Args, Clone, Debug)]
#[command(
    disable_help_flag = true,
    override_usage = "tinpot exec [OPTIONS] <FILE::ACTION> [FLAGS OF THE ACTION]",
    after_help = "`tinpot exec FILE::ACTION --help` shows the flags, which are those of \
        `tinpot run`. Ctrl-C cancels the execution."
)]
pub(crate) struct ExecArgs {
    /// Python file, and the name of an action in it
    #[arg(value_name = "FILE::ACTION", value_hint = ValueHint::FilePath)]
    pub(crate) target: Option<String>,
    /// Python interpreter or virtual environment; VIRTUAL_ENV or python3 by default. More of them,
    /// separated by commas, are for directories and files that ask for another version
    #[arg(
        long,
        env = "TINPOT_PYTHON",
        value_name = "PATH",
        value_delimiter = ',',
        help_heading = "Run options"
    )]
    pub(crate) python: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) fixed: RunOptions,
    /// Print help; after the name of an action, its own
    #[arg(long, short, action = clap::ArgAction::SetTrue)]
    pub(crate) help: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) http: tinpot_server::settings::HttpSettings,
    #[command(flatten)]
    pub(crate) broker: tinpot_server::settings::BrokerSettings,
    /// Python interpreters or virtual environments, separated by commas; VIRTUAL_ENV or python3 by
    /// default
    #[arg(long, env = "TINPOT_PYTHON", value_name = "PATH", value_delimiter = ',')]
    pub(crate) python: Vec<PathBuf>,
    /// File that keeps executions
    #[arg(long, env = "TINPOT_STORE", value_name = "PATH")]
    pub(crate) store: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct CompletionsArgs {
    /// Shell to complete for
    pub(crate) shell: Shell,
}

/// The shells with completions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Elvish,
    Fish,
    #[value(name = "powershell")]
    Power,
    Zsh,
}

#[cfg(test)]
mod tests;
