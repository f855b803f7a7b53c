//! A worker that is killed at each step before a deployed program runs, and while it runs.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use rustix::process::Signal;

use crate::bundles::{By, Place};
use crate::support::{Process, file};

/// The signal of `abort`.
const SIGABRT: i32 = 6;

/// The steps at which a worker can kill itself: it fetches the bundle, unpacks it, and keeps it;
/// then it does the same with the environment.
const STEPS: [&str; 7] = [
    "tree.manifest",
    "tree.archive",
    "tree.unpacked",
    "cache.before-marker:1",
    "cache.after-marker:1",
    "cache.before-marker:2",
    "cache.after-marker:2",
];

/// Writes an app that notes each start of its program, and then waits until it may end.
fn app(folder: &Path, name: &str, retry: &str) {
    let towerfile = format!(
        "[app]\nname = \"{name}\"\nscript = \"main.py\"\n\n[tinpot]\n{retry}\n\n\
         [[parameters]]\nname = \"note\"\n\n[[parameters]]\nname = \"stop\"\ndefault = \"\"\n"
    );
    let script = "import os, time\n\
        with open(os.environ['note'], 'a') as note:\n\
        \x20   note.write(f'{os.getpid()}\\n')\n\
        stop = os.environ['stop']\n\
        while stop and not os.path.exists(stop):\n\
        \x20   time.sleep(0.02)\n";
    file(folder, &format!("{name}/Towerfile"), &towerfile);
    file(folder, &format!("{name}/main.py"), script);
}

/// A worker that has died is given up after seconds.
const TIMES: [(&str, &str); 4] = [
    ("TINPOT_HEARTBEAT_INTERVAL", "0.5"),
    ("TINPOT_WORKER_LEASE", "6"),
    ("TINPOT_COORDINATOR_LEASE", "9"),
    ("TINPOT_KILL_AFTER", "1"),
];
const ONCE: &str = "once-only";
const AGAIN: &str = "once-more";

struct Site {
    place: Place,
    /// The number of the cache: each step has an empty one.
    cache: u32,
}

impl Site {
    fn start() -> Self {
        let mut place = Place::start(By::Http);
        place.restart_with(&TIMES);
        let folder = place.folder.path();
        app(folder, ONCE, "");
        app(folder, AGAIN, "retry = { retries = 2, on = \"lost\" }");
        place.run(&["deploy", ONCE]).ok();
        place.run(&["deploy", AGAIN]).ok();
        drop(place.joined("web"));
        Self { place, cache: 0 }
    }

    fn worker(&self, failpoint: Option<&str>) -> Process {
        let mut command = self.place.worker("web", &[]);
        let cache = self.place.folder.path().join(format!("cache-{}", self.cache));
        command.env("XDG_CACHE_HOME", cache);
        command.envs(failpoint.map(|step| ("TINPOT_FAILPOINT", step)));
        let mut worker = Process::start(command);
        worker.line("reaches its coordinator by");
        worker
    }

    fn path(&self, name: &str) -> String {
        let path = self.place.folder.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    }

    /// The process ids of the programs that were started for an execution.
    fn starts(&self, note: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(note)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn begin(&self, app: &str, note: &str, stop: &str) -> String {
        let (note, stop) = (self.path(note), self.path(stop));
        let words = ["run", app, "--note", &note, "--stop", &stop, "--detach"];
        self.place.run(&words).ok().trim().to_owned()
    }
}

#[test]
fn an_app_runs_once_wherever_its_worker_dies_before() {
    let mut site = Site::start();
    std::fs::write(site.path("stop"), "").expect("a file");
    let once = [(ONCE, "cache.before-marker:2")];
    for (app, step) in STEPS.iter().map(|step| (AGAIN, *step)).chain(once) {
        site.cache += 1;
        let note = format!("note-{}", site.cache);
        let mut worker = site.worker(Some(step));
        let id = site.begin(app, &note, "stop");
        let status = worker.end();
        assert_eq!(status.signal(), Some(SIGABRT), "{step}: {:#?}", worker.seen);
        assert_eq!(site.starts(&note), [""; 0], "{step}");
        // The next worker has the same cache, with what was left in it.
        let mut next = site.worker(None);
        if app == AGAIN {
            site.place.wait_for(&id, "succeeded");
            assert_eq!(site.starts(&note).len(), 1, "{step}");
        } else {
            // The coordinator cannot know that the program did not start.
            site.place.wait_for(&id, "lost");
            assert_eq!(site.starts(&note), [""; 0], "{step}");
            let other = site.begin(app, &note, "stop");
            site.place.wait_for(&other, "succeeded");
            assert_eq!(site.starts(&note).len(), 1, "{step}");
        }
        // So that nothing is granted to it any more.
        next.signal(Signal::TERM);
        assert!(next.end().success(), "{step}: {:#?}", next.seen);
    }
}

#[test]
fn an_app_whose_worker_dies_is_started_again_only_with_retries() {
    let site = Site::start();
    let mut worker = site.worker(None);
    let stopped = [ONCE, AGAIN].map(|app| {
        let id = site.begin(app, app.trim_start_matches("once-"), "stop-now");
        let begun = std::time::Instant::now();
        while site.starts(app.trim_start_matches("once-")).is_empty() {
            assert!(begun.elapsed() < crate::support::PATIENCE, "{app} does not start");
            std::thread::yield_now();
        }
        worker.kill();
        let first = site.starts(app.trim_start_matches("once-"));
        worker = site.worker(None);
        (app, id, first)
    });
    std::fs::write(site.path("stop-now"), "").expect("a file");
    for (app, id, first) in stopped {
        let is_again = app == AGAIN;
        site.place.wait_for(&id, if is_again { "succeeded" } else { "lost" });
        let starts = site.starts(app.trim_start_matches("once-"));
        assert_eq!(starts.len(), if is_again { 2 } else { 1 }, "{app}");
        let old = format!("/proc/{}/cwd", first[0]);
        let begun = std::time::Instant::now();
        while Path::new(&old).exists() {
            assert!(begun.elapsed() < crate::support::PATIENCE, "{app} outlives its worker");
            std::thread::yield_now();
        }
    }
}
