//! The commands about users, tokens, secrets and the audit.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::times::{Moment, since, until};

/// The file of the store that a command works on, without a server.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreFile {
    /// File that keeps executions, users and tokens; a server may have it open
    #[arg(long, env = "TINPOT_STORE", value_name = "PATH", default_value = "tinpot.db", value_hint = ValueHint::FilePath)]
    pub(crate) store: PathBuf,
}

/// The file of a store, or none for the server.
#[derive(Args, Clone, Debug)]
pub(crate) struct AnyStore {
    /// File of a store to work on without a server; by default, the command works on the server
    /// that you have signed in to, or on tinpot.db in this directory
    #[arg(long, env = "TINPOT_STORE", value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) store: Option<PathBuf>,
}

impl AnyStore {
    /// Returns the file; that in this directory by default.
    pub(crate) fn file(&self) -> StoreFile {
        StoreFile { store: self.store.clone().unwrap_or_else(|| PathBuf::from("tinpot.db")) }
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct LoginArgs {
    /// URL of the server
    #[arg(value_name = "SERVER")]
    pub(crate) server: Option<String>,
    /// Ask for a name and a password instead of showing a code to enter in a browser
    #[arg(long)]
    pub(crate) password: bool,
    /// Name of the user, to sign in with a password; by default, your user name on this machine
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// File with the password to sign in with; by default, the command asks on the terminal
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) password_file: Option<PathBuf>,
    /// Number of days for which the token is valid
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=366)
    )]
    pub(crate) days: u64,
    /// Scope of the token, such as read; repeat it for several. By default, the token has all your
    /// rights, and makes no other tokens: that needs "--scope all --scope tokens"
    #[arg(long = "scope", value_name = "SCOPE", default_value = "all")]
    pub(crate) scopes: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Users {
    /// Add a user
    #[command(
        after_help = "The first user of a server: tinpot users add ada --admin --password-file FILE"
    )]
    Add {
        /// Name to sign in with
        name: String,
        /// Make the user an admin of the server, and of its team
        #[arg(long, conflicts_with = "role")]
        admin: bool,
        /// Role in the team; without one, the user sees nothing
        #[arg(long, value_name = "ROLE")]
        role: Option<RoleName>,
        /// File with the password; asked for on a terminal by default
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        store: AnyStore,
    },
    /// List users with their roles
    List {
        #[command(flatten)]
        store: AnyStore,
    },
    /// Set the password of a user, and end all sign-ins
    Password {
        /// Name of the user
        name: String,
        /// File with the password; asked for on a terminal by default
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        store: AnyStore,
    },
    /// Disable a user: end all sign-ins, and take all rights away
    Disable {
        /// Name of the user
        name: String,
        #[command(flatten)]
        store: AnyStore,
    },
    /// Enable a user again
    Enable {
        /// Name of the user
        name: String,
        #[command(flatten)]
        store: AnyStore,
    },
    /// Remove a user with all tokens
    Remove {
        /// Name of the user
        name: String,
        #[command(flatten)]
        store: AnyStore,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Teams {
    /// Create a team
    Create {
        /// Name of the team
        name: String,
        /// Description, for people
        #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
        description: String,
        #[command(flatten)]
        store: StoreFile,
    },
    /// List teams with their members
    List {
        #[command(flatten)]
        store: StoreFile,
    },
    /// Rename a team; it keeps everything that belongs to it
    Rename {
        /// Name of the team
        name: String,
        /// New name of the team
        other: String,
        #[command(flatten)]
        store: StoreFile,
    },
    /// Disable a team: its members lose all rights in it, and its tokens are refused
    Disable {
        /// Name of the team
        name: String,
        #[command(flatten)]
        store: StoreFile,
    },
    /// Enable a team again
    Enable {
        /// Name of the team
        name: String,
        #[command(flatten)]
        store: StoreFile,
    },
    /// Remove an empty team
    Remove {
        /// Name of the team
        name: String,
        #[command(flatten)]
        store: StoreFile,
    },
    /// Make a user a member of a team
    AddMember {
        /// Name of the team
        name: String,
        /// Name of the user
        user: String,
        /// Role in the team; without one, the user sees nothing of it
        #[arg(long, value_name = "ROLE")]
        role: Option<RoleName>,
        #[command(flatten)]
        store: StoreFile,
    },
    /// Remove a user from a team, with the user's grants and tokens there
    RemoveMember {
        /// Name of the team
        name: String,
        /// Name of the user
        user: String,
        #[command(flatten)]
        store: StoreFile,
    },
}

/// The roles of a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleName {
    Viewer,
    Operator,
    Developer,
    Admin,
}

/// The principal of a grant: one of these.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct GrantTo {
    /// Name of the user that the role is for
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Name of the group whose members the role is for
    #[arg(long = "to-group", value_name = "NAME")]
    pub(crate) to_group: Option<String>,
    /// Name or id of the program that the role is for
    #[arg(long, value_name = "NAME")]
    pub(crate) program: Option<String>,
    /// Name of the action whose executions the role is for, when they call other actions
    #[arg(long = "to-action", value_name = "NAME")]
    pub(crate) to_action: Option<String>,
}

/// The part of the team that a grant is for.
#[derive(Args, Clone, Debug)]
pub(crate) struct GrantWhere {
    /// Action that the role is for: a name, or a pattern with *; all by default
    #[arg(long = "action", value_name = "NAME")]
    pub(crate) actions: Vec<String>,
    /// Group of actions that the role is for
    #[arg(long = "group", value_name = "NAME")]
    pub(crate) groups: Vec<String>,
    /// Queue that the role is for
    #[arg(long = "queue", value_name = "NAME")]
    pub(crate) queues: Vec<String>,
    /// Limit the role to executions that the user has submitted
    #[arg(long)]
    pub(crate) own_only: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Grants {
    /// Give a role to a user, to a group, to a program, or to the calls of an action
    #[command(
        after_help = "Example: tinpot grants add operator --to-group ops --action 'deploy-*'"
    )]
    Add {
        /// Role: viewer, operator, developer or admin
        role: RoleName,
        #[command(flatten)]
        to: GrantTo,
        #[command(flatten)]
        place: GrantWhere,
        #[command(flatten)]
        store: AnyStore,
    },
    /// List grants
    List {
        #[command(flatten)]
        store: AnyStore,
    },
    /// Remove a grant
    Remove {
        /// Id of the grant
        id: String,
        #[command(flatten)]
        store: AnyStore,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Programs {
    /// Add a program, which acts by tokens or certificates, and belongs to no person
    #[command(
        after_help = "Example: tinpot programs add ci --role operator, and then its token: tinpot \
                      tokens create build --program ci"
    )]
    Add {
        /// Name of the program
        name: String,
        /// Role in the team; without one, the program sees nothing
        #[arg(long, value_name = "ROLE")]
        role: Option<RoleName>,
        #[command(flatten)]
        store: AnyStore,
    },
    /// List programs
    List {
        #[command(flatten)]
        store: AnyStore,
    },
    /// Remove a program with all its tokens
    Remove {
        /// Name or id of the program
        name: String,
        #[command(flatten)]
        store: AnyStore,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Groups {
    /// Create a group, or replace its members
    Set {
        /// Name of the group
        name: String,
        /// Name of a user in the group; repeat it for several
        #[arg(long = "user", value_name = "NAME")]
        users: Vec<String>,
        #[command(flatten)]
        store: AnyStore,
    },
    /// List groups with their members
    List {
        #[command(flatten)]
        store: AnyStore,
    },
    /// Remove a group; its grants have no effect any more
    Remove {
        /// Name of the group
        name: String,
        #[command(flatten)]
        store: AnyStore,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Create a token for a user or program, and print it: this is the only time that it is shown
    Create {
        /// Name of the token, for people
        name: String,
        /// Name of the user whose rights the token has; through a server, you by default
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Name or id of the program whose rights the token has
        #[arg(long, value_name = "NAME", conflicts_with = "user")]
        program: Option<String>,
        /// Scope that limits the token, such as read or run:deploy-*; all rights of the user or
        /// program by default
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Number of days for which the token is valid
        #[arg(
            long,
            value_name = "NUMBER",
            default_value_t = 90,
            value_parser = clap::value_parser!(u64).range(1..=366),
            conflicts_with = "never"
        )]
        days: u64,
        /// Do not let the token expire
        #[arg(long)]
        never: bool,
        #[command(flatten)]
        store: AnyStore,
    },
    /// List tokens, without their secrets
    List {
        #[command(flatten)]
        store: AnyStore,
    },
    /// Give a token another secret, and print it; the former one is valid for a while
    Rotate {
        /// Id of the token
        id: String,
        /// Time for which the former secret stays valid
        #[arg(
            long,
            value_name = "SECONDS",
            default_value_t = 86_400,
            value_parser = clap::value_parser!(u64).range(0..=2_592_000)
        )]
        overlap: u64,
        #[command(flatten)]
        store: AnyStore,
    },
    /// Revoke a token
    Revoke {
        /// Id of the token
        id: String,
        #[command(flatten)]
        store: AnyStore,
    },
}

/// The file of a store, and that of the key of its secrets.
#[derive(Args, Clone, Debug)]
pub(crate) struct SecretFile {
    #[command(flatten)]
    pub(crate) store: AnyStore,
    /// File with the key that seals secrets in the store; store.key next to the store by default
    #[arg(long, env = "TINPOT_STORE_KEY_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) store_key_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Secrets {
    /// Set a secret that actions may ask for, from standard input; nothing shows it afterwards
    #[command(after_help = "Example: tinpot secrets set db-password --action 'backup-*' < FILE")]
    Set {
        /// Name of the secret, as in ctx.secret("NAME")
        name: String,
        /// Action that may have the secret: a name, or a pattern with *; all by default
        #[arg(long = "action", value_name = "NAME")]
        actions: Vec<String>,
        /// Group of actions that may have the secret
        #[arg(long = "group", value_name = "NAME")]
        groups: Vec<String>,
        /// Queue in which actions may have the secret
        #[arg(long = "queue", value_name = "NAME")]
        queues: Vec<String>,
        #[command(flatten)]
        store: SecretFile,
    },
    /// Give the store a new key, under which the next start of the coordinator seals all secrets;
    /// works only on the file of a store
    RotateKey {
        #[command(flatten)]
        store: SecretFile,
    },
    /// List secrets, without their values
    List {
        #[command(flatten)]
        store: SecretFile,
    },
    /// Remove a secret
    Remove {
        /// Name of the secret
        name: String,
        #[command(flatten)]
        store: SecretFile,
    },
}

/// The logs of the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuditLog {
    /// Runs, reruns and calls
    Runs,
    /// Everything else
    Others,
}

/// The entries of the audit that a command is about.
#[derive(Args, Clone, Debug)]
pub(crate) struct AuditFilter {
    /// Log to read; both by default
    #[arg(long, value_name = "LOG")]
    pub(crate) log: Option<AuditLog>,
    /// Earliest time: an age like 30m, 1h or 2d, today, yesterday, a date, or a time like 18:00,
    /// 2026-12-24T18:00 or 2026-12-24T18:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<Moment>,
    /// Latest time, in the same forms; a day is meant to its end
    #[arg(long, value_name = "TIME", value_parser = until)]
    pub(crate) until: Option<Moment>,
    /// Name or id of the principal
    #[arg(long, value_name = "NAME")]
    pub(crate) who: Option<String>,
    /// Act, such as run, cancel, refused or token.*
    #[arg(long, value_name = "TEXT")]
    pub(crate) what: Option<String>,
    /// Id of the object, such as that of an execution
    #[arg(long, value_name = "ID")]
    pub(crate) target: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List entries of the audit, newest first
    List {
        #[command(flatten)]
        filter: AuditFilter,
        /// Maximum number to list
        #[arg(
            long,
            short = 'n',
            value_name = "NUMBER",
            default_value_t = 50,
            value_parser = clap::value_parser!(u32).range(1..=100_000),
            allow_negative_numbers = true
        )]
        limit: u32,
        #[command(flatten)]
        store: AnyStore,
    },
    /// Print entries of the audit as JSON, one a line, as they are stored
    Export {
        #[command(flatten)]
        filter: AuditFilter,
        #[command(flatten)]
        store: StoreFile,
    },
    /// Check that no entry of the audit was changed or cut out
    Verify {
        #[command(flatten)]
        store: StoreFile,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Show the credentials in a store, and if it was restored from a backup
    Credentials {
        #[command(flatten)]
        store: StoreFile,
    },
    /// Revoke all credentials in a store: API tokens, sign-ins, tickets, join tokens, keys of workers
    /// and passwords. Users, programs and grants stay
    RevokeAll {
        #[command(flatten)]
        store: StoreFile,
    },
    /// Keep the credentials of a store that was restored from a backup, also those that were revoked
    /// since
    AcceptRestored {
        #[command(flatten)]
        store: StoreFile,
    },
}
