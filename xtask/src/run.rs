//! Steps: what they run, how they report, and the table at the end.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// One line of the table: a name and what has to go well.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) work: Vec<Work>,
}

/// Work that succeeds or fails.
#[derive(Debug)]
pub(crate) enum Work {
    /// A program, with its arguments and extra environment.
    Command { line: Vec<String>, env: Vec<(&'static str, String)> },
    /// A check written in this crate; the text says what was found.
    Check(fn() -> Result<String, String>),
}

impl Step {
    pub(crate) fn new(name: &'static str, about: &'static str) -> Self {
        Self { name, about, work: Vec::new() }
    }

    /// Adds a command, given as one line of words without quoting.
    pub(crate) fn command(self, line: &str) -> Self {
        self.command_with(line, &[])
    }

    /// Adds a command with extra environment.
    pub(crate) fn command_with(mut self, line: &str, env: &[(&'static str, String)]) -> Self {
        let line = line.split_whitespace().map(str::to_owned).collect();
        self.work.push(Work::Command { line, env: env.to_vec() });
        self
    }

    /// Adds a check.
    pub(crate) fn check(mut self, check: fn() -> Result<String, String>) -> Self {
        self.work.push(Work::Check(check));
        self
    }
}

/// The number of its last lines that a failed step shows again below all steps.
const LAST_LINES: usize = 80;
/// The time without a line after which a step that has ended is left, if its output is still open.
const LEFT_OPEN: Duration = Duration::from_secs(1);

/// Runs the steps in order and prints the table; true when all went well.
///
/// It goes on after a failure unless told otherwise: one run should tell everything that is wrong.
/// The end of each failed step of `ci` is repeated before the table where no terminal keeps the
/// output.
pub(crate) fn run(prefix: &str, steps: &[Step], stop_at_failure: bool) -> bool {
    if let [step] = steps {
        return run_step(prefix, step);
    }
    let is_ci = matches!(prefix, "cargo xtask ci" | "cargo xtask test");
    let keeps_output = !is_ci || io::stdout().is_terminal();
    let started = Instant::now();
    let mut rows = Vec::new();
    let mut ends = Vec::new();
    for step in steps {
        let step_started = Instant::now();
        let succeeded = if keeps_output {
            run_step(prefix, step)
        } else {
            let (succeeded, end) = run_step_apart(step.name).unwrap_or_else(|error| {
                println!("── {}: cannot run it apart: {error}", step.name);
                (false, VecDeque::new())
            });
            if !succeeded {
                ends.push((step.name, end));
            }
            succeeded
        };
        rows.push((step.name, !succeeded, step_started.elapsed()));
        if !succeeded && stop_at_failure {
            break;
        }
    }
    for (name, end) in &ends {
        println!("\n── the end of {name} again:");
        end.iter().for_each(|line| println!("{line}"));
    }
    println!("\n{:<16} {:<8} {:>9}", "step", "result", "time");
    for (name, failed, took) in &rows {
        let result = if *failed { "FAILED" } else { "ok" };
        println!("{name:<16} {result:<8} {:>9}", seconds(*took));
    }
    for step in &steps[rows.len()..] {
        println!("{:<16} {:<8} {:>9}", step.name, "not run", "");
    }
    println!("{:<16} {:<8} {:>9}", "all", "", seconds(started.elapsed()));
    rows.len() == steps.len() && rows.iter().all(|(_, failed, _)| !failed)
}

fn run_step(prefix: &str, step: &Step) -> bool {
    println!("\n── {}: {}", step.name, step.about);
    let started = Instant::now();
    let failure = step.work.iter().find_map(|work| perform(work).err());
    let took = seconds(started.elapsed());
    match &failure {
        None => println!("── {}: ok, {took}", step.name),
        Some(failure) => {
            println!("── {}: FAILED, {took}\n{failure}", step.name);
            println!("   the whole step: {prefix} {}", step.name);
        }
    }
    failure.is_none()
}

/// Runs a step in a process of its own and passes its output on, of which it keeps the last lines.
///
/// Ends with the step, also if a process that it left behind keeps its output open.
fn run_step_apart(name: &str) -> io::Result<(bool, VecDeque<String>)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["ci", name]).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // It holds the writing half, and the output ends when the last holder has closed it.
    drop(command);
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        let lines = BufReader::new(reader).split(b'\n').map_while(Result::ok);
        lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
    });
    let mut end = VecDeque::new();
    let mut status = None;
    loop {
        let line = match lines.recv_timeout(LEFT_OPEN) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) if status.is_none() => {
                status = child.try_wait()?;
                continue;
            }
            Err(_) => break,
        };
        let mut stdout = io::stdout().lock();
        stdout.write_all(&line)?;
        stdout.write_all(b"\n")?;
        if end.len() == LAST_LINES {
            end.pop_front();
        }
        end.push_back(String::from_utf8_lossy(&line).into_owned());
    }
    let status = status.map_or_else(|| child.wait(), Ok)?;
    Ok((status.success(), end))
}

fn perform(work: &Work) -> Result<(), String> {
    match work {
        Work::Check(check) => check().map(|found| println!("{found}")),
        Work::Command { line, env } => {
            let shown = shown(line, env);
            println!("$ {shown}");
            let status = Command::new(&line[0])
                .args(&line[1..])
                .envs(env.iter().map(|(key, value)| (key, value)))
                .status();
            match status {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(format!("   {status}; again: {shown}")),
                Err(error) => Err(format!("   cannot start it: {error}; again: {shown}")),
            }
        }
    }
}

/// The command as a shell would take it.
fn shown(line: &[String], env: &[(&'static str, String)]) -> String {
    let env = env.iter().map(|(key, value)| format!("{key}={}", quoted(value)));
    env.chain(line.iter().map(|word| quoted(word))).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+./:,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// Runs a program to its end, with its output on the terminal.
///
/// # Errors
/// A line with the command, if it cannot be started or fails.
pub(crate) fn execute(command: &mut Command) -> Result<(), String> {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let line: Vec<_> = words.map(|word| quoted(&word.to_string_lossy())).collect();
    let line = line.join(" ");
    println!("$ {line}");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("   {status}: {line}")),
        Err(error) => Err(format!("   cannot start `{line}`: {error}")),
    }
}

/// Returns the folder of build results: `CARGO_TARGET_DIR` or `target`.
pub(crate) fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}

/// Returns what a program prints, or the reason why it failed.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String, String> {
    let line = || format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("cannot start `{}`: {error}", line()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("`{}`: {}\n{}", line(), output.status, errors.trim_end()))
    }
}

/// Makes the root of the workspace the current directory, wherever cargo was called.
pub(crate) fn enter_workspace() -> io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::env::set_current_dir(here.parent().unwrap_or(here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_a_shell_takes_them() {
        let line = ["a".to_owned(), "it's b".to_owned()];
        let env = [("FLAGS", "-D warnings".to_owned())];
        assert_eq!(shown(&line, &env), r"FLAGS='-D warnings' a 'it'\''s b'");
    }

    #[test]
    fn a_failed_step_fails_the_run_and_a_missing_program_is_a_failure() {
        let bad = Step::new("a", "").check(|| Err("no".to_owned()));
        let good = Step::new("b", "").check(|| Ok("yes".to_owned()));
        let missing = Step::new("c", "").command("no-such-program-anywhere");
        assert!(!run("x", &[bad], false));
        assert!(run("x", &[good], false));
        assert!(!run("x", &[missing], false));
    }
}
