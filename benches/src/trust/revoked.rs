//! The time for which a token, a grant, a sign-in or the key of a worker is of use after it was revoked by
//! another process.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::server::{PASSWORD, Server};
use super::{AnyError, Line};
use crate::http::{Client, Request};

const PATIENCE: Duration = Duration::from_secs(20);

/// Measures each kind.
pub fn measure(program: &Path) -> Result<Vec<Line>, AnyError> {
    let mut server = Server::start(program, true, &["--limit-rate=100000"])?;
    let key = server.add_worker()?;
    let root = server.token("root")?;
    let started = Request::post("/api/actions/wait/execute", r#"{"parameters":{}}"#);
    let started = server.json(&started.bearer(&root))?;
    let id = started["execution_id"].as_str().ok_or("nothing was started")?;
    let stream = format!("/api/executions/{id}/stream");
    let mut lines = Vec::new();
    // A token.
    server.user("ada", "viewer")?;
    let token = server.token("ada")?;
    let tokens: Value = serde_json::from_str(&server.operate(&["tokens", "list", "--json"])?)?;
    let tokens = tokens["tokens"].as_array().or(tokens.as_array()).ok_or("no tokens")?;
    let of_ada = tokens.iter().find(|token| token.to_string().contains("ada"));
    let token_id = of_ada.and_then(|token| token["id"].as_str()).ok_or("no token of ada")?;
    let as_ada = |path: &str| Request::get(path).bearer(&token);
    lines.push(ends(
        &server,
        "token",
        &as_ada("/api/actions"),
        Some(&as_ada(&stream)),
        &["tokens", "revoke", token_id],
    )?);
    // A grant.
    let grant = server.user("bob", "admin")?;
    let token = server.token("bob")?;
    let as_bob = |path: &str| Request::get(path).bearer(&token);
    let path = format!("/api/executions/{id}");
    lines.push(ends(
        &server,
        "grant",
        &as_bob(&path),
        Some(&as_bob(&stream)),
        &["grants", "remove", &grant],
    )?);
    // A sign-in.
    server.user("cyd", "viewer")?;
    let body = format!(r#"{{"user":"cyd","password":"{PASSWORD}"}}"#);
    let cookie = server.cookie(&Request::post("/api/auth/login", &body))?;
    let as_cyd = |path: &str| Request::get(path).header("cookie", &cookie);
    lines.push(ends(
        &server,
        "sign-in",
        &as_cyd("/api/actions"),
        Some(&as_cyd(&stream)),
        &["users", "disable", "cyd"],
    )?);
    // The key of a worker: the last result that is taken from it.
    let run = Request::post("/api/actions/noop/sync_execute?timeout=1", r#"{"parameters":{}}"#);
    let run = run.bearer(&root);
    lines.push(ends(&server, "worker key", &run, None, &["workers", "revoke", &key])?);
    Ok(lines)
}

/// Revokes something by a command, and measures what is accepted after the command has ended.
fn ends(
    server: &Server,
    what: &str,
    request: &Request,
    stream: Option<&Request>,
    revoke: &[&str],
) -> Result<Line, AnyError> {
    let done = AtomicBool::new(false);
    let (revoked, last, ended) = thread::scope(|scope| -> Result<_, AnyError> {
        let asking = scope.spawn(|| -> Result<Instant, AnyError> {
            let mut client = Client::connect(server.address)?;
            let mut last = Instant::now();
            let mut is_first = true;
            loop {
                let sent = Instant::now();
                let answer = client.send(request)?;
                let is_accepted = answer.status == 200 && !says(&answer.body, "PENDING");
                match (is_accepted, is_first) {
                    (true, _) => (last, is_first) = (sent, false),
                    (false, true) => {
                        let body = String::from_utf8_lossy(&answer.body).into_owned();
                        return Err(format!("status {}: {body}", answer.status).into());
                    }
                    (false, false) => return Ok(last),
                }
            }
        });
        let watching = stream.map(|stream| {
            scope.spawn(move || -> Result<Instant, AnyError> {
                let mut client = Client::connect(server.address)?;
                let (status, mut body) = client.open(stream)?;
                if status != 200 {
                    return Err(format!("the stream answers {status}").into());
                }
                let mut bytes = [0; 4096];
                while body.read(&mut bytes).is_ok_and(|read| read > 0) {}
                Ok(Instant::now())
            })
        });
        // Both are under way.
        thread::sleep(Duration::from_millis(500));
        server.operate(revoke)?;
        let revoked = Instant::now();
        let last = asking.join().map_err(|_| "a client has panicked")??;
        let ended = watching.map(|watching| watching.join().map_err(|_| "a stream has panicked"));
        done.store(true, Ordering::Relaxed);
        Ok((revoked, last, ended.transpose()?.transpose()?))
    })?;
    let after = |at: Instant| at.saturating_duration_since(revoked).as_secs_f64();
    if after(last) > PATIENCE.as_secs_f64() {
        return Err(format!("a revoked {what} is accepted").into());
    }
    let mut measured = format!("{:.2} s", after(last));
    if let Some(ended) = ended {
        measured.push_str(&format!("; {:.2} s", after(ended)));
    }
    let what = format!("a revoked {what}: the last accepted request after it; open streams end");
    Ok(Line::new(what, "0; 5 s", "0; 1 s", measured))
}

fn says(body: &[u8], word: &str) -> bool {
    body.windows(word.len()).any(|part| part == word.as_bytes())
}
