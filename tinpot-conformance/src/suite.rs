//! The run of many scenes.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use tinpot_core::Names;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::miss::{Miss, Play};
use crate::random::Random;
use crate::report::{Failure, Report, Verdict};
use crate::scene::{Scene, link, scenes};
use crate::stage::Stage;

/// The number of scenes that are played at the same time. Most of the time they wait.
const JOBS: usize = 6;
/// The longest time of a scene.
const SCENE: Duration = Duration::from_secs(120);

/// The frames of scenes that could be played with either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Frames {
    /// Plain frames.
    #[default]
    Plain,
    /// Sealed frames: the worker joins with a token first.
    Sealed,
}

/// The scenes to play, and the settings.
///
/// ```no_run
/// # async fn example() {
/// use tinpot_conformance::Suite;
///
/// let suite = Suite::new(["python3".into(), "worker.py".into()]).only(["cancel/*"]);
/// let report = suite.play(|verdict| println!("{}", verdict.text())).await;
/// assert!(report.has_passed());
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing happens before `play`"]
pub struct Suite {
    command: Arc<[OsString]>,
    names: Names,
    seed: u64,
    frames: Frames,
    jobs: usize,
    patience: Duration,
}

impl Suite {
    /// Plays all scenes with the worker that this command starts.
    pub fn new(command: impl IntoIterator<Item = OsString>) -> Self {
        Self {
            command: command.into_iter().collect(),
            names: Names::any(),
            seed: 0,
            frames: Frames::Plain,
            jobs: JOBS,
            patience: Duration::from_secs(10),
        }
    }

    /// Plays only scenes with these names. In a name, `*` stands for any characters.
    pub fn only<T: AsRef<str>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.names = Names::of(names);
        self
    }

    /// Sets the seed of the random numbers.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the frames.
    pub fn frames(mut self, frames: Frames) -> Self {
        self.frames = frames;
        self
    }

    /// Sets the number of scenes that are played at the same time; 6 by default.
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs.max(1);
        self
    }

    /// Sets the time to wait for each message; 10 s by default.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Returns the scenes that would be played.
    pub fn scenes(&self) -> impl Iterator<Item = &'static Scene> {
        scenes().filter(|scene| self.names.has(scene.name))
    }

    /// Plays the scenes. Each verdict is passed on as soon as it is there.
    pub async fn play(&self, mut judged: impl FnMut(&Verdict)) -> Report {
        let began = Instant::now();
        let permits = Arc::new(Semaphore::new(self.jobs));
        let mut playing = JoinSet::new();
        let scenes: Vec<&'static Scene> = self.scenes().collect();
        // The last ones take the longest.
        for (number, scene) in scenes.iter().copied().enumerate().rev() {
            let (suite, permits) = (self.clone(), permits.clone());
            playing.spawn(async move {
                // Never closed.
                let _permit = permits.acquire_owned().await;
                (number, suite.judge(scene).await)
            });
        }
        let mut verdicts = Vec::new();
        while let Some(joined) = playing.join_next().await {
            if let Ok((number, verdict)) = joined {
                judged(&verdict);
                verdicts.push((number, verdict));
            }
        }
        verdicts.sort_by_key(|(number, _)| *number);
        let missing = scenes.len() - verdicts.len();
        let verdicts = verdicts.into_iter().map(|(_, verdict)| verdict).collect();
        Report { seed: self.seed, time: began.elapsed(), verdicts, missing }
    }

    async fn judge(&self, scene: &'static Scene) -> Verdict {
        let began = Instant::now();
        let random = Random::new(self.seed, scene.name);
        let failure = match Stage::open(self.command.clone(), random, self.patience).await {
            Err(miss) => Some(self.failure(scene, miss, None)),
            Ok(mut stage) => match self.stage(scene, &mut stage).await {
                Ok(()) => None,
                Err(miss) => Some(self.failure(scene, miss, Some(stage))),
            },
        };
        Verdict {
            name: scene.name,
            rule: scene.rule,
            section: link(scene.section),
            time: began.elapsed(),
            failure,
        }
    }

    async fn stage(&self, scene: &'static Scene, stage: &mut Stage) -> Play {
        if scene.is_sealed || self.frames == Frames::Sealed {
            stage.seal()?;
        }
        let played = timeout(SCENE, (scene.script)(stage)).await;
        let late = || Miss::new("the scene ends", format!("it takes more than {SCENE:?}"));
        let played = played.unwrap_or_else(|_| Err(late()));
        // A broken rule is the cause rather than what it leads to.
        match stage.broken.take() {
            Some(miss) => Err(miss),
            None => played,
        }
    }

    fn failure(&self, scene: &Scene, miss: Miss, stage: Option<Stage>) -> Failure {
        let Miss { expected, came, section } = miss;
        let output = stage.as_ref().and_then(|stage| stage.program().map(|one| one.output()));
        let mut again = format!("tinpot conformance worker --scene {}", scene.name);
        if self.frames == Frames::Sealed {
            again.push_str(" --frames sealed");
        }
        let words: Vec<_> = self.command.iter().map(|word| word.to_string_lossy()).collect();
        again.push_str(&format!(" --seed {} -- {}", self.seed, words.join(" ")));
        Failure {
            expected,
            came,
            section: link(section.unwrap_or(scene.section)),
            messages: stage.map(|stage| stage.trace.into_entries()).unwrap_or_default(),
            output: output.unwrap_or_default(),
            again,
        }
    }
}
