//! The commands about users, tokens and the audit.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

/// The file of the store that a command works on, without a server.
#[derive(Args, Clone, Debug)]
pub(crate) struct StoreFile {
    /// File that keeps executions, users and tokens; a server may have it open
    #[arg(long, env = "TINPOT_STORE", value_name = "PATH", default_value = "tinpot.db", value_hint = ValueHint::FilePath)]
    pub(crate) store: PathBuf,
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
        store: StoreFile,
    },
    /// List users with their roles
    List {
        #[command(flatten)]
        store: StoreFile,
    },
    /// Set the password of a user, and end all sign-ins
    Password {
        /// Name of the user
        name: String,
        /// File with the password; asked for on a terminal by default
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        password_file: Option<PathBuf>,
        #[command(flatten)]
        store: StoreFile,
    },
    /// Disable a user: end all sign-ins, and take all rights away
    Disable {
        /// Name of the user
        name: String,
        #[command(flatten)]
        store: StoreFile,
    },
    /// Enable a user again
    Enable {
        /// Name of the user
        name: String,
        #[command(flatten)]
        store: StoreFile,
    },
    /// Remove a user with all tokens
    Remove {
        /// Name of the user
        name: String,
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

#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Create a token for a user, and print it: this is the only time that it is shown
    Create {
        /// Name of the token, for people
        name: String,
        /// Name of the user whose rights the token has
        #[arg(long, value_name = "NAME")]
        user: String,
        /// Scope that limits the token, such as read or run:deploy-*; all rights of the user by
        /// default
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
        store: StoreFile,
    },
    /// List tokens, without their secrets
    List {
        #[command(flatten)]
        store: StoreFile,
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
        store: StoreFile,
    },
    /// Revoke a token
    Revoke {
        /// Id of the token
        id: String,
        #[command(flatten)]
        store: StoreFile,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Check that no entry of the audit was changed or cut out
    Verify {
        #[command(flatten)]
        store: StoreFile,
    },
}
