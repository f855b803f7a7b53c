//! The least of HTTP/1.1 that a load generator needs: one connection, kept alive.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than anything measured here takes; a hang should end the run and say so.
const TIMEOUT: Duration = Duration::from_secs(120);

/// One connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
    line: Vec<u8>,
}

/// The answer of the server.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

/// A request, encoded once and sent many times.
#[derive(Debug, Clone)]
pub struct Request(Vec<u8>);

/// The framing of a body.
#[derive(Debug, Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClosed,
}

impl Request {
    /// A POST with a JSON body.
    pub fn post(path: &str, json: &str) -> Self {
        let length = json.len();
        Self(
            format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\n\r\n{json}"
            )
            .into_bytes(),
        )
    }

    /// A GET.
    pub fn get(path: &str) -> Self {
        Self(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes())
    }
}

impl Request {
    /// The bytes that are sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Adds a header.
    #[must_use]
    pub fn header(self, name: &str, value: &str) -> Self {
        let Self(mut bytes) = self;
        let at = bytes.windows(2).position(|two| two == b"\r\n").map_or(bytes.len(), |at| at + 2);
        bytes.splice(at..at, format!("{name}: {value}\r\n").into_bytes());
        Self(bytes)
    }
}

impl Client {
    /// Opens a connection.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { stream: BufReader::with_capacity(1 << 16, stream), line: Vec::new() })
    }

    /// Sends a request and reads the whole answer.
    pub fn send(&mut self, request: &Request) -> io::Result<Response> {
        let (status, framing) = self.head(request)?;
        let mut body = Vec::new();
        match framing {
            Framing::Length(length) => {
                let read = (&mut self.stream).take(length).read_to_end(&mut body)?;
                if read as u64 != length {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            Framing::Chunked | Framing::UntilClosed => {
                Body { stream: &mut self.stream, framing, left: 0 }.read_to_end(&mut body)?;
            }
        }
        Ok(Response { status, body })
    }

    /// Sends a request and hands the body out while it comes in.
    pub fn open<'a>(&'a mut self, request: &Request) -> io::Result<(u16, impl Read + use<'a>)> {
        let (status, framing) = self.head(request)?;
        let left = if let Framing::Length(length) = framing { length } else { 0 };
        Ok((status, Body { stream: &mut self.stream, framing, left }))
    }

    fn head(&mut self, request: &Request) -> io::Result<(u16, Framing)> {
        self.stream.get_mut().write_all(&request.0)?;
        let status = self.next_line()?;
        let status = status
            .split(|byte| *byte == b' ')
            .nth(1)
            .and_then(|code| std::str::from_utf8(code).ok()?.parse().ok())
            .ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "no status line"))?;
        let mut framing = Framing::UntilClosed;
        loop {
            let line = self.next_line()?;
            if line.is_empty() {
                return Ok((status, framing));
            }
            let line = String::from_utf8_lossy(line).to_ascii_lowercase();
            match line.split_once(':').map(|(name, value)| (name, value.trim())) {
                Some(("content-length", value)) => {
                    let length = value.parse();
                    framing = Framing::Length(length.map_err(|_| ErrorKind::InvalidData)?);
                }
                Some(("transfer-encoding", "chunked")) => framing = Framing::Chunked,
                _ => {}
            }
        }
    }

    fn next_line(&mut self) -> io::Result<&[u8]> {
        self.line.clear();
        if self.stream.read_until(b'\n', &mut self.line)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(self.line.trim_ascii_end())
    }
}

/// A body while it comes in, without its chunk framing.
struct Body<'a> {
    stream: &'a mut BufReader<TcpStream>,
    framing: Framing,
    left: u64,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.framing, Framing::UntilClosed) {
            return self.stream.read(buffer);
        }
        if self.left == 0 {
            if matches!(self.framing, Framing::Length(_)) {
                return Ok(0);
            }
            let mut line = String::new();
            // The line end of the chunk before comes first, except at the very start.
            while line.trim().is_empty() {
                line.clear();
                if self.stream.read_line(&mut line)? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
            let size = line.trim().split(';').next().unwrap_or_default();
            self.left = u64::from_str_radix(size, 16).map_err(|_| ErrorKind::InvalidData)?;
            if self.left == 0 {
                self.stream.read_line(&mut line)?;
                self.framing = Framing::Length(0);
                return Ok(0);
            }
        }
        let read = (&mut *self.stream).take(self.left).read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = [0; 1024];
            for _ in 0..2 {
                if stream.read(&mut seen).unwrap() == 0 {
                    return;
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn both_framings_are_read_and_the_connection_is_kept() {
        let plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        let chunked =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        for answer in [plain, chunked] {
            let mut client = Client::connect(answering(answer)).unwrap();
            for _ in 0..2 {
                let response = client.send(&Request::get("/")).unwrap();
                assert_eq!((response.status, response.body.as_slice()), (200, &b"hello"[..]));
            }
        }
    }
}
