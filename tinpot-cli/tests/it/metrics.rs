//! `/metrics` of a server with users, and logs as JSON.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::{Process, Ran, file, free_port, tinpot};

/// Asks a server for its metrics; the status and the text.
fn metrics(url: &str, token: Option<&str>) -> (u16, String) {
    let address = url.strip_prefix("http://").expect("a URL");
    let mut connection = TcpStream::connect(address).expect("a connection");
    let authorization =
        token.map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: {address}\r\n{authorization}connection: close\r\n\r\n"
    );
    connection.write_all(request.as_bytes()).expect("a request");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), answer)
}

#[test]
fn with_users_metrics_need_the_token_of_an_admin_with_their_scope() {
    let folder = tempfile::tempdir().expect("a folder");
    file(folder.path(), "password", "correct horse battery");
    let on = |words: &[&str]| {
        let mut command = tinpot();
        command.current_dir(folder.path()).args(words);
        command.env("TINPOT_STORE", folder.path().join("tinpot.db"));
        command
    };
    let add = |name: &str, role: &str| {
        let words = ["users", "add", name, role, "--password-file", "password"];
        Ran::of(on(&words)).ok();
    };
    add("ada", "--admin");
    add("bob", "--role=admin");
    let token = |user: &str, scope: &str| {
        let words = ["tokens", "create", "x", "--user", user, "--scope", scope];
        Ran::of(on(&words)).ok().trim().to_owned()
    };
    let tokens =
        [("ada", "metrics", 200), ("ada", "all", 200), ("ada", "read", 404), ("bob", "all", 404)]
            .map(|(user, scope, status)| (token(user, scope), status));
    let mut command = on(&["coordinator", "--auth=users", "--port=0"]);
    command.arg(format!("--embedded-broker=127.0.0.1:{}", free_port()));
    let mut process = Process::start(command);
    let url = process.url();
    assert_eq!(metrics(&url, None).0, 401);
    for (token, status) in &tokens {
        let (found, text) = metrics(&url, Some(token));
        assert_eq!(found, *status, "{text}");
        assert_eq!(text.contains("\ntinpot_build_info{"), *status == 200, "{text}");
    }
    let (_, text) = metrics(&url, Some(&tokens[0].0));
    assert!(text.contains("\ntinpot_auth_failures_total{kind=\"missing\"} 1\n"), "{text}");
    let bytes = text.lines().find_map(|line| line.strip_prefix("tinpot_store_bytes "));
    assert!(bytes.and_then(|bytes| bytes.parse::<u64>().ok()) > Some(0), "{text}");
    let free = text.lines().find_map(|line| line.strip_prefix("tinpot_store_free_bytes "));
    assert!(free.is_some_and(|free| free != "0"), "{text}");
}
