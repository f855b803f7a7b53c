//! Many parents that wait for children on one slot, while coordinator and worker are killed.

use std::path::PathBuf;

use serde_json::{Value, json};
use tinpot_tests::{
    Api, Durable, Mosquitto, Program, QUICK, marks, wait_for, wait_for_workers, worker,
};

const PARENTS: usize = 200;
/// A slot's interpreter, its spare, the two that are kept for parents that come again, and the
/// template of which they are copies.
const FEW: usize = 5;

struct Site {
    broker: Mosquitto,
    durable: Durable,
    coordinator: Program,
    api: Api,
    worker: Program,
    directory: tempfile::TempDir,
}

impl Site {
    fn start() -> Self {
        let broker = Mosquitto::start();
        let durable = Durable::new(&broker.url(), &QUICK);
        let (coordinator, api) = durable.start();
        let worker = named(&broker, "one");
        wait_for_workers(&api, &["one"]);
        let directory = tempfile::tempdir().expect("a directory");
        Self { broker, durable, coordinator, api, worker, directory }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("marks")
    }

    /// Submits parents at that action, each with a number of its own.
    fn submit(&self, action: &str, seconds: Option<f64>) -> Vec<String> {
        let parameters = |number: usize| {
            let mut parameters = json!({"file": self.file(), "number": number});
            if let Some(seconds) = seconds {
                parameters["seconds"] = json!(seconds);
            }
            parameters
        };
        (0..PARENTS).map(|number| self.api.submit(action, parameters(number))).collect()
    }

    /// Waits until `count` children have run.
    fn wait_for_marks(&self, count: usize) {
        wait_for("children", || match marks(&self.file()).len() {
            seen if seen >= count => Ok(()),
            seen => Err(seen),
        });
    }

    /// Every parent has succeeded at once, with one child that ran once.
    fn each_ran_once(&self, parents: &[String]) {
        for (number, parent) in parents.iter().enumerate() {
            self.api.wait_for_end(parent, "succeeded");
            let execution = self.api.execution(parent);
            assert_eq!(execution["outcome"]["result"], json!(number.to_string()), "{execution}");
            assert_eq!(ran(&execution), 1, "{execution}");
            let children = self.api.children(parent);
            assert_eq!(children.len(), 1, "{execution}");
            let child = self.api.execution(&children[0]);
            assert_eq!(ran(&child), 1, "{child}");
        }
        let mut texts: Vec<usize> =
            marks(&self.file()).iter().map(|line| line.parse().expect("a number")).collect();
        texts.sort_unstable();
        assert_eq!(texts, (0..parents.len()).collect::<Vec<_>>(), "each child ran once");
    }

    fn few_are_left(&self) {
        wait_for("few interpreters", || match interpreters(self.worker.id()) {
            count if count <= FEW => Ok(()),
            count => Err(count),
        });
    }
}

fn named(broker: &Mosquitto, name: &str) -> Program {
    let mut env = QUICK.to_vec();
    env.extend([("WORKER_NAME", name), ("CONCURRENCY", "1")]);
    worker(&broker.url(), &env)
}

/// Returns the number of attempts that ran, without those that a worker released to a new
/// coordinator.
fn ran(execution: &Value) -> usize {
    let attempts = execution["attempts"].as_array().expect("attempts");
    attempts.iter().filter(|attempt| !attempt["outcome"].is_null()).count()
}

/// Returns the number of interpreters of a worker: processes below it that run the package's child
/// program.
fn interpreters(worker: i32) -> usize {
    let process = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let id: i32 = path.file_name()?.to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(path.join("stat")).ok()?;
        let mut fields = stat.rsplit(')').next()?.split_whitespace();
        let (state, parent) = (fields.next()?, fields.next()?.parse::<i32>().ok()?);
        let command = std::fs::read(path.join("cmdline")).ok()?;
        let is_one = state != "Z" && String::from_utf8_lossy(&command).contains("tinpot_child");
        Some((id, (parent, is_one)))
    };
    let all = std::fs::read_dir("/proc").expect("processes").filter_map(process);
    let all: std::collections::BTreeMap<i32, (i32, bool)> = all.collect();
    let is_below = |id: &i32| {
        let above = |id: &i32| all.get(id).map(|(parent, _)| *parent);
        std::iter::successors(above(id), above).any(|parent| parent == worker)
    };
    all.iter().filter(|(id, (_, is_one))| *is_one && is_below(id)).count()
}

#[test]
fn two_hundred_parents_finish_on_one_slot_and_leave_few_interpreters() {
    let site = Site::start();
    assert!((1..=FEW).contains(&interpreters(site.worker.id())));
    let parents = site.submit("asks_once", None);
    site.each_ran_once(&parents);
    site.few_are_left();
}

#[test]
fn parents_that_submit_first_and_wait_then_finish_on_one_slot() {
    let site = Site::start();
    let parents = site.submit("asks_later", None);
    site.each_ran_once(&parents);
    site.few_are_left();
}

#[test]
fn a_coordinator_that_is_killed_in_the_middle_has_each_child_run_once() {
    let mut site = Site::start();
    let parents = site.submit("asks_once", None);
    for count in [20, 80, 140] {
        site.wait_for_marks(count);
        site.coordinator.kill();
        site.coordinator = site.durable.start().0;
    }
    site.each_ran_once(&parents);
    site.few_are_left();
}

#[test]
fn a_worker_that_is_killed_in_the_middle_leaves_no_child_behind() {
    let mut site = Site::start();
    let parents = site.submit("asks_for_long", Some(0.02));
    site.wait_for_marks(20);
    site.worker.kill();
    site.worker = named(&site.broker, "two");
    let (mut asked, mut lost) = (0, 0);
    for (number, parent) in parents.iter().enumerate() {
        site.api.wait_for_end(parent, "succeeded");
        let execution = site.api.execution(parent);
        assert_eq!(execution["outcome"]["result"], json!(number.to_string()), "{execution}");
        let attempts = execution["attempts"].as_array().cloned().expect("attempts");
        lost += attempts.iter().filter(|one| one["outcome"]["status"] == "lost").count();
        let children: Vec<_> =
            site.api.children(parent).iter().map(|id| site.api.execution(id)).collect();
        asked += children.len();
        assert!((1..=attempts.len()).contains(&children.len()), "{execution}: {children:?}");
        // The last attempt's is the one that counts; those of attempts that were lost have ended.
        assert_eq!(children[0]["status"], "succeeded", "{children:?}");
        assert!(children.iter().all(|child| !child["finished_at"].is_null()), "{children:?}");
    }
    assert!(lost > 0, "nothing was interrupted");
    let starts = marks(&site.file()).len();
    assert!((PARENTS..=asked).contains(&starts), "{starts} of {asked} children ran");
    site.few_are_left();
}
