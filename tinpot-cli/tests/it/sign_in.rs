//! Sign-in: servers for this machine, the first admin, and the command with a token of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::support::{Process, Ran, ask, file, free_port, tinpot};

const PASSWORD: &str = "correct horse battery";

fn dev(folder: &Path, more: &[&str]) -> Process {
    let mut command = tinpot();
    command.args(["dev", "--port", "0"]).args(more).arg(folder.join("actions"));
    Process::start(command)
}

fn at(url: &str, words: &[&str]) -> Command {
    let mut command = tinpot();
    command.env("TINPOT_SERVER", url).args(words);
    command
}

fn run(url: &str, words: &[&str]) -> Ran {
    Ran::of(at(url, words))
}

/// The file with the token of a server for this machine.
fn dev_file(url: &str) -> PathBuf {
    let port = url.rsplit_once(':').expect("a port").1;
    crate::support::state().join(format!("tinpot/dev-{port}.json"))
}

/// Sends a request as a page of the server does, and returns its answer with the head.
fn page(url: &str, method: &str, path: &str, cookie: &str, body: &str) -> String {
    let head = format!("origin: {url}\r\ncookie: {cookie}\r\ncontent-type: application/json\r\n");
    ask(url, method, path, &head, body)
}

fn cookie(answer: &str) -> String {
    let line = answer.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    line.expect("a cookie").split(';').next().expect("a pair").to_owned()
}

/// Attack 2: another user of this machine. All that the user has is the address.
#[test]
fn a_server_for_this_machine_lets_in_its_user_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut dev = dev(folder.path(), &[]);
    let url = dev.url();
    let opened = dev.line("?ticket=").trim().to_owned();
    dev.line("press Ctrl-C to stop");
    for path in ["/api/actions", "/api/executions", "/api/auth/me", "/api/stream", "/api/none"] {
        let answer = page(&url, "GET", path, "", "");
        assert!(answer.starts_with("HTTP/1.1 401 "), "{path}: {answer}");
    }
    let stolen = page(&url, "POST", "/api/actions/hello/execute", "", "{}");
    assert!(stolen.starts_with("HTTP/1.1 401 "), "{stolen}");
    // Nor is the command of another user, who does not have the file.
    let mut other = at(&url, &["actions", "list"]);
    other.env("XDG_STATE_HOME", folder.path());
    let ran = Ran::of(other);
    let said = ran.failed(4);
    assert!(said.contains("requires an API token") && said.contains("tinpot login"), "{said}");
    let mode = |path: &Path| path.metadata().expect("it is there").permissions().mode() & 0o777;
    let path = dev_file(&url);
    assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o600, 0o700));

    // The own command finds the token, by a name of this machine, too.
    for url in [url.clone(), url.replace("127.0.0.1", "localhost")] {
        assert_eq!(run(&url, &["run", "hello", "--name", "you"]).ok(), "Hello, you!\n");
    }
    let who = run(&url, &["whoami"]);
    assert!(who.ok().starts_with("local at http://127.0.0.1:"), "{who:?}");
    let header = run(&url, &["whoami", "--header"]).ok().trim().to_owned();
    assert!(header.starts_with("authorization: Bearer tpt_"), "{header}");
    let answer = ask(&url, "GET", "/api/actions", &format!("{header}\r\n"), "");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    // The page signs in with the ticket that was printed, once.
    let ticket = |opened: &str| {
        let ticket = opened.rsplit_once("?ticket=").expect("a ticket").1;
        let ticket = ticket.split_whitespace().next().expect("a ticket");
        format!("{{\"ticket\":\"{ticket}\"}}")
    };
    let answer = page(&url, "POST", "/api/auth/ticket", "", &ticket(&opened));
    assert!(answer.contains("\"via\":\"local\"") && answer.contains("manage_server"), "{answer}");
    let cookie = cookie(&answer);
    let again = page(&url, "POST", "/api/auth/ticket", "", &ticket(&opened));
    assert!(again.starts_with("HTTP/1.1 401 "), "{again}");
    let answer = page(&url, "GET", "/api/actions", &cookie, "");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let another = run(&url, &["open"]).ok().to_owned();
    let answer = page(&url, "POST", "/api/auth/ticket", "", &ticket(&another));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    dev.signal(rustix::process::Signal::INT);
    assert_eq!(dev.end().code(), Some(0), "{:?}", dev.seen);
    assert!(!path.exists());
}

#[test]
fn a_server_for_this_machine_can_let_every_client_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut dev = dev(folder.path(), &["--insecure-no-auth"]);
    let url = dev.url();
    dev.line("press Ctrl-C to stop");
    assert!(!dev_file(&url).exists());
    let answer = page(&url, "GET", "/api/auth/options", "", "");
    assert!(answer.contains("\"anonymous\":true,\"insecure\":true"), "{answer}");
    assert_eq!(run(&url, &["run", "hello", "--name", "you"]).ok(), "Hello, you!\n");
    assert_eq!(run(&url, &["open"]).ok().trim(), url);
    run(&url, &["whoami", "--header"]).failed(4);
    assert!(run(&url, &["whoami"]).ok().contains("(by anonymous)"));
}

/// A coordinator with users, and the folder with its store.
struct Place {
    folder: tempfile::TempDir,
    url: String,
    process: Process,
}

impl Place {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        file(folder.path(), "password", PASSWORD);
        let mut command = Self::on(&folder, &["coordinator", "--auth=users", "--port=0"]);
        command.arg(format!("--embedded-broker=127.0.0.1:{}", free_port()));
        let mut process = Process::start(command);
        let url = process.url();
        Self { folder, url, process }
    }

    fn on(folder: &tempfile::TempDir, words: &[&str]) -> Command {
        let mut command = tinpot();
        command.env("TINPOT_STORE", folder.path().join("tinpot.db")).current_dir(folder.path());
        command.env("XDG_CONFIG_HOME", folder.path().join("config")).args(words);
        command
    }

    fn operate(&self, words: &[&str]) -> Ran {
        Ran::of(Self::on(&self.folder, words))
    }

    fn client(&self, words: &[&str]) -> Ran {
        let mut command = Self::on(&self.folder, words);
        command.env("TINPOT_SERVER", &self.url);
        Ran::of(command)
    }
}

#[test]
fn a_fresh_server_prints_a_ticket_for_the_first_admin() {
    let mut place = Place::start();
    let line = place.process.line("?ticket=").trim().to_owned();
    let (address, ticket) = line.split_once("/?ticket=").expect("a ticket");
    assert_eq!(address, place.url);
    let options = page(&place.url, "GET", "/api/auth/options", "", "");
    assert!(options.contains("\"set_up\":true"), "{options}");
    assert!(place.client(&["login"]).failed(4).contains("has no users yet"));
    let body = |ticket: &str| {
        format!("{{\"ticket\":\"{ticket}\",\"user\":\"ada\",\"password\":\"{PASSWORD}\"}}")
    };
    let wrong = page(&place.url, "POST", "/api/auth/set-up", "", &body("guess"));
    assert!(wrong.starts_with("HTTP/1.1 401 "), "{wrong}");
    let answer = page(&place.url, "POST", "/api/auth/set-up", "", &body(ticket));
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let users = page(&place.url, "GET", "/api/users", &cookie(&answer), "");
    assert!(users.contains("\"name\":\"ada\""), "{users}");
    let again = page(&place.url, "POST", "/api/auth/set-up", "", &body(ticket));
    assert!(again.starts_with("HTTP/1.1 409 "), "{again}");
}

#[test]
fn the_command_signs_in_keeps_a_token_and_signs_out() {
    let place = Place::start();
    place.operate(&["users", "add", "ada", "--admin", "--password-file", "password"]).ok();
    file(place.folder.path(), "wrong", "not the password");
    let login = |password: &str| {
        place.client(&["login", &place.url, "--user", "ada", "--password-file", password])
    };
    let refused = login("wrong");
    assert!(refused.failed(4).contains("user or password is wrong"), "{refused:?}");
    place.client(&["actions", "list"]).failed(4);
    assert!(login("password").ok().contains("as ada, for 30 days"));
    let path = place.folder.path().join("config/tinpot/credentials.toml");
    assert_eq!(path.metadata().expect("a file").permissions().mode() & 0o777, 0o600);
    place.client(&["actions", "list"]).ok();
    assert!(place.client(&["whoami"]).ok().starts_with("ada at "));
    // The sign-in itself has ended, and another login replaces the token.
    login("password").ok();
    let tokens = place.operate(&["tokens", "list", "--json"]).json();
    assert_eq!(tokens["tokens"].as_array().expect("a list").len(), 1, "{tokens}");
    // The token goes to its server alone.
    let mut other = Place::on(&place.folder, &["whoami", "--header"]);
    other.env("TINPOT_SERVER", "http://127.0.0.1:1");
    Ran::of(other).failed(4);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("a mode");
    let refused = place.client(&["actions", "list"]);
    assert!(refused.failed(2).contains("may be read by others (0644)"), "{refused:?}");
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("a mode");
    let header = place.client(&["whoami", "--header"]).ok().to_owned();
    place.client(&["logout"]).ok();
    place.client(&["actions", "list"]).failed(4);
    let answer = ask(&place.url, "GET", "/api/version", &header.replace('\n', "\r\n"), "");
    assert!(answer.starts_with("HTTP/1.1 401 "), "it was revoked: {answer}");
    place.client(&["logout"]).failed(5);
    // A password goes to no server that others could read along with.
    let mut away = Place::on(&place.folder, &["login", "http://192.0.2.1:8000"]);
    away.args(["--user", "ada", "--password-file", "password"]);
    assert!(!Ran::of(away).stderr.contains(PASSWORD));
}

/// Tokens and sign-ins that another process revokes are refused from the next request on.
#[test]
fn what_another_process_revokes_is_refused_at_once() {
    let place = Place::start();
    place.operate(&["users", "add", "ada", "--admin", "--password-file", "password"]).ok();
    let status = |token: &str| {
        let head = format!("authorization: Bearer {token}\r\n");
        let answer = ask(&place.url, "GET", "/api/version", &head, "");
        answer.split(' ').nth(1).expect("a status").to_owned()
    };
    for round in 0..5 {
        let made = place.operate(&["tokens", "create", "test", "--user", "ada", "--json"]).json();
        let text = |name: &str| made[name].as_str().expect("a text").to_owned();
        assert_eq!(status(&text("token")), "200", "{round}: it is known at once");
        place.operate(&["tokens", "revoke", &text("id")]).ok();
        assert_eq!(status(&text("token")), "401", "{round}: it is refused at once");
    }
    let made = place.operate(&["tokens", "create", "test", "--user", "ada", "--json"]).json();
    let token = made["token"].as_str().expect("a text").to_owned();
    assert_eq!(status(&token), "200");
    let login = format!("{{\"user\":\"ada\",\"password\":\"{PASSWORD}\"}}");
    let cookie = cookie(&page(&place.url, "POST", "/api/auth/login", "", &login));
    let signed_in = || page(&place.url, "GET", "/api/version", &cookie, "");
    assert!(signed_in().starts_with("HTTP/1.1 200 "));
    place.operate(&["users", "add", "bob", "--admin", "--password-file", "password"]).ok();
    place.operate(&["users", "disable", "ada"]).ok();
    assert_eq!(status(&token), "401");
    assert!(signed_in().starts_with("HTTP/1.1 401 "));
}

/// The device flow: a person types the code of the command into a page where they are signed in.
#[test]
fn a_code_in_a_browser_gives_the_command_a_token() {
    let place = Place::start();
    place.operate(&["users", "add", "ada", "--admin", "--password-file", "password"]).ok();
    let body = format!("{{\"user\":\"ada\",\"password\":\"{PASSWORD}\"}}");
    let signed_in = page(&place.url, "POST", "/api/auth/login", "", &body);
    let cookie = cookie(&signed_in);
    let begin = || {
        let mut login = Process::start(Place::on(&place.folder, &["login", &place.url]));
        let line = login.line("enter the code ");
        let code = line.rsplit(' ').next().expect("a code").to_owned();
        (login, format!("/api/auth/device/{code}"))
    };
    let (mut login, path) = begin();
    let seen = page(&place.url, "GET", &path, &cookie, "");
    assert!(seen.contains("\"address\":\"127.0.0.1\"") && seen.contains("\"days\":30"), "{seen}");
    // Neither a stranger nor a page of another site decides.
    let agree = "{\"agree\":true}";
    let stranger = page(&place.url, "POST", &path, "", agree);
    assert!(stranger.starts_with("HTTP/1.1 401 "), "{stranger}");
    let head = format!(
        "origin: http://evil.example\r\ncookie: {cookie}\r\ncontent-type: application/json\r\n"
    );
    let forged = ask(&place.url, "POST", &path, &head, agree);
    assert!(forged.starts_with("HTTP/1.1 403 "), "{forged}");
    let agreed = page(&place.url, "POST", &path, &cookie, agree);
    assert!(agreed.starts_with("HTTP/1.1 204 "), "{agreed}");
    login.line("as ada, for 30 days");
    assert!(login.end().success());
    let who = place.client(&["whoami"]);
    assert!(who.ok().starts_with("ada at "), "{who:?}");
    let (mut login, path) = begin();
    page(&place.url, "POST", &path, &cookie, "{\"agree\":false}");
    login.line("refused, or has expired");
    assert_eq!(login.end().code(), Some(4));
}

fn write_dev_file(url: &str, token: &str) {
    let path = dev_file(url);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&path).expect("a file");
    let text = serde_json::json!({"url": url, "token": token}).to_string();
    file.write_all(text.as_bytes()).expect("it is written");
    // Like the file of a server that runs until the tests end.
    let _ = file.try_lock();
    std::mem::forget(file);
}

#[test]
fn the_token_of_a_server_that_was_killed_is_not_sent_and_the_command_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = tinpot();
    command.args(["dev", "--port", &free_port().to_string()]).arg(folder.path().join("actions"));
    let mut dev = Process::start(command);
    let url = dev.url();
    dev.line("press Ctrl-C to stop");
    run(&url, &["actions", "list"]).ok();
    dev.kill();
    assert!(dev_file(&url).exists());
    let ran = run(&url, &["actions", "list"]);
    assert!(ran.failed(8).contains("is not running there any more"), "{ran:?}");
    // Another program has its port, perhaps that of another user.
    let listener = TcpListener::bind(url.trim_start_matches("http://")).expect("the port");
    let reader = std::thread::spawn(move || {
        let (connection, _) = listener.accept().expect("a connection");
        let lines = BufReader::new(connection).lines().map_while(Result::ok);
        lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>()
    });
    assert_ne!(run(&url, &["actions", "list"]).code, Some(0));
    let head = reader.join().expect("a request").join("\n").to_lowercase();
    assert!(head.starts_with("get ") && !head.contains("authorization"), "{head}");
}

/// A `tinpot dev` that is started listens before it has written its token.
#[test]
fn a_request_that_came_before_the_token_of_the_server_is_sent_again_once() {
    for before in [None, Some("one")] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        if let Some(token) = before {
            write_dev_file(&url, token);
        }
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (seen_here, url_here) = (seen.clone(), url.clone());
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else { return };
                let lines = BufReader::new(connection.try_clone().expect("a clone")).lines();
                let lines = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
                let sent = lines.filter_map(|line| {
                    line.to_lowercase().strip_prefix("authorization: ").map(str::to_owned)
                });
                let sent = sent.last().unwrap_or_default();
                seen_here.lock().expect("a lock").push(sent);
                write_dev_file(&url_here, "two");
                let body = r#"{"detail": "who are you?"}"#;
                let length = body.len();
                let _ = write!(
                    connection,
                    "HTTP/1.1 401 Unauthorized\r\ncontent-length: {length}\r\n\
                     connection: close\r\n\r\n{body}"
                );
            }
        });
        run(&url, &["actions", "list"]).failed(4);
        let first = before.map(|token| format!("bearer {token}")).unwrap_or_default();
        assert_eq!(*seen.lock().expect("a lock"), [first, "bearer two".to_owned()]);
        std::fs::remove_file(dev_file(&url)).expect("it is there");
    }
}
