//! `tinpot check`: imports the actions of a directory, and reads its Towerfiles, as a worker would.

use tinpot_core::Executor;
use tinpot_process::ProcessExecutor;
use tinpot_python::{ContainmentMode, EnvironmentOptions, PythonPool};

use crate::args::{CheckArgs, Global};
use crate::exit::{CliError, Code, Done};
use crate::output::{self, Paint};
use crate::programs::runtime;

pub(crate) fn check(arguments: &CheckArgs, global: &Global) -> Done {
    let dir = &arguments.dir;
    if !dir.is_dir() {
        let message = format!("no directory {}: name the directory of the actions", dir.display());
        return Err(CliError::new(Code::NotFound, message));
    }
    let builder = PythonPool::builder(dir)
        .size(1)
        .reload(false)
        .pass_env(&arguments.env)
        .pythons(&arguments.python)
        .containment(ContainmentMode::ProcessGroup);
    let programs =
        ProcessExecutor::builder(dir).reload(false).containment(ContainmentMode::ProcessGroup);
    let action_set = runtime()?.block_on(async {
        let pool = builder.start_with_environments(EnvironmentOptions::default()).await?;
        pool.settled().await;
        let programs = programs.start().await?;
        let action_set = tinpot_server::joint_offer(&[pool.actions(), programs.actions()]);
        programs.close().await?;
        pool.close().await?;
        Ok::<_, tinpot_core::Error>(action_set)
    })?;
    let (notices, errors): (Vec<_>, Vec<_>) =
        action_set.load_errors.iter().partition(|error| error.notice);
    let code = if errors.is_empty() { Code::Success } else { Code::Failed };
    if global.json {
        let actions: Vec<_> = action_set.actions.iter().map(|action| &action.name).collect();
        let text = serde_json::json!({"actions": actions, "problems": action_set.load_errors});
        output::println(&text.to_string())?;
        return Ok(code);
    }
    let paint = Paint::stdout();
    for action in &action_set.actions {
        output::println(&format!("{} {}", paint.green("ok"), action.name))?;
    }
    let labelled = notices.iter().map(|notice| (paint.yellow("notice"), notice));
    for (label, error) in labelled.chain(errors.iter().map(|one| (paint.red("load error"), one))) {
        output::println(&format!("{label} {}", error.place))?;
        for line in error.message.lines() {
            output::println(&format!("    {}", output::clean(line, false)))?;
        }
    }
    let (actions, problems) = (action_set.actions.len(), errors.len());
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    output::say(&format!("{}, {}", count(actions, "action"), count(problems, "load error")));
    Ok(code)
}
