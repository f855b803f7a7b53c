//! `tinpot dev`: everything in one process on this machine, for the first five minutes and for writing actions.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueHint};
use tinpot_core::ActionSet;
use tinpot_server::LocalServer;
use tinpot_server::settings::{HttpSettings, PageSettings, StoreSettings};

use super::write_examples;
use crate::exit::{Code, Done, Failure};
use crate::output::Paint;

/// How long running actions may go on once the end has begun.
const GRACE: Duration = Duration::from_secs(3);
/// So many actions are named at the start.
const NAMED_MAX: usize = 8;

/// The settings of `tinpot dev`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DevArgs {
    /// The folder of the Python actions; one that is empty or not there is given examples
    #[arg(default_value = "actions", value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    /// The port to listen on, on this machine only; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 8000)]
    port: u16,
    /// How many actions run at once
    #[arg(long, env = "CONCURRENCY", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    concurrency: u32,
    /// The Python interpreter, or a virtual environment; VIRTUAL_ENV or python3 by default
    #[arg(long, env = "TINPOT_PYTHON", value_name = "PATH")]
    python: Option<PathBuf>,
    #[command(flatten)]
    store: StoreSettings,
    #[command(flatten)]
    pages: PageSettings,
}

/// Runs until SIGTERM or Ctrl-C.
pub(crate) fn dev(arguments: DevArgs) -> Done {
    // What is wrong with files is told below, in a form for people.
    tinpot_server::init_tracing_with("warn,tinpot_python::pool::reload=error");
    let runtime = super::runtime()?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: DevArgs) -> Done {
    let shutdown = tinpot_server::shutdown()?;
    let http = HttpSettings::new(Ipv4Addr::LOCALHOST.into(), arguments.port);
    // Before anything is written or imported: a port that is taken ends it.
    let listener = tinpot_server::listen(&http).await.map_err(|error| {
        let advice = "choose another with --port, or let a free one be taken with --port 0";
        Failure::new(Code::Failed, format!("{error}; {advice}"))
    })?;
    let written = write_examples(&arguments.dir).map_err(|why| Failure::new(Code::Failed, why))?;
    let builder = LocalServer::builder(&arguments.dir)
        .python(arguments.python.clone())
        .concurrency(arguments.concurrency)
        .store(arguments.store.store("memory"))
        .http(arguments.pages.config());
    let server = tokio::select! {
        server = builder.start(listener) => server?,
        () = shutdown.clone().begun() => return Ok(Code::Success),
    };
    let text = welcome(&server, &arguments.dir, &written, Paint::stdout());
    // Whoever does not read it wants the server all the same.
    let _ = crate::output::print(&text);
    let mut offer = server.actions();
    offer.mark_unchanged();
    let mut known = offer.borrow().clone();
    let mut ending = std::pin::pin!(shutdown.begun());
    loop {
        tokio::select! {
            () = &mut ending => break,
            () = server.coordinator().stopped() => {
                return Err(Failure::new(Code::Failed, "the coordinator has stopped: see the log above"));
            }
            changed = offer.changed() => {
                if changed.is_err() {
                    break;
                }
                let now = offer.borrow_and_update().clone();
                crate::output::say(&news(&known, &now));
                known = now;
            }
        }
    }
    server.shutdown(GRACE).await;
    Ok(Code::Success)
}

/// What is there, and what to do next.
fn welcome(server: &LocalServer, dir: &Path, written: &[String], paint: Paint) -> String {
    let offer = server.actions().borrow().clone();
    let url = server.url();
    let mut text = format!("Tinpot listens on {}\n", paint.bold(&url));
    for name in written {
        let _ = writeln!(text, "Wrote {}", dir.join(name).display());
    }
    let _ = writeln!(text, "Actions from {}: {}", dir.display(), named(&offer));
    text.push_str(&problems(&offer, paint));
    let elsewhere = server.address().port() != 8000;
    let server = if elsewhere { format!("--server {url} ") } else { String::new() };
    let first = offer.actions.iter().map(|action| &*action.name).find(|name| *name == "hello");
    let first = first.or_else(|| offer.actions.first().map(|action| &*action.name));
    let _ = writeln!(text, "\nNext:\n  open {url} in a browser");
    if let Some(first) = first {
        let _ = writeln!(text, "  tinpot {server}run {first} --help");
    }
    let _ =
        writeln!(text, "  change a file in {}: it is picked up when it is saved", dir.display());
    text.push_str("  Ctrl-C ends it\n");
    text
}

fn named(offer: &ActionSet) -> String {
    let names: Vec<&str> = offer.actions.iter().map(|action| &*action.name).collect();
    match names.len() {
        0 => {
            "none yet. A function becomes one by `from tinpot import action` and `@action` above it"
                .to_owned()
        }
        n if n <= NAMED_MAX => names.join(", "),
        n => format!("{} and {} more", names[..NAMED_MAX].join(", "), n - NAMED_MAX),
    }
}

fn problems(offer: &ActionSet, paint: Paint) -> String {
    let mut text = String::new();
    for problem in &offer.load_errors {
        let _ = writeln!(text, "{} {}", paint.red("problem:"), problem.place);
        for line in problem.message.lines() {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// What a change of the files has brought.
fn news(before: &ActionSet, now: &ActionSet) -> String {
    let has =
        |offer: &ActionSet, name: &str| offer.actions.iter().any(|action| action.name == name);
    let new: Vec<&str> =
        now.actions.iter().map(|action| &*action.name).filter(|name| !has(before, name)).collect();
    let gone: Vec<&str> =
        before.actions.iter().map(|action| &*action.name).filter(|name| !has(now, name)).collect();
    let mut text = "Reloaded".to_owned();
    for (what, names) in [("new", new), ("gone", gone)] {
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
