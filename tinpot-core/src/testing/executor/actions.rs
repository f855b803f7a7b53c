//! The actions of the suite as Rust closures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::executor::{FunctionExecutor, FunctionExecutorBuilder};
use crate::model::log::Level;

/// How often an action that waits for a file looks for it.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

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
}

fn line() -> String {
    "line".to_owned()
}

#[derive(Deserialize, JsonSchema)]
struct Place {
    dir: PathBuf,
}

#[derive(Deserialize, JsonSchema)]
struct Report {
    done: f64,
    message: String,
    total: f64,
}

/// A builder that offers the actions of the suite.
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
        .action("print_lines", |context, PrintLines { count, prefix }| async move {
            for i in 0..count {
                context.log(Level::Info, format!("{prefix} {i}")).await;
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
            while !dir.join("release").exists() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            Ok::<_, String>("released")
        })
        .action("progress", |context, Report { done, message, total }| async move {
            context.progress(done, Some(total), message);
            Ok::<_, String>(())
        })
}

fn make(dir: &Path, file: &str) -> Result<(), String> {
    std::fs::write(dir.join(file), "").map_err(|e| e.to_string())
}
