//! The price of trust: what attacks cost others, what identity costs, and how fast a right ends.

pub mod audit;
pub mod decisions;
pub mod half_open;
pub mod idle;
pub mod lists;
pub mod passwords;
pub mod revoked;
pub mod server;
pub mod strangers;

use std::fmt;

/// The error of a measurement.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// One line of the table.
#[derive(Debug)]
pub struct Line {
    what: String,
    must: &'static str,
    aim: &'static str,
    measured: String,
}

impl Line {
    /// Creates a line with what was asked for.
    pub fn new(
        what: impl Into<String>,
        must: &'static str,
        aim: &'static str,
        measured: impl Into<String>,
    ) -> Self {
        Self { what: what.into(), must, aim, measured: measured.into() }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} | {} | {} | {} |", self.what, self.must, self.aim, self.measured)
    }
}
