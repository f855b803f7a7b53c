//! Python environments that folders and files ask for.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tinpot_core::{EnvironmentState, Executor, PythonEnvironment};
use tinpot_python::{
    DirectorySettings, EnvironmentOptions, Isolation, PythonEnvironments, PythonPool, Requirements,
    StartMode,
};

use crate::support::{Actions, call, names, offer, start, until};

/// Wheels without a build: zips with a module and its metadata.
const WHEELS: &str = r#"
import sys, zipfile
folder = sys.argv[1]
for word in sys.argv[2:]:
    name, version = word.split("==")
    with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", f"VERSION = {version!r}\n")
        info = f"{name}-{version}.dist-info"
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
"#;

const USER: &str = "import os, sys, tinpot_one\nfrom tinpot import action\n\
    @action\n\
    def NAME(): return [tinpot_one.VERSION, sys.prefix, os.environ.get('VIRTUAL_ENV'), \
    [name for name in os.environ if name.startswith(('PIP_', 'UV_'))]]\n";
const PLAIN: &str =
    "import sys\nfrom tinpot import action\n@action\ndef plain(): return sys.prefix\n";

/// A directory of actions, with an index of wheels and a cache that no other test has.
struct Place {
    actions: Actions,
    index: Actions,
}

impl Place {
    fn new(wheels: &[&str]) -> Self {
        let place = Self { actions: Actions::new(), index: Actions::new() };
        let mut make = Command::new("python3");
        make.args(["-c", WHEELS]).arg(place.index.0.path()).args(wheels);
        assert!(make.status().expect("python3").success());
        place.file("plain.py", PLAIN)
    }

    fn file(self, name: &str, text: &str) -> Self {
        Self { actions: self.actions.file(name, text), index: self.index }
    }

    fn write(&self, name: &str, text: &str) {
        // At once, as editors do.
        let new = self.index.path("new");
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(new, self.actions.path(name)).expect("a file");
    }

    fn cache(&self) -> std::path::PathBuf {
        self.index.path("cache")
    }

    fn options(&self) -> EnvironmentOptions {
        let variable = |name: &str, value: &Path| (OsString::from(name), value.into());
        let (index, yes) = (self.index.0.path(), Path::new("1"));
        let mut options = EnvironmentOptions::default();
        options.cache = Some(self.cache());
        options.variables = vec![
            variable("PIP_NO_INDEX", yes),
            variable("PIP_FIND_LINKS", index),
            variable("UV_OFFLINE", yes),
            variable("UV_NO_INDEX", yes),
            variable("UV_FIND_LINKS", index),
        ];
        options
    }

    fn builder(&self) -> tinpot_python::PythonPoolBuilder {
        PythonPool::builder(self.actions.0.path()).size(2).spare(0)
    }

    async fn start(&self) -> Arc<PythonEnvironments> {
        let started = self.builder().start_with_environments(self.options()).await;
        let executor = Arc::new(started.expect("an executor"));
        executor.settled().await;
        executor
    }
}

fn user(name: &str) -> String {
    USER.replace("NAME", name)
}

/// Returns the version of the package and the directory of the environment that an action sees.
async fn seen(executor: &Arc<PythonEnvironments>, action: &str) -> (String, String) {
    let value = call(executor, action).await.value();
    assert_eq!(value[1], value[2], "VIRTUAL_ENV must name the environment");
    assert_eq!(value[3], json!([]), "settings of installers must not reach actions");
    let text = |at: usize| value[at].as_str().expect("a text").to_owned();
    (text(0), text(1))
}

/// Returns the load errors as one text.
fn errors(executor: &Arc<PythonEnvironments>) -> String {
    let set = offer(executor);
    set.load_errors.iter().map(|error| format!("{}: {}\n", error.place, error.message)).collect()
}

/// Returns the only description of an environment, once it is in that state.
async fn reported(
    executor: &Arc<PythonEnvironments>,
    state: EnvironmentState,
) -> PythonEnvironment {
    until("the state", || offer(executor).environments.iter().any(|one| one.state == state)).await;
    let set = offer(executor);
    let [environment] = &set.environments[..] else { panic!("{:?}", set.environments) };
    environment.clone()
}

#[tokio::test]
async fn folders_and_files_have_environments_of_their_own() {
    let script = "# /// script\n# dependencies = ['tinpot_one>=1,<2', 'tinpot']\n# ///\n";
    let project = "[project]\nname = 'x'\nversion = '1'\ndependencies = []\n\
        [dependency-groups]\nwanted = ['tinpot_one==3']\n[tool.tinpot]\ngroups = ['wanted']\n";
    let place = Place::new(&["tinpot_one==1.0", "tinpot_one==2.0", "tinpot_one==3.0"])
        .file("reports/requirements.txt", "-r ../more.txt\n")
        .file("more.txt", "tinpot_one==2.0  # the second\n")
        .file("reports/deep/monthly.py", &user("monthly"))
        .file("reports/script.py", &format!("{script}{}", user("script")))
        .file("project/pyproject.toml", project)
        .file("project/weekly.py", &user("weekly"));
    let executor = place.start().await;
    assert_eq!(errors(&executor), "");
    let set = offer(&executor);
    let asked: Vec<_> = set.environments.iter().map(|one| one.asked.join(" ")).collect();
    assert_eq!(
        asked,
        ["project/pyproject.toml", "reports/requirements.txt more.txt", "reports/script.py"]
    );
    let mut offered = names(&offer(&executor)).into_iter().map(str::to_owned).collect::<Vec<_>>();
    offered.sort();
    assert_eq!(offered, ["monthly", "plain", "script", "weekly"]);
    let (monthly, script) = (seen(&executor, "monthly").await, seen(&executor, "script").await);
    assert_eq!((&*monthly.0, &*script.0), ("2.0", "1.0"));
    assert_eq!(seen(&executor, "weekly").await.0, "3.0");
    assert!(monthly.1.starts_with(&place.cache().display().to_string()), "{monthly:?}");
    assert_ne!(call(&executor, "plain").await.value(), json!(monthly.1));
    // Nothing is built where everything is there.
    executor.close().await.expect("closed");
    std::fs::remove_dir_all(place.index.path("new")).ok();
    for wheel in ["1.0", "2.0", "3.0"] {
        let wheel = place.index.path(&format!("tinpot_one-{wheel}-py3-none-any.whl"));
        std::fs::remove_file(wheel).expect("a wheel");
    }
    let again = place.start().await;
    assert_eq!(seen(&again, "monthly").await, monthly);
    // The list is for the installer alone.
    let below = std::fs::read_dir(place.actions.path("reports")).expect("a directory");
    assert_eq!(below.count(), 3);
}

#[tokio::test]
async fn environment_that_cannot_be_built_is_a_reason_until_its_request_changes() {
    let place = Place::new(&["tinpot_one==1.0"])
        .file(
            "reports/requirements.txt",
            "--extra-index-url http://me:secret@127.0.0.1:1/x\ntinpot_one==7\n",
        )
        .file("reports/monthly.py", &user("monthly"));
    let executor = place.start().await;
    assert_eq!(names(&offer(&executor)), ["plain"]);
    let reason = errors(&executor);
    let parts = ["reports/requirements.txt: cannot build", "tinpot_one==7", "reports/monthly.py"];
    for part in parts {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert!(offer(&executor).load_errors[0].blocking, "actions are not offered because of it");
    assert!(!reason.contains("secret") && !reason.contains("me:"), "{reason}");
    let failed = reported(&executor, EnvironmentState::Failed).await;
    assert_eq!(failed.place, "reports/requirements.txt");
    assert_eq!(failed.asked, ["reports/requirements.txt"]);
    assert!(failed.reason.contains("tinpot_one==7"), "{failed:?}");
    assert!(failed.log.contains("$ ") && !failed.log.contains("secret"), "{failed:?}");
    assert_eq!((failed.key.len(), failed.bytes), (12, 0));
    // The others run.
    call(&executor, "plain").await.value();
    place.write("reports/requirements.txt", "tinpot_one==1.0\n");
    until("the action", || names(&offer(&executor)).contains(&"monthly")).await;
    assert_eq!(errors(&executor), "");
    assert_eq!(seen(&executor, "monthly").await.0, "1.0");
    let ready = reported(&executor, EnvironmentState::Ready).await;
    assert_eq!((&*ready.reason, &*ready.log, ready.packages), ("", "", 1), "{ready:?}");
    assert!(ready.python.starts_with("3.") && ready.bytes > 0, "{ready:?}");
    assert!(ready.since > failed.since && ready.key != failed.key, "{ready:?}");
}

#[tokio::test]
async fn change_that_fails_keeps_the_last_good_environment() {
    let place = Place::new(&["tinpot_one==1.0", "tinpot_one==2.0"])
        .file("reports/requirements.txt", "tinpot_one==1.0\n")
        .file("reports/monthly.py", &user("monthly"))
        .file(
            "reports/slow.py",
            "import time, tinpot_one\nfrom tinpot import action\n@action\ndef slow():\n    \
             print('begun', flush=True)\n    import os\n    \
             while not os.path.exists(os.path.dirname(__file__) + '/go'): time.sleep(0.01)\n    \
             return tinpot_one.VERSION\n",
        );
    let executor = place.start().await;
    place.write("reports/requirements.txt", "tinpot_one==7\n");
    until("the reason", || errors(&executor).contains("The last good environment")).await;
    assert_eq!(seen(&executor, "monthly").await.0, "1.0");
    let kept = reported(&executor, EnvironmentState::Kept).await;
    assert!(kept.reason.contains("tinpot_one==7") && kept.packages == 1, "{kept:?}");
    let running = start(&executor, "slow", json!({}));
    running.until_line("begun").await;
    place.write("reports/requirements.txt", "tinpot_one==2.0\n");
    // Under load, no attempt fails.
    crate::support::within("the new environment", async {
        while seen(&executor, "monthly").await.0 != "2.0" {}
    })
    .await;
    assert_eq!(errors(&executor), "");
    // What ran meanwhile ends where it began.
    place.write("reports/go", "");
    assert_eq!(running.end().await.value(), json!("1.0"));
    // And a folder that asks for nothing any more runs with the others.
    place.write("reports/monthly.py", &PLAIN.replace("plain", "monthly"));
    std::fs::remove_file(place.actions.path("reports/slow.py")).expect("a file");
    std::fs::remove_file(place.actions.path("reports/requirements.txt")).expect("a file");
    until("the interpreter of the worker", || names(&offer(&executor)).len() == 2).await;
    let plain = call(&executor, "plain").await.value();
    crate::support::within("the interpreter of the worker", async {
        while call(&executor, "monthly").await.value() != plain {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn interpreters_of_an_environment_start_when_attempts_need_them() {
    let pair = "import os, time\nfrom tinpot import action\n@action\n\
        def meet(own: str, other: str):\n    folder = os.path.dirname(__file__)\n    \
        open(os.path.join(folder, own), 'w').close()\n    \
        while not os.path.exists(os.path.join(folder, other)): time.sleep(0.01)\n    \
        return os.getpid()\n@action(isolation='fresh')\ndef alone(): return os.getpid()\n";
    let place = Place::new(&[]).file("reports/requirements.txt", "").file("reports/pair.py", pair);
    let builder = place.builder().size(2).spare(1);
    let started = builder.start_with_environments(place.options()).await;
    let executor = Arc::new(started.expect("an executor"));
    executor.settled().await;
    let one = start(&executor, "meet", json!({"own": "a", "other": "b"}));
    let two = start(&executor, "meet", json!({"own": "b", "other": "a"}));
    assert_ne!(one.end().await.value(), two.end().await.value());
    // Those that are idle are used.
    call(&executor, "alone").await.value();
}

#[tokio::test]
async fn interpreters_of_an_environment_end_when_no_attempt_needs_them() {
    let pair = "import os, time\nfrom tinpot import action\n\
        FOLDER = os.path.dirname(__file__)\n@action\n\
        def meet(own: str, other: str):\n    \
        open(os.path.join(FOLDER, own), 'w').close()\n    \
        while not os.path.exists(os.path.join(FOLDER, other)): time.sleep(0.01)\n    \
        return [os.getpid(), os.getppid()]\n";
    let place = Place::new(&[]).file("reports/requirements.txt", "").file("reports/pair.py", pair);
    let builder = place.builder().size(3).spare(0).idle_timeout(Duration::from_millis(1));
    let started = builder.start_with_environments(place.options()).await;
    let executor = Arc::new(started.expect("an executor"));
    executor.settled().await;
    for round in 0..3 {
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let one = start(&executor, "meet", json!({"own": a, "other": b}));
        let two = start(&executor, "meet", json!({"own": b, "other": a}));
        let (one, two) = (one.end().await.value(), two.end().await.value());
        assert_ne!(one[0], two[0]);
        // All are copies of one process. Another one may have started meanwhile, and stay.
        assert_eq!(one[1], two[1]);
        let copies = || {
            let path = format!("/proc/{}/task/{}/children", one[1], one[1]);
            std::fs::read_to_string(path).expect("the copies").split_whitespace().count()
        };
        until("the end of all but one", || copies() == 1).await;
    }
}

#[tokio::test]
async fn workers_at_once_share_one_build() {
    let place = Place::new(&["tinpot_one==1.0"])
        .file("requirements.txt", "tinpot_one==1.0\n")
        .file("monthly.py", &user("monthly"));
    let (one, two) = tokio::join!(place.start(), place.start());
    assert_eq!(seen(&one, "monthly").await, seen(&two, "monthly").await);
    let environments = std::fs::read_dir(place.cache().join("venvs")).expect("a directory");
    let ready = environments
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "ready"));
    assert_eq!(ready.count(), 1);
}

#[tokio::test]
async fn removed_environment_is_built_again() {
    let place = Place::new(&["tinpot_one==1.0"])
        .file("reports/requirements.txt", "tinpot_one==1.0\n")
        .file("reports/monthly.py", &user("monthly"));
    let executor = place.start().await;
    let (_, path) = seen(&executor, "monthly").await;
    std::fs::remove_dir_all(&path).expect("removed");
    // A look at the files finds it.
    place.write("reports/other.py", "");
    until("the environment", || Path::new(&path).join("pyvenv.cfg").exists()).await;
    until("the action", || errors(&executor).is_empty()).await;
    assert_eq!(seen(&executor, "monthly").await.1, path);
}

#[tokio::test]
async fn wrong_metadata_is_a_load_error_of_the_file() {
    let place = Place::new(&[])
        .file("open.py", "# /// script\n# dependencies = []\nx = 1\n")
        .file("none.py", "# /// script\n# requires-python = '>=3.99'\n# ///\n");
    let executor = place.start().await;
    let reason = errors(&executor);
    for part in
        ["open.py: the block of metadata in line 1 has no end", "none.py: it needs Python >=3.99"]
    {
        assert!(reason.contains(part), "{part}: {reason}");
    }
}

#[tokio::test]
async fn settings_of_a_directory_come_before_its_files() {
    let pair = "import os, sys\nfrom tinpot import action\n@action\n\
        def NAME(): return [os.getpid(), os.getppid(), sys.prefix]\n";
    let project = "[dependency-groups]\nwanted = ['tinpot_one==3']\n";
    let script = "# /// script\n# dependencies = ['tinpot_one==1']\n# ///\n";
    let place = Place::new(&["tinpot_one==1.0", "tinpot_one==2.0", "tinpot_one==3.0"])
        .file("listed/requirements.txt", "tinpot_one==7\n")
        .file("listed/listed.py", &user("listed"))
        .file("listed/script.py", &format!("{script}{}", user("script")))
        .file("filed/prod.txt", "tinpot_one==2.0\ntinpot\n")
        .file("filed/deep/filed.py", &user("filed"))
        .file("grouped/pyproject.toml", project)
        .file("grouped/grouped.py", &user("grouped"))
        .file("plain/fresh.py", &pair.replace("NAME", "fresh"))
        .file("plain/deep/requirements.txt", "")
        .file("plain/deep/deep.py", &pair.replace("NAME", "deep"))
        .file("spawned/spawned.py", &pair.replace("NAME", "spawned"))
        .file("versions/versions.py", &pair.replace("NAME", "versions"));
    let mut options = place.options();
    let mut set = |name: &str, change: &dyn Fn(&mut DirectorySettings)| {
        let mut settings = DirectorySettings::default();
        change(&mut settings);
        options.directories.set(name, settings).expect("settings");
    };
    let list = vec!["tinpot_one<2".to_owned()];
    set("listed/", &|all| all.requirements = Some(Requirements::List(list.clone())));
    set("filed", &|all| all.requirements = Some(Requirements::File("prod.txt".into())));
    set("./grouped", &|all| all.groups = Some(vec!["wanted".to_owned()]));
    set("plain", &|all| all.isolation = Some(Isolation::Fresh));
    set("spawned", &|all| all.start = Some(StartMode::Spawn));
    set("versions", &|all| all.python = Some(">=3.99".parse().expect("versions")));
    set("gone", &|all| all.start = Some(StartMode::Auto));
    let started = place.builder().start_with_environments(options).await;
    let executor = Arc::new(started.expect("an executor"));
    executor.settled().await;
    for (action, version) in
        [("listed", "1.0"), ("script", "1.0"), ("filed", "2.0"), ("grouped", "3.0")]
    {
        assert_eq!(seen(&executor, action).await.0, version, "{action}");
    }
    let plain = call(&executor, "plain").await.value();
    // The isolation reaches directories below, and needs no environment.
    for action in ["fresh", "deep"] {
        let (one, two) = (call(&executor, action).await, call(&executor, action).await);
        let (one, two) = (one.value(), two.value());
        assert_ne!(one[0], two[0], "{action}");
        assert_eq!(one[2] == plain, action == "fresh", "{action}: {one}");
    }
    let spawned = call(&executor, "spawned").await.value();
    assert_eq!((&spawned[1], &spawned[2]), (&json!(std::process::id()), &plain));
    let reasons = errors(&executor);
    for part in ["versions: it needs Python >=3.99", "directory \"gone\", which is not below"] {
        assert!(reasons.contains(part), "{part}: {reasons}");
    }
    let set = offer(&executor);
    let places: Vec<_> = set.environments.iter().map(|one| &*one.place).collect();
    assert_eq!(
        places,
        [
            "filed/prod.txt",
            "grouped/pyproject.toml",
            "listed",
            "plain/deep/requirements.txt",
            "versions",
            "listed/script.py"
        ]
    );
}

/// Starts an index that gives everyone the same answer, and then as many more bytes as are taken.
fn index(answer: &'static str) -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                use std::io::{Read, Write};
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(answer.as_bytes());
                // Until the client goes.
                while answer.is_empty() && matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
            });
        }
    });
    port
}

#[tokio::test]
async fn trouble_with_an_index_is_a_reason_and_is_tried_again() {
    let unauthorized = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=x\r\n\
        content-length: 0\r\nconnection: close\r\n\r\n";
    let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 15\r\n\
        connection: close\r\n\r\n<html>Welcome!\n";
    let away = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        listener.local_addr().expect("an address").port()
    };
    for (name, port, part) in [
        ("closed", index(unauthorized), "401"),
        ("away", away, "connection error"),
        ("page", index(page), "tinpot_none"),
        ("silent", index(""), "tinpot_none"),
    ] {
        let place = Place::new(&["tinpot_one==1.0"])
            .file(&format!("{name}/requirements.txt"), "tinpot_none\n")
            .file(&format!("{name}/none.py"), &PLAIN.replace("plain", "none"));
        let url = format!("http://me:secret@127.0.0.1:{port}/simple");
        let mut options = place.options();
        let is_off = |name: &OsString| name == "PIP_NO_INDEX" || name == "UV_NO_INDEX";
        options.variables.retain(|(name, _)| !is_off(name) && name != "UV_OFFLINE");
        for (name, value) in [
            ("PIP_INDEX_URL", &*url),
            ("UV_INDEX_URL", &*url),
            ("PIP_RETRIES", "0"),
            ("PIP_TIMEOUT", "1"),
            ("UV_HTTP_TIMEOUT", "1"),
        ] {
            options.variables.push((name.into(), value.into()));
        }
        let built = place.builder().build_environments(options).await.expect("builds");
        let [built] = &built[..] else { panic!("{built:?}") };
        let error = built.result.as_ref().expect_err("no environment");
        assert!(error.reason.contains(part), "{name}: {error}");
        assert!(!error.message.contains("secret"), "{name}: {error}");
        assert!(!error.is_final || name == "page", "{name}: {error}");
    }
}

#[tokio::test]
async fn lists_that_cannot_be_fulfilled_say_why() {
    let hash = "0".repeat(64);
    let place = Place::new(&["tinpot_one==1.0", "tinpot_one==2.0"])
        .file("conflict/requirements.txt", "tinpot_one==1.0\ntinpot_one==2.0\n")
        .file("conflict/a.py", "")
        .file("hash/requirements.txt", &format!("tinpot_one==1.0 --hash=sha256:{hash}\n"))
        .file("hash/b.py", "")
        .file("circle/requirements.txt", "-r more.txt\n")
        .file("circle/more.txt", "-r requirements.txt\n")
        .file("circle/c.py", "")
        .file("wrong/requirements.txt", "this is no requirement\n")
        .file("wrong/d.py", "");
    let built = place.builder().build_environments(place.options()).await.expect("builds");
    let reasons: Vec<_> = built
        .iter()
        .map(|built| (&*built.place, built.result.as_ref().expect_err("no environment")))
        .collect();
    for (place, parts) in [
        ("circle/requirements.txt", &["includes itself"][..]),
        ("conflict/requirements.txt", &["tinpot_one==1.0", "tinpot_one==2.0"]),
        ("hash/requirements.txt", &["ash"]),
        ("wrong/requirements.txt", &["this is no requirement"]),
    ] {
        let found = reasons.iter().find(|(other, _)| *other == place);
        let (_, error) = found.expect("a reason");
        for part in parts {
            assert!(error.reason.contains(part), "{place}: {part}: {error}");
        }
    }
}

#[tokio::test]
async fn packages_whose_build_misbehaves_are_bounded() {
    let project = "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n\
        [project]\nname = 'evil'\nversion = '1'\n";
    // One leaves its process group and goes on writing; the other never ends.
    let floods = "import os, sys\ndef build_wheel(*a, **k):\n    \
        if os.fork() == 0:\n        os.setsid()\n        \
        for _ in range(20000): os.write(1, b'y' * 1000 + b'\\n')\n        os._exit(0)\n    \
        for _ in range(20000): print('x' * 1000)\n    sys.exit('no wheel today')\n";
    let hangs = "import time\ndef build_wheel(*a, **k):\n    print('begun', flush=True)\n    \
        time.sleep(10000)\n";
    let place = Place::new(&[])
        .file("floods/requirements.txt", "./evil\n")
        .file("floods/evil/pyproject.toml", project)
        .file("floods/evil/backend.py", floods)
        .file("floods/a.py", "");
    let built = place.builder().build_environments(place.options()).await.expect("builds");
    let error = built[0].result.as_ref().expect_err("no environment");
    assert!(error.log.len() <= 16 * 1024, "{}", error.log.len());
    let logs = std::fs::read_dir(place.cache().join("venvs")).expect("a directory").flatten();
    let sizes = logs.map(|entry| entry.metadata().expect("metadata").len());
    assert!(sizes.max().is_some_and(|size| size < 5 << 20));
    let place = Place::new(&[])
        .file("hangs/requirements.txt", "./evil\n")
        .file("hangs/evil/pyproject.toml", project)
        .file("hangs/evil/backend.py", hangs)
        .file("hangs/a.py", "");
    let mut options = place.options();
    options.build_timeout = Duration::from_secs(5);
    let built = place.builder().build_environments(options).await.expect("builds");
    let error = built[0].result.as_ref().expect_err("no environment");
    assert!(error.reason.contains("not done within 5 s") && !error.is_final, "{error}");
}

#[tokio::test]
async fn another_interpreter_is_used_where_its_version_is_asked_for() {
    let script = "# /// script\n# requires-python = '>=3.99'\n# ///\n";
    let plain = |name: &str| PLAIN.replace("plain", name);
    let place = Place::new(&[])
        .file("script.py", &format!("{script}{}", plain("script")))
        .file("pinned/.python-version", "3.99\n")
        .file("pinned/requirements.txt", "")
        .file("pinned/pinned.py", &plain("pinned"))
        .file("any/requirements.txt", "")
        .file("any/any.py", &plain("any"));
    // It says that it is a Python that does not exist.
    let path = place.index.path("python3.99");
    let says = r#"{"executable": "PATH", "version": [3, 99, 0], "abi": "x", "pip": [24, 0]}"#;
    let says = says.replace("PATH", &path.display().to_string());
    let text = format!("#!/bin/sh\n[ \"$1\" = -I ] && echo '{says}' || exec python3 \"$@\"\n");
    std::fs::write(&path, text).expect("a file");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("permissions");
    let missing = place.index.path("missing");
    let pythons = [Path::new("python3"), &missing, &path];
    let started = place.builder().pythons(pythons).start_with_environments(place.options());
    let executor = Arc::new(started.await.expect("an executor"));
    executor.settled().await;
    assert_eq!(errors(&executor), "");
    for action in ["script", "pinned", "any"] {
        assert_ne!(call(&executor, action).await.value(), call(&executor, "plain").await.value());
    }
    let set = offer(&executor);
    let used = set.environments.iter().map(|one| (&*one.place, &*one.python == "3.99.0"));
    let used: Vec<_> = used.collect();
    let expected =
        [("any/requirements.txt", false), ("pinned/requirements.txt", true), ("script.py", true)];
    assert_eq!(used, expected);
}

#[tokio::test]
async fn only_file_runs_in_its_environment() {
    let script = "# /// script\n# dependencies = ['tinpot_one']\n# ///\n";
    let place = Place::new(&["tinpot_one==1.0"])
        .file("script.py", &format!("{script}{}", user("script")))
        .file("broken.py", &script.replace("tinpot_one", "tinpot_none"));
    let start = |file: &str| {
        self::Place::builder(&place).only(file).start_with_environments(place.options())
    };
    let executor = Arc::new(start("script.py").await.expect("an executor"));
    assert_eq!(names(&offer(&executor)), ["script"]);
    assert_eq!(seen(&executor, "script").await.0, "1.0");
    let broken = Arc::new(start("broken.py").await.expect("an executor"));
    assert!(errors(&broken).contains("broken.py: cannot build"), "{}", errors(&broken));
}

#[tokio::test]
async fn cache_that_others_can_write_to_is_refused() {
    let place = Place::new(&[]).file("reports/requirements.txt", "");
    let place = place.file("reports/empty.py", &PLAIN.replace("plain", "empty"));
    std::fs::create_dir(place.cache()).expect("a directory");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(place.cache(), open).expect("permissions");
    let executor = place.start().await;
    assert_eq!(names(&offer(&executor)), ["plain"]);
    assert!(errors(&executor).contains("no other user may write to it"), "{}", errors(&executor));
}
