//! The commands about bundles, apps and versions.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// The directory to pack.
#[derive(Args, Clone, Debug)]
pub(crate) struct BundleDir {
    /// Directory with a Towerfile, or with Python files that have actions
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// Glob of files to leave out, in addition to those of .tinpotignore. Repeat it for several
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Name of the app, for a directory of Python actions without a Towerfile; by default, that of the
    /// directory
    #[arg(long, value_name = "NAME")]
    pub(crate) app: Option<String>,
    /// Python interpreter or virtual environment that imports a directory of Python actions; VIRTUAL_ENV
    /// or python3 by default. Only the first of several, separated by commas, is used
    #[arg(
        long,
        env = "TINPOT_PYTHON",
        value_name = "PATH",
        value_delimiter = ',',
        value_hint = ValueHint::AnyPath
    )]
    pub(crate) python: Vec<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct PackArgs {
    #[command(flatten)]
    pub(crate) bundle: BundleDir,
    /// List the files that the bundle has, and write nothing
    #[arg(long, conflicts_with = "output")]
    pub(crate) list: bool,
    /// File to write the archive to, a tar.gz; - for standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct DeployArgs {
    #[command(flatten)]
    pub(crate) bundle: BundleDir,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Apps {
    /// List apps with their active versions
    List,
    /// Show an app with its latest versions
    Show {
        /// Name of the app
        app: String,
    },
    /// Create an app, without versions
    Create {
        /// Name of the app: that in the Towerfile
        app: String,
        /// Description, for people
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
    },
    /// Enable an app again
    Enable {
        /// Name of the app
        app: String,
    },
    /// Remove an app with its versions; it must be disabled, unless no version is active
    Remove {
        /// Name of the app
        app: String,
    },
    /// Disable an app: it takes no submissions; what it has accepted runs
    Disable {
        /// Name of the app
        app: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Versions {
    /// List the versions of an app, the newest first
    List {
        /// Name of the app
        app: String,
        /// Maximum number to list
        #[arg(
            long,
            short = 'n',
            value_name = "NUMBER",
            default_value_t = 20,
            value_parser = clap::value_parser!(u32).range(1..=1_000),
            allow_negative_numbers = true
        )]
        limit: u32,
    },
    /// Show a version with its files and its Towerfile
    Show {
        /// Name of the app
        app: String,
        /// Number of the version; the active one by default
        version: Option<u32>,
    },
    /// Compare the files of two versions
    Diff {
        /// Name of the app
        app: String,
        /// Number of the earlier version
        from: u32,
        /// Number of the later version; the active one by default
        to: Option<u32>,
        /// Print the names of the files alone, and not the differences of their texts
        #[arg(long)]
        names: bool,
    },
    /// Upload a directory as a version that does not become the active one
    Upload(DeployArgs),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct RollbackArgs {
    /// Name of the app
    pub(crate) app: String,
    /// Number of the version to activate; the one before the active one by default
    pub(crate) version: Option<u32>,
}
