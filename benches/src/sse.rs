//! The log stream of one execution, opened after the submit.

use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::{Client, Request};

/// The content of a stream.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lines {
    /// Log events received.
    pub received: u64,
    /// True if each event's `seq` was one more than that of the event before.
    pub in_order: bool,
    /// The time from the submission to the event `complete`.
    pub took: Duration,
}

impl Lines {
    /// Lines per second.
    pub fn per_second(&self) -> f64 {
        self.received as f64 / self.took.as_secs_f64()
    }
}

/// Runs an action that prints `count` lines, and reads its stream to the end.
pub fn lines(address: SocketAddr, action: &str, count: u64) -> io::Result<Lines> {
    let mut client = Client::connect(address)?;
    let path = format!("/api/actions/{action}/execute");
    let submit = Request::post(&path, &format!(r#"{{"parameters":{{"count":{count}}}}}"#));
    let started = Instant::now();
    let answer = client.send(&submit)?.body;
    let stream = serde_json::from_slice::<Value>(&answer)
        .ok()
        .and_then(|answer| answer["stream_url"].as_str().map(str::to_owned))
        .ok_or_else(|| io::Error::other(String::from_utf8_lossy(&answer).into_owned()))?;
    let mut client = Client::connect(address)?;
    let (status, body) = client.open(&Request::get(&stream))?;
    if status != 200 {
        return Err(io::Error::other(format!("{stream}: status {status}")));
    }
    let (received, in_order) = read(body)?;
    Ok(Lines { received, in_order, took: started.elapsed() })
}

/// Counts log events until `complete`.
///
/// Parsing every event as JSON would cost more than some systems need to send it: the two fields are
/// looked for instead. The actions that are run here print nothing that looks like them.
fn read(body: impl Read) -> io::Result<(u64, bool)> {
    let mut body = BufReader::with_capacity(1 << 16, body);
    let mut line = Vec::new();
    let (mut received, mut in_order, mut last) = (0, true, None);
    loop {
        line.clear();
        if body.read_until(b'\n', &mut line)? == 0 {
            return Err(io::Error::other("the stream ended without `complete`"));
        }
        let Some(data) = line.strip_prefix(b"data:") else { continue };
        match after(data, b"\"type\":") {
            Some(kind) if kind.starts_with(b"\"log\"") => {
                received += 1;
                let seq = after(data, b"\"seq\":").map(number);
                in_order &= seq.is_some() && last.is_none_or(|last| seq == Some(last + 1));
                last = seq;
            }
            Some(kind) if kind.starts_with(b"\"complete\"") => return Ok((received, in_order)),
            _ => {}
        }
    }
}

/// Returns the text after the last occurrence of `key`, which is a field's value in compact JSON.
fn after<'a>(data: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    // `type` stands first in an event and `seq` last, so the two directions find each quickly.
    let mut places = data.windows(key.len());
    let at = if key.starts_with(b"\"type") {
        places.position(|part| part == key)
    } else {
        places.rposition(|part| part == key)
    };
    at.map(|at| data[at + key.len()..].trim_ascii_start())
}

fn number(digits: &[u8]) -> u64 {
    digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(seqs: &[u64]) -> String {
        let log = |seq| {
            format!(
                "id: {seq}\ndata: {{\"type\":\"log\",\"data\":{{\"message\":\"x\",\"seq\":{seq}}}}}\n\n"
            )
        };
        let logs: String = seqs.iter().map(log).collect();
        format!(
            "data: {{\"type\": \"connected\"}}\n\n: beat\n\n{logs}data: {{\"type\": \"complete\"}}\n\n"
        )
    }

    #[test]
    fn lines_are_counted_and_gaps_noticed() {
        assert_eq!(read(events(&[7, 8, 9]).as_bytes()).unwrap(), (3, true));
        assert_eq!(read(events(&[1, 3]).as_bytes()).unwrap(), (2, false));
        assert_eq!(read(events(&[2, 1]).as_bytes()).unwrap(), (2, false));
        assert_eq!(read(events(&[]).as_bytes()).unwrap(), (0, true));
        assert!(read(&b"data: {\"type\":\"log\",\"seq\":1}\n\n"[..]).is_err());
    }
}
