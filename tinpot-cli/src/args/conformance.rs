//! The arguments of `tinpot conformance`.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

#[derive(Debug, Subcommand)]
pub(crate) enum Conformance {
    /// Start a worker again and again, play scenes with it, and print a verdict on each
    #[command(
        after_help = "The worker has to offer a few actions, which docs/protocol/conformance.md lists."
    )]
    Worker(ConformanceArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ConformanceArgs {
    /// Scenes to play, with `*` for any characters; all by default
    #[arg(long = "scene", value_name = "NAME", value_delimiter = ',')]
    pub(crate) scenes: Vec<String>,
    /// List the scenes with their rules, and play none
    #[arg(long)]
    pub(crate) list: bool,
    /// Seed of the random scenes; a new one by default
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Form of the output
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) format: ReportForm,
    /// Frames of the scenes that need no particular ones
    #[arg(long, value_name = "KIND", default_value = "plain")]
    pub(crate) frames: FrameKind,
    /// Number of scenes to play at the same time, each with a worker of its own
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 6,
        value_parser = clap::value_parser!(u32).range(1..=64),
        allow_negative_numbers = true
    )]
    pub(crate) jobs: u32,
    /// Time to wait for each message of the worker
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "10",
        value_parser = tinpot_server::settings::seconds,
        allow_negative_numbers = true
    )]
    pub(crate) patience: Duration,
    /// Command that starts the worker, and its arguments
    #[arg(
        value_name = "COMMAND",
        last = true,
        required_unless_present = "list",
        value_hint = ValueHint::CommandWithArguments
    )]
    pub(crate) command: Vec<OsString>,
}

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportForm {
    /// Text for people
    Text,
    /// Test Anything Protocol
    Tap,
    /// One JSON document
    Json,
}

/// The kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FrameKind {
    /// JSON that the broker can read
    Plain,
    /// Encrypted frames, after a join with a token
    Sealed,
}
