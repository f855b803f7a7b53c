//! `tinpot conformance`: whether a worker follows the protocol.

use std::time::{SystemTime, UNIX_EPOCH};

use tinpot_conformance::{Frames, Suite, Verdict};

use crate::args::{Conformance, ConformanceArgs, FrameKind, Global, ReportForm};
use crate::exit::{CliError, Code, Done};
use crate::output;
use crate::programs::runtime;

pub(crate) fn conformance(command: &Conformance, global: &Global) -> Done {
    let Conformance::Worker(arguments) = command;
    let suite = suite(arguments)?;
    let form = if global.json { ReportForm::Json } else { arguments.format };
    if arguments.list {
        return list(&suite, form);
    }
    let is_text = form == ReportForm::Text;
    let mut printed = Ok(());
    let report = runtime()?.block_on(suite.play(|verdict: &Verdict| {
        if is_text && printed.is_ok() {
            printed = output::println(&verdict.text());
        }
    }));
    printed?;
    match form {
        ReportForm::Text => output::println(&report.text())?,
        ReportForm::Tap => output::print(&report.tap())?,
        ReportForm::Json => output::println(&report.json())?,
    }
    Ok(if report.has_passed() { Code::Success } else { Code::Failed })
}

fn suite(arguments: &ConformanceArgs) -> Result<Suite, CliError> {
    let seed = arguments.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::from(now.subsec_nanos())
    });
    let frames = match arguments.frames {
        FrameKind::Plain => Frames::Plain,
        FrameKind::Sealed => Frames::Sealed,
    };
    let mut suite = Suite::new(arguments.command.iter().cloned())
        .seed(seed)
        .frames(frames)
        .jobs(arguments.jobs as usize)
        .patience(arguments.patience);
    if !arguments.scenes.is_empty() {
        suite = suite.only(&arguments.scenes);
    }
    if suite.scenes().next().is_none() {
        let names = arguments.scenes.join(", ");
        return Err(CliError::usage(format!(
            "no scene is named {names}: `tinpot conformance worker --list` lists all"
        )));
    }
    Ok(suite)
}

fn list(suite: &Suite, form: ReportForm) -> Done {
    if form == ReportForm::Json {
        let scenes: Vec<_> = suite
            .scenes()
            .map(|scene| {
                serde_json::json!({
                    "name": scene.name(),
                    "rule": scene.rule(),
                    "section": scene.section(),
                })
            })
            .collect();
        output::println(&serde_json::Value::from(scenes).to_string())?;
        return Ok(Code::Success);
    }
    for scene in suite.scenes() {
        output::println(&format!("{:<36} {}", scene.name(), scene.rule()))?;
    }
    Ok(Code::Success)
}
