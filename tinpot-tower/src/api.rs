//! The routes of people: teams, tokens, apps, versions and runs.

pub(crate) mod apps;
pub(crate) mod health;
pub(crate) mod logs;
pub(crate) mod run;
pub(crate) mod run_list;
pub(crate) mod runners;
pub(crate) mod runs;
pub(crate) mod sign_in;
pub(crate) mod summary;
pub(crate) mod tokens;
pub(crate) mod upload;
pub(crate) mod versions;
