//! The network between a program and its broker breaks: leases and keep-alives decide, and nothing runs twice.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tinpot_tests::{
    Api, Direction, Fault, Mosquitto, Program, Proxy, QUICK, coordinator, is_alive, marks,
    wait_for, wait_for_deaths, wait_for_workers, worker,
};

/// A worker that can be cut off, and later one that cannot.
struct Site {
    broker: Mosquitto,
    _coordinator: Program,
    api: Api,
    proxy: Proxy,
    cut: Program,
    directory: tempfile::TempDir,
}

/// Both directions.
const BOTH: [Direction; 2] = [Direction::ToBroker, Direction::FromBroker];

impl Site {
    fn start(env: &[(&str, &str)]) -> Self {
        let broker = Mosquitto::start();
        let proxy = Proxy::start(broker.port());
        let mut all = QUICK.to_vec();
        all.extend(env);
        let (coordinator, api) = coordinator(&broker.url(), &all);
        all.extend([("WORKER_NAME", "cut"), ("CONCURRENCY", "3")]);
        let cut = worker(&proxy.url(), &all);
        wait_for_workers(&api, &["cut"]);
        let directory = tempfile::tempdir().expect("a directory");
        Self { broker, _coordinator: coordinator, api, proxy, cut, directory }
    }

    fn free_worker(&self) -> Program {
        let mut all = QUICK.to_vec();
        all.push(("WORKER_NAME", "free"));
        let worker = worker(&self.broker.url(), &all);
        wait_for_workers(&self.api, &["free"]);
        worker
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs an action on the worker that can be cut off; the id, and the process.
    fn running(&self, action: &str, seconds: f64) -> (String, i32) {
        let file = self.file(&format!("{action} {seconds}"));
        let id = self.api.submit(action, json!({"file": file, "seconds": seconds}));
        let line = wait_for("the start", || marks(&file).pop().ok_or("no mark"));
        let pid = line.split(' ').next().and_then(|pid| pid.parse().ok());
        (id, pid.expect("a process id"))
    }

    /// The names of the workers that ran it, or may have: not of those that gave it back.
    fn workers_of(&self, id: &str) -> Vec<String> {
        let execution = self.api.execution(id);
        let attempts = execution["attempts"].as_array().cloned().unwrap_or_default();
        let name = |attempt: &Value| {
            let worker = attempt["worker"].as_str().unwrap_or_default();
            worker.split('-').next().unwrap_or_default().to_owned()
        };
        let ran = attempts.iter().filter(|attempt| !attempt["outcome"].is_null());
        ran.map(name).collect()
    }

    /// The one that could be retried was: somewhere else, and only after its first process had ended.
    fn was_retried(&self, id: &str, seconds: f64) {
        self.api.wait_for_end(id, "succeeded");
        // The one that is cut off may have been given it again, without hearing of it.
        let workers = self.workers_of(id);
        let (last, before) = workers.split_last().expect("an attempt");
        let is_cut = |worker: &String| worker == "cut";
        assert!(
            last == "free" && matches!(before.len(), 1..=2) && before.iter().all(is_cut),
            "{workers:?}"
        );
        let lines = marks(&self.file(&format!("guarded {seconds}")));
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines.iter().all(|line| line.ends_with(" alone")), "{lines:?}");
    }

    /// Each of these executions ran as often as its end says.
    fn ran_once(&self, ids: &[String], file: &str) {
        for id in ids {
            self.api.wait_for_end(id, "succeeded");
        }
        let mut texts = marks(&self.file(file));
        texts.sort();
        let mut expected: Vec<String> = (0..ids.len()).map(|number| number.to_string()).collect();
        expected.sort();
        assert_eq!(texts, expected, "each once");
    }

    fn submit_marks(&self, file: &str, count: usize, seconds: f64) -> Vec<String> {
        let file = self.file(file);
        let parameters =
            |number: usize| json!({"file": file, "text": number.to_string(), "seconds": seconds});
        (0..count).map(|number| self.api.submit("mark", parameters(number))).collect()
    }

    fn set(&self, directions: &[Direction], fault: Fault) {
        directions.iter().for_each(|direction| self.proxy.set(*direction, fault));
    }
}

/// Ends a worker in order: it is given nothing any more.
fn retire(mut worker: Program) {
    worker.terminate();
    assert_eq!(worker.wait().code(), Some(0), "{}", worker.output());
}

/// A worker that is not heard: it ends what could run elsewhere before the coordinator lets that run elsewhere, and what it says later is
/// too late.
fn worker_is_not_heard(directions: &[Direction]) {
    let site = Site::start(&[]);
    let (late, _) = site.running("hold", 6.0);
    let (endless, process) = site.running("hold", 1000.0);
    let (retried, _) = site.running("guarded", 999.0);
    let free = site.free_worker();
    site.set(directions, Fault::BlackHole);
    let begin = Instant::now();
    site.was_retried(&retried, 999.0);
    for id in [&late, &endless] {
        site.api.wait_for_end(id, "lost");
    }
    // The last beat was heard up to one interval before.
    assert!(begin.elapsed() >= Duration::from_secs_f64(4.2), "{:?}", begin.elapsed());
    assert!(is_alive(process), "what cannot run elsewhere may outlive an outage");
    wait_for("the end of the late one", || match marks(&site.file("hold 6")).len() {
        2 => Ok(()),
        count => Err(count),
    });
    site.set(directions, Fault::Pass);
    wait_for_deaths(&[process]);
    // It takes work again, and nothing of before has changed.
    retire(free);
    let again = site.submit_marks("again", 5, 0.0);
    site.ran_once(&again, "again");
    for id in [&late, &endless] {
        assert_eq!(site.api.status(id), "lost");
        assert_eq!(site.workers_of(id), ["cut"]);
    }
}

#[test]
fn a_worker_that_is_not_heard_loses_what_it_holds() {
    worker_is_not_heard(&[Direction::ToBroker]);
}

#[test]
fn a_worker_that_is_cut_off_loses_what_it_holds() {
    worker_is_not_heard(&BOTH);
}

#[test]
fn a_worker_that_hears_no_coordinator_gives_back_what_could_run_elsewhere() {
    let site = Site::start(&[]);
    let (late, _) = site.running("hold", 4.0);
    let (retried, _) = site.running("guarded", 999.0);
    let _free = site.free_worker();
    site.set(&[Direction::FromBroker], Fault::BlackHole);
    site.was_retried(&retried, 999.0);
    site.api.wait_for_end(&late, "succeeded");
    assert_eq!(site.workers_of(&late), ["cut"]);
    // Whichever is given more: what the deaf one is asked to do either runs once, or never and is lost.
    let more = site.submit_marks("more", 10, 0.0);
    for id in &more {
        wait_for("the end", || match site.api.status(id).as_str() {
            "succeeded" | "lost" => Ok(()),
            state => Err(state.to_owned()),
        });
    }
    let succeeded = more.iter().filter(|id| site.api.status(id) == "succeeded").count();
    assert_eq!(marks(&site.file("more")).len(), succeeded);
    site.set(&[Direction::FromBroker], Fault::Pass);
    let again = site.submit_marks("again", 5, 0.0);
    site.ran_once(&again, "again");
}

#[test]
fn messages_that_arrive_after_they_were_repeated_run_nothing_twice() {
    // A round trip takes longer than the second after which everything unanswered is sent again.
    let site = Site::start(&[]);
    site.set(&BOTH, Fault::Delay(Duration::from_millis(600)));
    let ids = site.submit_marks("marks", 20, 0.0);
    site.ran_once(&ids, "marks");
}

#[test]
fn a_worker_that_is_too_far_away_runs_nothing() {
    // What it is asked to do arrives after the lease that it refers to.
    let site = Site::start(&[]);
    let (late, _) = site.running("hold", 3.0);
    let (retried, _) = site.running("guarded", 999.0);
    let free = site.free_worker();
    site.set(&BOTH, Fault::Delay(Duration::from_millis(2500)));
    site.was_retried(&retried, 999.0);
    site.api.wait_for_end(&late, "succeeded");
    let ids = site.submit_marks("marks", 10, 0.0);
    site.ran_once(&ids, "marks");
    for id in &ids {
        assert_eq!(site.workers_of(id), ["free"]);
    }
    site.set(&BOTH, Fault::Pass);
    retire(free);
    let again = site.submit_marks("again", 5, 0.0);
    site.ran_once(&again, "again");
}

#[test]
fn a_half_open_connection_is_decided_by_the_lease() {
    let mut site = Site::start(&[]);
    let (lost, _) = site.running("hold", 1000.0);
    let (retried, _) = site.running("guarded", 999.0);
    let _free = site.free_worker();
    // The broker never learns that the worker's connections are gone.
    site.set(&BOTH, Fault::BlackHole);
    site.cut.kill();
    site.was_retried(&retried, 999.0);
    site.api.wait_for_end(&lost, "lost");
}

#[test]
fn a_connection_that_is_closed_on_one_side_is_made_again() {
    let site = Site::start(&[]);
    for (round, direction) in BOTH.into_iter().enumerate() {
        let before = site.proxy.connections();
        let name = format!("round {round}");
        let ids = site.submit_marks(&name, 20, 0.1);
        site.proxy.half_close(direction);
        site.ran_once(&ids, &name);
        assert!(site.proxy.connections() >= before + 2, "both lanes came back");
    }
}
