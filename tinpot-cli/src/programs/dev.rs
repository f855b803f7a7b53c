//! `tinpot dev`: coordinator, worker and web UI in one process, for a first look and for writing
//! actions.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueHint};
use tinpot_access::{NewToken, Secret};
use tinpot_core::executor::ActionSet;
use tinpot_server::LocalServer;
use tinpot_server::settings::{HttpSettings, LogSettings, PageSettings, StoreSettings};
use tokio::net::TcpListener;

use super::write_examples;
use crate::dev_file::{self, DevFile};
use crate::exit::{CliError, Code, Done};
use crate::output::Paint;

/// The time that running actions have to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(3);
/// The number of actions to name at the start.
const NAMED_MAX: usize = 8;

/// The settings of `tinpot dev`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DevArgs {
    /// Directory of the Python actions; examples are written into a new or empty one
    #[arg(default_value = "actions", value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    /// Port to listen on, for this machine only; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 8000)]
    port: u16,
    /// Number of actions that run at once
    #[arg(
        long,
        env = "CONCURRENCY",
        value_name = "NUMBER",
        default_value_t = 4,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    concurrency: u32,
    /// Python interpreter or virtual environment; VIRTUAL_ENV or python3 by default. More of them,
    /// separated by commas, are for directories and files that ask for another version
    #[arg(long, env = "TINPOT_PYTHON", value_name = "PATH", value_delimiter = ',')]
    python: Vec<PathBuf>,
    /// Variables of this shell that actions get, separated by commas: names, or their beginnings
    /// like AWS_*; PATH, HOME and some more are always there
    #[arg(long, env = "TINPOT_ENV", value_name = "NAME", value_delimiter = ',')]
    env: Vec<String>,
    /// Serve every user of this machine, without authentication
    #[arg(long, env = "TINPOT_INSECURE_NO_AUTH")]
    insecure_no_auth: bool,
    #[command(flatten)]
    store: StoreSettings,
    #[command(flatten)]
    pages: PageSettings,
    #[command(flatten)]
    log: LogSettings,
    #[cfg(feature = "otel")]
    #[command(flatten)]
    traces: tinpot_server::settings::TraceSettings,
}

/// Runs until SIGTERM or Ctrl-C.
pub(crate) fn dev(arguments: DevArgs) -> Done {
    // Errors in files are printed below, in a form for people; the log need not repeat them.
    let default = "warn,tinpot_python::output=info,tinpot_python::pool::reload=error,\
                   tinpot_python::environments=error,tinpot_venv=info,\
                   tinpot_process::executor=error";
    tinpot_server::hide_secret_variables(false);
    tinpot_server::init_tracing_as(arguments.log.log_format, Some(default));
    let runtime = super::runtime()?;
    runtime.block_on(Box::pin(serve(arguments)))
}

async fn serve(arguments: DevArgs) -> Done {
    let shutdown = tinpot_server::shutdown()?;
    let http = HttpSettings::new(Ipv4Addr::LOCALHOST.into(), arguments.port);
    // Listen before anything is written or imported: a port in use ends the program.
    let listener = tinpot_server::listen(&http).await?;
    let (token, _written) = close(&listener, arguments.insecure_no_auth)?;
    let written = write_examples(&arguments.dir).map_err(|why| CliError::new(Code::Failed, why))?;
    // The examples are the user's own; everything from here on is the server's.
    tinpot_server::keep_private();
    let secrets = arguments.store.secrets("memory").await?;
    let builder = LocalServer::builder(&arguments.dir)
        .pythons(arguments.python.clone())
        .concurrency(arguments.concurrency)
        .pass_env(arguments.env.clone())
        .store(arguments.store.store("memory").await?)
        .apps(arguments.store.apps("memory").await?)
        .forget_secrets(arguments.store.forget_secrets)
        .secret_digests(arguments.store.sealer("memory").await?)
        .store_file(arguments.store.file("memory"))
        .secrets(secrets.map(|secrets| Arc::new(secrets) as _))
        .http(arguments.pages.config().insecure(arguments.insecure_no_auth));
    #[cfg(feature = "otel")]
    let builder = builder.traces(&arguments.traces)?;
    let builder = match token {
        Some(token) => builder.local_user(token),
        None => builder,
    };
    let server = tokio::select! {
        server = builder.start(listener) => server?,
        () = shutdown.clone().begun() => return Ok(Code::Success),
    };
    let history = history(&arguments.store);
    let page = match server.ticket().await? {
        Some(ticket) => format!("{}/?ticket={}", server.url(), ticket.expose()),
        None => server.url(),
    };
    let text = welcome(&server, &arguments.dir, &written, (&history, &page), Paint::stdout());
    // The server runs even if nothing reads its output.
    let _ = crate::output::print(&text);
    let mut action_set = server.actions();
    let mut known = action_set.current();
    let mut ending = std::pin::pin!(shutdown.begun());
    loop {
        tokio::select! {
            () = &mut ending => break,
            () = server.coordinator().stopped() => {
                let message = "the coordinator stopped; the log above has the reason";
                return Err(CliError::new(Code::Failed, message));
            }
            now = action_set.next() => {
                let Some(now) = now else { break };
                if !Arc::ptr_eq(&known, &now) {
                    crate::output::say(&news(&known, &now));
                    known = now;
                }
            }
        }
    }
    server.shutdown(GRACE).await;
    Ok(Code::Success)
}

/// Makes the token of the server, and writes it to the file where commands of this user find it. The
/// file is there before the server answers: a command that was too early reads it again.
fn close(
    listener: &TcpListener,
    is_open: bool,
) -> Result<(Option<Secret>, Option<dev_file::Written>), CliError> {
    let cannot = |error: std::io::Error| CliError::new(Code::Failed, error.to_string());
    let address = listener.local_addr().map_err(cannot)?;
    dev_file::remove(address.port());
    if is_open {
        return Ok((None, None));
    }
    let token = NewToken::generate_secret()?;
    let file = DevFile { url: format!("http://{address}"), token: token.expose().to_owned() };
    let written = dev_file::write(address.port(), &file).map_err(|why| {
        let warning = Paint::stderr().yellow("warning:");
        crate::output::say(&format!(
            "{warning} commands cannot use this server: no file for its token: {why}"
        ));
    });
    Ok((Some(token), written.ok()))
}

/// Returns the text at the start: the actions, and the next steps.
fn welcome(
    server: &LocalServer,
    dir: &Path,
    written: &[String],
    (history, page): (&str, &str),
    paint: Paint,
) -> String {
    let action_set = server.actions().current();
    let url = server.url();
    let mut text = format!("Tinpot listens on {}\n", paint.bold(&url));
    for name in written {
        let _ = writeln!(text, "Wrote {}", dir.join(name).display());
    }
    let _ = writeln!(text, "Actions from {}: {}", dir.display(), named(&action_set));
    let _ = writeln!(text, "{history}");
    text.push_str(&problems(&action_set, paint));
    let elsewhere = server.address().port() != 8000;
    let server = if elsewhere { format!("--server {url} ") } else { String::new() };
    let first = action_set.actions.iter().map(|action| &*action.name).find(|name| *name == "hello");
    let first = first.or_else(|| action_set.actions.first().map(|action| &*action.name));
    let _ = writeln!(text, "\nNext:\n  open {page} in a browser");
    if page != url {
        text.push_str("  (for you alone, once; `tinpot open` prints another)\n");
    }
    if let Some(first) = first {
        let _ = writeln!(text, "  tinpot {server}run {first} --help");
    }
    let _ = writeln!(text, "  change a file in {}; it is reloaded when you save it", dir.display());
    text.push_str("  press Ctrl-C to stop\n");
    text
}

/// Returns the place of the executions and their logs, and how long they stay.
fn history(settings: &StoreSettings) -> String {
    let file = settings.store.as_ref();
    let file = file.filter(|path| !path.as_os_str().is_empty() && path.as_os_str() != "memory");
    match file {
        Some(path) => format!("History in {}, for {} days", path.display(), settings.keep_days),
        None => "History in memory: it ends with this server; --store FILE keeps it".to_owned(),
    }
}

fn named(action_set: &ActionSet) -> String {
    let names: Vec<&str> = action_set.actions.iter().map(|action| &*action.name).collect();
    match names.len() {
        0 => {
            "none yet. Write `from tinpot import action`, and `@action` above a function".to_owned()
        }
        n if n <= NAMED_MAX => names.join(", "),
        n => format!("{} and {} more", names[..NAMED_MAX].join(", "), n - NAMED_MAX),
    }
}

fn problems(action_set: &ActionSet, paint: Paint) -> String {
    let mut text = String::new();
    for error in &action_set.load_errors {
        let label = if error.notice { paint.yellow("notice:") } else { paint.red("load error:") };
        let _ = writeln!(text, "{label} {}", error.place);
        for line in error.message.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// Returns the text for a reload: new and removed actions, and errors.
fn news(before: &ActionSet, now: &ActionSet) -> String {
    let has = |action_set: &ActionSet, name: &str| {
        action_set.actions.iter().any(|action| action.name == name)
    };
    let new: Vec<&str> =
        now.actions.iter().map(|action| &*action.name).filter(|name| !has(before, name)).collect();
    let gone: Vec<&str> =
        before.actions.iter().map(|action| &*action.name).filter(|name| !has(now, name)).collect();
    let mut text = "Reloaded".to_owned();
    for (what, names) in [("new", new), ("removed", gone)] {
        if !names.is_empty() {
            let _ = write!(text, "; {what}: {}", names.join(", "));
        }
    }
    let problems = problems(now, Paint::stderr());
    if !problems.is_empty() {
        let _ = write!(text, "\n{}", problems.trim_end());
    }
    text
}
