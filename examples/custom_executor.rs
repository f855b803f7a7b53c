//! An executor of your own: every `*.sh` file of a directory becomes an action.
//!
//! Parameters travel as JSON on stdin and never touch a command line, so there is nothing to quote and nothing to inject.
//!
//! ```sh
//! cargo run --example custom_executor
//! ```

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use tinpot_core::{
    Action, ActionSet, Attempt, Context, Coordinator, Event, Executor, Failure, Json, Level,
    MemoryNetwork, Outcome, Result, Stream, Worker,
};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// Runs the shell scripts of one directory.
#[derive(Debug)]
struct ScriptExecutor {
    directory: PathBuf,
    offer: watch::Sender<Arc<ActionSet>>,
}

impl ScriptExecutor {
    fn new(directory: &Path) -> std::io::Result<Self> {
        let mut actions = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "sh")
                && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
                && let Ok(action) = Action::new(name)
            {
                actions.push(action.group("Scripts"));
            }
        }
        let offer = watch::Sender::new(Arc::new(ActionSet::new(actions)));
        Ok(Self { directory: directory.to_owned(), offer })
    }

    /// Runs the script to its end, or kills its process group when the attempt has to end.
    async fn run(&self, attempt: &Attempt, context: &Context) -> std::io::Result<Outcome> {
        let script = self.directory.join(format!("{}.sh", attempt.action));
        let mut child = Command::new("/bin/sh")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A script that does not read its parameters is no error.
            let _ = stdin.write_all(attempt.parameters.as_str().as_bytes()).await;
        }
        let stdout = forward(child.stdout.take(), context, Stream::Stdout, Level::Info);
        let stderr = forward(child.stderr.take(), context, Stream::Stderr, Level::Error);
        let stopped = async {
            let stop = context.stopped().await;
            signal_group(&child, "TERM").await;
            tokio::time::sleep(stop.grace).await;
            signal_group(&child, "KILL").await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = futures::future::join(stdout, stderr) => {}
            () = stopped => {}
        }
        let status = child.wait().await?;
        Ok(match status.code() {
            Some(0) => Outcome::Succeeded(Json::null()),
            _ if context.stop_requested().is_some() => Outcome::Cancelled,
            _ => Outcome::Failed(
                Failure::new(format!("the script ended with {status}")).kind("ExitStatus"),
            ),
        })
    }
}

async fn forward(
    pipe: Option<impl AsyncRead + Unpin>,
    context: &Context,
    stream: Stream,
    level: Level,
) {
    let Some(pipe) = pipe else { return };
    let mut lines = BufReader::new(pipe).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        context.logs().write(stream, level, vec![line]).await;
    }
}

async fn signal_group(child: &Child, signal: &str) {
    if let Some(id) = child.id() {
        let group = format!("-{id}");
        let _ = Command::new("kill").args(["-s", signal, "--", &group]).status().await;
    }
}

#[async_trait]
impl Executor for ScriptExecutor {
    fn actions(&self) -> watch::Receiver<Arc<ActionSet>> {
        self.offer.subscribe()
    }

    async fn execute(&self, attempt: Attempt, context: Context) -> Outcome {
        let result = self.run(&attempt, &context).await;
        result.unwrap_or_else(|error| Outcome::failed(format!("the script cannot be run: {error}")))
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), tinpot_examples::AnyError> {
    let directory = std::env::temp_dir().join(format!("tinpot-scripts-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("greet.sh"), "echo \"got $(cat)\"; echo careful >&2\n")?;

    let network = MemoryNetwork::new();
    let coordinator = Coordinator::builder(network.transport()).start().await?;
    let executor = ScriptExecutor::new(&directory)?;
    let worker = Worker::builder(network.transport()).executor(executor).start().await?;
    let mut catalogue = coordinator.watch_catalogue();
    drop(catalogue.wait_for(|catalogue| catalogue.contains_key("greet")).await);

    let parameters = Json::parse(r#"{"name": "$(rm -rf /)"}"#)?;
    let execution = coordinator.submit("greet", parameters).await?;
    let mut events = execution.events(0);
    while let Some(event) = events.next().await {
        match event {
            Event::Logs(chunk) => {
                chunk.lines.iter().for_each(|line| println!("{:?}: {line}", chunk.stream))
            }
            Event::Finished(outcome) => println!("outcome: {outcome:?}"),
            _ => {}
        }
    }

    worker.shutdown(std::time::Duration::from_secs(1)).await;
    std::fs::remove_dir_all(directory)?;
    Ok(())
}
