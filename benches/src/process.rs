//! Child processes: started, looked at, and always ended.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The time within which a process must end by itself: the supervisor of a peer ends three others.
const PATIENCE: Duration = Duration::from_secs(30);

/// A child process that is ended on drop: asked first, killed when it does not listen.
#[derive(Debug)]
pub struct Process(pub Child);

impl Process {
    /// Starts a program with its output discarded, unless the command says otherwise.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn();
        child
            .map(Self)
            .map_err(|error| io::Error::other(format!("cannot start {program}: {error}")))
    }

    /// Starts a server, and returns the address on which it says that it listens.
    pub fn listen(command: &mut Command) -> io::Result<(Self, SocketAddr)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = Self(command.spawn()?);
        let output = process.0.stdout.take().ok_or_else(|| io::Error::other("it has no output"))?;
        let mut lines = BufReader::new(output).lines();
        let address = loop {
            let line = lines.next().ok_or_else(|| io::Error::other("the server has ended"))??;
            if let Some((_, url)) = line.split_once("listens on http://") {
                break url.trim().parse().map_err(io::Error::other)?;
            }
        };
        // It ends with the process.
        thread::spawn(move || lines.for_each(drop));
        Ok((process, address))
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Closing the input ends those that read commands from it; the signal ends the others.
        drop(self.0.stdin.take());
        let _ = Command::new("kill").args(["-TERM", &self.id().to_string()]).status();
        let deadline = Instant::now() + PATIENCE;
        while matches!(self.0.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                eprintln!("process {} did not end by itself", self.id());
                let _ = self.0.kill();
                let _ = self.0.wait();
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Returns a free loopback port.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Resident memory of one process without its children, in megabytes (10⁶ bytes).
pub fn resident_mb(id: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    kilobytes(&status, "VmRSS:").map(|kilobytes| kilobytes * 1.024 / 1000.0)
}

/// The most resident memory of one process so far, without its children, in megabytes (10⁶ bytes).
pub fn peak_mb(id: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    kilobytes(&status, "VmHWM:").map(|kilobytes| kilobytes * 1.024 / 1000.0)
}

/// Memory of a process and all below it, in megabytes, shared pages counted once.
pub fn tree_mb(id: u32) -> f64 {
    let own = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))
        .ok()
        .and_then(|rollup| kilobytes(&rollup, "Pss:"))
        .map_or(0.0, |kilobytes| kilobytes * 1.024 / 1000.0);
    own + children(id).into_iter().map(tree_mb).sum::<f64>()
}

/// Seconds of processor time that a process took so far, without its children.
pub fn processor_seconds(id: u32) -> io::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name of the program is in parentheses, and may have spaces.
    let fields = stat.rsplit(") ").next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

fn children(id: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn kilobytes(text: &str, key: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_this_process_is_read() {
        let own = resident_mb(std::process::id()).unwrap();
        assert!((1.0..10_000.0).contains(&own), "{own}");
        assert!(tree_mb(std::process::id()) > 0.5);
    }

    #[test]
    fn processor_time_of_this_process_is_read() {
        let begun = Instant::now();
        let mut sum = 0_u64;
        while processor_seconds(std::process::id()).unwrap() < 0.02 {
            sum = (0..100_000).fold(sum, u64::wrapping_add);
            assert!(begun.elapsed() < Duration::from_secs(60), "{sum}");
        }
    }

    #[test]
    fn a_process_ends_with_its_handle() {
        let process = Process::start(Command::new("sleep").arg("60")).unwrap();
        let path = format!("/proc/{}", process.id());
        assert!(fs::exists(&path).unwrap());
        drop(process);
        assert!(!fs::exists(&path).unwrap());
    }
}
