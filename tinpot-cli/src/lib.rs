#![doc = include_str!("../README.md")]

mod access;
mod args;
mod check;
mod client;
mod commands;
mod complete;
mod config;
mod conformance;
mod credentials;
mod dev_file;
mod doctor;
mod ending;
mod exec;
mod exit;
mod flags;
mod follow;
mod ids;
mod input;
mod json;
mod manual;
#[cfg(feature = "moor")]
mod moor;
mod numbers;
mod output;
mod own_variables;
mod private;
mod profile;
mod programs;
mod progress_bar;
mod python;
mod reference;
mod secret_prompt;
mod session;
mod shell;
mod suggest;
mod table;
mod times;
mod token;
mod toml_span;
mod usage_errors;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches};
use tinpot_server::settings::{accept_old_names, old_name_warnings, password_in_arguments};

use crate::args::{Cli, Command, Executions, Global};
use crate::commands::Target;
use crate::exit::{CliError, Code, Done};

pub use crate::reference::{cli_reference, configuration_reference};

/// Runs the command that the arguments of the process name.
pub fn main() -> ExitCode {
    // First: a worker starts this program again for each program that it runs as an action.
    tinpot_server::supervise_if_asked();
    if complete::asked() {
        return complete::complete().into();
    }
    let arguments = programs::as_minitowerd(std::env::args_os().collect());
    let as_json = wants_json(&arguments);
    match dispatch(&arguments) {
        Ok(code) => code.into(),
        Err(failure) => {
            report(&failure, as_json);
            failure.code.into()
        }
    }
}

/// Returns true if a command line asks for JSON. Looks at the bare words, since parsing may fail,
/// and the error has to be JSON too.
fn wants_json(words: &[OsString]) -> bool {
    words.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

fn report(failure: &CliError, as_json: bool) {
    if failure.message.is_empty() {
        return;
    }
    if as_json {
        let text = serde_json::json!({"detail": failure.message, "exit_code": failure.code as u8});
        return output::say(&text.to_string());
    }
    let paint = output::Paint::stderr();
    match failure.code {
        // Not an error.
        Code::Interrupted | Code::StillRunning => {
            output::say(&paint.dim(&format!("tinpot: {failure}")))
        }
        _ => output::say(&format!("{} {failure}", paint.red("error:"))),
    }
}

fn dispatch(arguments: &[OsString]) -> Done {
    if let Some(target) = Target::of(arguments, "run") {
        return commands::run(&target);
    }
    if let Some(target) = Target::of(arguments, "exec") {
        return exec::exec(&target);
    }
    if let Some(target) = Target::below(arguments, &["executions", "rerun"]) {
        return commands::rerun(&target);
    }
    // The own names win over all others, also over old ones.
    let (command, ignored) = own_variables::prefer(Cli::command(), arguments);
    let command = accept_old_names(command);
    let (command, file) = config::with_file(command, arguments)?;
    let matches = command
        .clone()
        .try_get_matches_from(arguments)
        .map_err(|error| usage_errors::report(error, &command, arguments))?;
    let old_names = old_name_warnings(&command, &matches, arguments);
    for warning in old_names.iter().chain(&file.warnings).chain(&ignored) {
        output::say(&format!("{} {warning}", output::Paint::stderr().yellow("warning:")));
    }
    if let Some(why) = password_in_arguments(&command, &matches) {
        return Err(CliError::usage(why));
    }
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|e| e.exit());
    if config::wants_settings(&cli.command) {
        config::show(&command, &matches, &file, cli.global.json)?;
        return Ok(Code::Success);
    }
    if let Command::Worker(arguments) = &mut cli.command {
        arguments.set_directories(file.directories);
    }
    run(cli.command, &cli.global)
}

fn run(command: Command, global: &Global) -> Done {
    match command {
        Command::Dev(arguments) => programs::dev(*arguments),
        Command::Coordinator(arguments) => programs::coordinator(*arguments),
        Command::Worker(arguments) => programs::worker(*arguments, global.server.clone()),
        Command::Tower(arguments) => programs::tower(*arguments, global),
        Command::Actions(command) => commands::actions(&command, global),
        Command::Run(arguments) => commands::without_name("run", arguments.help),
        Command::Exec(arguments) => commands::without_name("exec", arguments.help),
        Command::Executions(command) => commands::executions(&command, global),
        Command::Logs(arguments) => commands::executions(&Executions::Logs(arguments), global),
        Command::Workers(command) => commands::workers(&command, global),
        Command::Queues(command) => commands::queues(&command, global),
        Command::Pack(arguments) => commands::pack(&arguments, global),
        Command::Deploy(arguments) => commands::deploy(&arguments, global),
        Command::Apps(command) => commands::apps(&command, global),
        Command::Versions(command) => commands::versions(&command, global),
        Command::Rollback(arguments) => commands::rollback(&arguments, global),
        Command::Broker(command) => access::broker(&command),
        Command::Login(arguments) => session::login(&arguments, global),
        Command::Logout { server } => session::logout(server.as_deref(), global),
        Command::Whoami { header } => session::whoami(header, global),
        Command::Open => session::open(global),
        Command::Users(command) => access::users(&command, global),
        Command::Teams(command) => access::teams(&command, global),
        Command::Grants(command) => access::grants(&command, global),
        Command::Groups(command) => access::groups(&command, global),
        Command::Programs(command) => access::programs(&command, global),
        Command::Tokens(command) => access::tokens(&command, global),
        Command::Secrets(command) => access::secrets(&command, global),
        Command::Audit(command) => access::audit(&command, global),
        Command::Store(command) => access::store(&command, global),
        Command::Init(arguments) => programs::init(&arguments, global),
        Command::Check(arguments) => check::check(&arguments, global),
        Command::Doctor(arguments) => doctor::doctor(&arguments, global),
        Command::Python(command) => python::python(&command, global),
        Command::Conformance(command) => conformance::conformance(&command, global),
        #[cfg(feature = "moor")]
        Command::Moor(command) => moor::moor(&command),
        Command::Openapi => commands::openapi(global),
        Command::Completions(arguments) => complete::script(arguments.shell),
        Command::Manual { dir } => manual::write(&dir),
        Command::Version => commands::version(global),
    }
}
