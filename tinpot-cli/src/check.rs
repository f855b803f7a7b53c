//! `tinpot check`: imports the actions of a folder as a worker would.

use tinpot_core::Executor;
use tinpot_python::{ContainmentMode, PythonPool};

use crate::args::{CheckArgs, Global};
use crate::exit::{Code, Done, Failure};
use crate::output::{self, Paint};
use crate::programs::runtime;

pub(crate) fn check(arguments: &CheckArgs, global: &Global) -> Done {
    let dir = &arguments.dir;
    if !dir.is_dir() {
        let message = format!("there is no folder {}: name that of the actions", dir.display());
        return Err(Failure::new(Code::NotFound, message));
    }
    let mut builder =
        PythonPool::builder(dir).size(1).reload(false).containment(ContainmentMode::ProcessGroup);
    if let Some(python) = &arguments.python {
        builder = builder.python(python);
    }
    let offer = runtime()?.block_on(async {
        let pool = builder.start().await?;
        let offer = pool.actions().borrow().clone();
        pool.close().await?;
        Ok::<_, tinpot_core::Error>(offer)
    })?;
    let code = if offer.load_errors.is_empty() { Code::Success } else { Code::Failed };
    if global.json {
        let actions: Vec<_> = offer.actions.iter().map(|action| &action.name).collect();
        let text = serde_json::json!({"actions": actions, "problems": offer.load_errors});
        output::println(&text.to_string())?;
        return Ok(code);
    }
    let paint = Paint::stdout();
    for action in &offer.actions {
        output::println(&format!("{} {}", paint.green("ok"), action.name))?;
    }
    for problem in &offer.load_errors {
        output::println(&format!("{} {}", paint.red("problem"), problem.place))?;
        for line in problem.message.lines() {
            output::println(&format!("    {}", output::clean(line, false)))?;
        }
    }
    let (actions, problems) = (offer.actions.len(), offer.load_errors.len());
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    output::say(&format!("{}, {}", count(actions, "action"), count(problems, "problem")));
    Ok(code)
}
