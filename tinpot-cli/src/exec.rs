//! `tinpot exec FILE::ACTION` and `tinpot exec FOLDER` with a Towerfile: does what `run` does, on a
//! server of its own that ends with the execution.

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
    /// The Python interpreter or virtual environment; VIRTUAL_ENV or python3 by default. More of them,
    /// separated by commas, are for directories and files that ask for another version
    #[arg(
        long,
        env = "TINPOT_PYTHON",
        value_name = "PATH",
        value_delimiter = ',',
        help_heading = "Run options"
    )]
    python: Vec<PathBuf>,
}

/// The file in a folder that makes it an app.
const TOWERFILE: &str = "Towerfile";

pub(crate) fn exec(target: &Target) -> Done {
    let path = Path::new(&target.name);
    if path.is_file() && path.file_name().is_some_and(|name| name == TOWERFILE) {
        return exec_app(path, target);
    }
    let towerfile = path.join(TOWERFILE);
    if towerfile.is_file() {
        return exec_app(&towerfile, target);
    }
    let (file, name) = target
        .name
        .rsplit_once("::")
        .filter(|(file, name)| !file.is_empty() && !name.is_empty())
        .ok_or_else(|| {
            let message = format!(
                "{:?}: must be FILE::ACTION, as in actions/hello.py::hello, or a folder with a \
                     Towerfile",
                target.name
            );
            CliError::usage(message)
        })?;
    let path = Path::new(file);
    if !path.is_file() {
        return Err(CliError::new(Code::NotFound, format!("no file {file}")));
    }
    let Some(file_name) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(CliError::usage(format!("{file}: must be a file with a name in UTF-8")));
    };
    serve(path, Some(file_name), Some(name), target)
}

/// Runs the one action of a folder with a Towerfile.
fn exec_app(towerfile: &Path, target: &Target) -> Done {
    serve(towerfile, None, None, target)
}

/// Runs an action of the folder of `path`: of one file if it is named, and the one that there is
/// without a name.
fn serve(path: &Path, only: Option<&str>, name: Option<&str>, target: &Target) -> Done {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut builder = LocalServer::builder(folder.unwrap_or(Path::new(".")))
        .pythons(python(target))
        .concurrency(1)
        // As a script of the user's own.
        .pass_env(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()));
    if let Some(file) = only {
        builder = builder.only(file);
    }
    // The first build of an environment can take long.
    tinpot_server::init_tracing_with("error,tinpot_venv=info");
    let runtime = runtime()?;
    let server = runtime.block_on(async {
        let any_port = HttpSettings::new(Ipv4Addr::LOCALHOST.into(), 0);
        builder.start(tinpot_server::listen(&any_port).await?).await
    })?;
    let done = run(&server, path, name, target);
    runtime.block_on(server.shutdown(PATIENCE));
    done
}

fn run(server: &LocalServer, path: &Path, name: Option<&str>, target: &Target) -> Done {
    let client = Client::new(&server.url())?;
    let action_set = server.actions().current();
    let found = action_set.actions.first().map_or("", |action| &*action.name);
    let name = name.unwrap_or(found);
    let file_name = path.file_name().unwrap_or_default().to_string_lossy();
    let of_file = |place: &str| {
        place.rsplit_once(':').map_or(place, |(file, _)| file) == file_name || place == file_name
    };
    if !action_set.actions.iter().any(|action| action.name == name) {
        let mut errors = action_set.load_errors.iter().filter(|error| !error.notice);
        if let Some(error) = errors.find(|error| of_file(&error.place)) {
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

/// Returns the interpreters that the words name.
fn python(target: &Target) -> Vec<PathBuf> {
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
    let matches = command.no_binary_name(true).try_get_matches_from(found).ok();
    let arguments = matches.and_then(|matches| PythonArgs::from_arg_matches(&matches).ok());
    arguments.map(|arguments| arguments.python).unwrap_or_default()
}
