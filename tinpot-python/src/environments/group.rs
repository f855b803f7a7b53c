//! Keeps the environment of each place what the place asks for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tinpot_core::LoadError;
use tinpot_venv::{BuildError, Builder, Origin};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::members::Members;
use crate::child_text::load_error;
use crate::pool::Look;

/// The first pause before a build is tried again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
/// The pause if nothing can change but the index.
const FINAL_PAUSE: Duration = Duration::from_secs(60 * 60);

/// Follows the places that ask for environments.
#[derive(Debug)]
pub(super) struct Driver {
    members: Arc<Members>,
    looks: watch::Receiver<Look>,
    running: BTreeMap<Origin, AbortHandle>,
    tasks: JoinSet<()>,
}

impl Driver {
    /// Starts with the places that are there now.
    pub(super) fn new(members: Arc<Members>) -> Self {
        let looks = members.main().looks();
        let mut this = Self { members, looks, running: BTreeMap::new(), tasks: JoinSet::new() };
        this.follow();
        this
    }

    /// Runs until it is aborted.
    pub(super) async fn run(mut self) {
        while self.looks.changed().await.is_ok() {
            self.follow();
        }
    }

    fn follow(&mut self) {
        let look = self.looks.borrow_and_update().clone();
        let gone = |origin: &&Origin| !look.origins.contains_key(*origin);
        let gone: Vec<_> = self.running.keys().filter(gone).cloned().collect();
        for origin in gone {
            if let Some(task) = self.running.remove(&origin) {
                task.abort();
            }
            self.members.remove(&origin);
        }
        while self.tasks.try_join_next().is_some() {}
        self.members.set_missing(missing(&self.members, &look));
        for (origin, files) in &look.origins {
            if self.members.set_files(origin, files) {
                let (members, looks) = (self.members.clone(), self.looks.clone());
                let task = self.tasks.spawn(drive(members, origin.clone(), looks));
                self.running.insert(origin.clone(), task);
            }
        }
    }
}

/// Returns load errors about directories with settings that are not there.
fn missing(members: &Members, look: &Look) -> Vec<LoadError> {
    let names = members.directories.names().filter(|name| !look.root.join(name).is_dir());
    let error = |name: &str| {
        let message = format!(
            "the settings name the directory {name:?}, which is not below the directory of actions"
        );
        load_error(name, &message)
    };
    names.map(error).collect()
}

/// A request: its digest and its files, or the reason why it cannot be read. `None` if the
/// interpreter of the worker will do.
type Asked = Option<std::result::Result<(String, Vec<String>), String>>;

async fn ask(builder: &Builder, root: &Path, origin: &Origin) -> Asked {
    if builder.asks_nothing(root, origin) {
        return None;
    }
    let request = builder.request(root, origin).await;
    let request = request.map(|request| (request.digest().to_owned(), request.asked));
    Some(request.map_err(|error| error.message().to_owned()))
}

/// Keeps the environment of one place.
async fn drive(members: Arc<Members>, origin: Origin, mut looks: watch::Receiver<Look>) {
    let mut tried: Option<Asked> = None;
    let mut retry: Option<Instant> = None;
    let mut failed_at: Option<SystemTime> = None;
    let mut pause = FIRST_PAUSE;
    loop {
        let root = looks.borrow_and_update().root.clone();
        let asked = ask(&members.builder, &root, &origin).await;
        let has_changed = tried.as_ref() != Some(&asked);
        let is_asked = failed_at.is_some_and(|at| members.builder.is_asked_again(at));
        let is_due = is_asked || retry.is_some_and(|at| at <= Instant::now());
        if has_changed || is_due || members.take_damaged(&origin) {
            if has_changed || is_asked {
                pause = FIRST_PAUSE;
            }
            let place = members.builder.place(&root, &origin);
            if let Some(asked) = &asked {
                let files = asked.as_ref().ok().map(|(_, files)| &**files);
                members.building(&origin, &place, files, has_changed);
            }
            let built = tokio::select! {
                built = build(&members, &root, &origin, asked.is_some()) => built,
                // Its result would be of no use.
                () = other(&members.builder, looks.clone(), &origin, &asked) => continue,
            };
            failed_at = built.is_err().then(SystemTime::now);
            retry = built.err().map(|error| {
                members.failed(&origin, &place, &error);
                let pause_now = if error.is_final { FINAL_PAUSE } else { pause };
                pause = (pause * 2).min(LONGEST_PAUSE);
                Instant::now() + pause_now
            });
            tried = Some(asked);
            continue;
        }
        let due = async {
            match retry {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = looks.changed() => if changed.is_err() { return },
            () = due => {}
        }
    }
}

async fn build(
    members: &Arc<Members>,
    root: &Path,
    origin: &Origin,
    is_asked: bool,
) -> Result<(), BuildError> {
    let environment = match is_asked {
        true => Some(members.builder.environment(root, origin).await?),
        false => None,
    };
    members.adopt(origin, environment).await.map_err(BuildError::from)
}

/// Waits until a place asks for something else.
async fn other(
    builder: &Builder,
    mut looks: watch::Receiver<Look>,
    origin: &Origin,
    asked: &Asked,
) {
    while looks.changed().await.is_ok() {
        let root = looks.borrow_and_update().root.clone();
        if ask(builder, &root, origin).await != *asked {
            return;
        }
    }
    std::future::pending().await
}
