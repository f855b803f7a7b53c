//! `tinpot exec FILE::ACTION`: does what `run` does, on a server of its own that ends with the
//! execution.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, Args, Command, FromArgMatches};
use tinpot_server::LocalServer;
use tinpot_server::settings::HttpSettings;

use crate::args::Global;
use crate::client::Client;
use crate::commands::{Exec, Target, find, run_with};
use crate::exit::{CliError, Code, Done};
use crate::programs::runtime;

/// The time that attempts have to end after an interrupted command.
const PATIENCE: Duration = Duration::from_secs(1);

/// The options of this command alone.
#[derive(Args, Clone, Debug)]
struct PythonArgs {
    /// The Python interpreter, or a virtual environment; VIRTUAL_ENV or python3 by default
    #[arg(long, env = "TINPOT_PYTHON", value_name = "PATH", help_heading = "Run options")]
    python: Option<PathBuf>,
}

pub(crate) fn exec(target: &Target) -> Done {
    let (file, name) = target
        .name
        .rsplit_once("::")
        .filter(|(file, name)| !file.is_empty() && !name.is_empty())
        .ok_or_else(|| {
            let message =
                format!("{:?}: must be FILE::ACTION, as in actions/hello.py::hello", target.name);
            CliError::usage(message)
        })?;
    let path = Path::new(file);
    if !path.is_file() {
        return Err(CliError::new(Code::NotFound, format!("no file {file}")));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Some(file_name) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(CliError::usage(format!("{file}: must be a file with a name in UTF-8")));
    };
    let builder = LocalServer::builder(folder.unwrap_or(Path::new(".")))
        .python(python(target))
        .concurrency(1)
        // As a script of the user's own.
        .pass_env(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
        .only(file_name);
    let runtime = runtime()?;
    let server = runtime.block_on(async {
        let any_port = HttpSettings::new(Ipv4Addr::LOCALHOST.into(), 0);
        builder.start(tinpot_server::listen(&any_port).await?).await
    })?;
    let done = run(&server, path, name, target);
    runtime.block_on(server.shutdown(PATIENCE));
    done
}

fn run(server: &LocalServer, path: &Path, name: &str, target: &Target) -> Done {
    let client = Client::new(&server.url())?;
    let action_set = server.actions().current();
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let of_file = |place: &str| {
        place.rsplit_once(':').map_or(place, |(file, _)| file) == file_name || place == file_name
    };
    if !action_set.actions.iter().any(|action| action.name == name) {
        if let Some(error) = action_set.load_errors.iter().find(|error| of_file(&error.place)) {
            return Err(CliError::new(
                Code::Failed,
                format!("{}:\n{}", error.place, error.message.trim_end()),
            ));
        }
        let names = action_set.actions.iter().map(|action| &*action.name);
        let near = crate::suggest::or_list(name, names);
        let message = format!("no action {name:?} in {}{near}", path.display());
        return Err(CliError::new(Code::NotFound, message));
    }
    let action = find(&client, name)?;
    let called = format!("tinpot exec {}", crate::shell::quoted(&target.name));
    let exec = Exec { called, options: PythonArgs::augment_args };
    run_with(&client, name, Some(&action), &target.words, Some(&exec))
}

/// Returns the interpreter that the words name.
fn python(target: &Target) -> Option<PathBuf> {
    let mut words = target.words.iter();
    let mut found = Vec::new();
    while let Some(word) = words.next() {
        let text = word.to_string_lossy();
        if text == "--python" {
            found.extend([Some(word.clone()), words.next().cloned()].into_iter().flatten());
        } else if text.starts_with("--python=") {
            found.push(word.clone());
        }
    }
    let command: Command = PythonArgs::augment_args(Global::augment_args(Command::new("exec")));
    let command = command.arg(Arg::new("help").long("help").num_args(0)).disable_help_flag(true);
    let matches = command.no_binary_name(true).try_get_matches_from(found).ok()?;
    PythonArgs::from_arg_matches(&matches).ok()?.python
}
