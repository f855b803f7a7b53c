//! The actions of the suite as Rust closures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::executor::{FunctionExecutor, FunctionExecutorBuilder};
use crate::model::log::Level;

/// The interval at which a waiting action looks for its file.
const POLL: Duration = Duration::from_millis(5);

#[derive(Deserialize, JsonSchema)]
struct Echo {
    value: Value,
}

#[derive(Deserialize, JsonSchema)]
struct Add {
    a: i64,
    #[serde(default = "two")]
    b: i64,
}

fn two() -> i64 {
    2
}

#[derive(Deserialize, JsonSchema)]
struct Fail {
    message: String,
}

#[derive(Deserialize, JsonSchema)]
struct Nothing {}

#[derive(Deserialize, JsonSchema)]
struct PrintLines {
    count: u64,
    #[serde(default = "line")]
    prefix: String,
    #[serde(default)]
    scratch: PathBuf,
}

fn line() -> String {
    "line".to_owned()
}

#[derive(Deserialize, JsonSchema)]
struct Place {
    dir: PathBuf,
}

#[derive(Deserialize, JsonSchema)]
struct LeaveChild {
    dir: PathBuf,
    wait: bool,
}

#[derive(Deserialize, JsonSchema)]
struct Report {
    done: f64,
    message: String,
    total: f64,
}

/// Returns a builder that offers the actions of the suite.
pub fn functions() -> FunctionExecutorBuilder {
    FunctionExecutor::builder()
        .action("echo", |_, Echo { value }| async move { Ok::<_, String>(value) })
        .action("add", |_, Add { a, b }| async move { Ok::<_, String>(a + b) })
        .action("fail", |_, Fail { message }| async move { Err::<(), _>(message) })
        .action("crash", |_, Nothing {}| async move {
            if true {
                panic!("this action panics");
            }
            Ok::<_, String>(())
        })
        .action("print_lines", |context, PrintLines { count, prefix, scratch }| async move {
            for i in 0..count {
                context.log(Level::Info, format!("{prefix} {i}")).await;
            }
            if !scratch.as_os_str().is_empty() {
                make(&scratch, "ended")?;
            }
            Ok::<_, String>(count)
        })
        .action("wait", |context, Place { dir }| async move {
            make(&dir, "started")?;
            context.stopped().await;
            make(&dir, "cleaned")?;
            Err::<(), _>("was asked to end".to_owned())
        })
        .action("stubborn", |_, Place { dir }| async move {
            make(&dir, "started")?;
            appears(&dir, "release").await;
            make(&dir, "ended")?;
            Ok::<_, String>("released")
        })
        .action("leave_child", |_, LeaveChild { dir, wait }| async move {
            // Owned by this future: a detached task would be no fault of the executor.
            let mut children = JoinSet::new();
            children.spawn(child(dir.clone()));
            appears(&dir, "child_started").await;
            make(&dir, "started")?;
            if wait {
                appears(&dir, "release").await;
                make(&dir, "ended")?;
            }
            Ok::<_, String>(())
        })
        .action("progress", |context, Report { done, message, total }| async move {
            context.progress(done, Some(total), message);
            Ok::<_, String>(())
        })
}

async fn child(dir: PathBuf) -> Result<(), String> {
    make(&dir, "child_started")?;
    appears(&dir, "release").await;
    make(&dir, "child_ended")
}

async fn appears(dir: &Path, file: &str) {
    while !dir.join(file).exists() {
        tokio::time::sleep(POLL).await;
    }
}

fn make(dir: &Path, file: &str) -> Result<(), String> {
    std::fs::write(dir.join(file), "").map_err(|e| e.to_string())
}
