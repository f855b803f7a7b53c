//! A TCP proxy in front of a broker, which breaks in the ways that networks do.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::wait_for;

/// Bytes taken at once.
const READ_BYTES: usize = 16 * 1024;
/// Reads that wait for the end of their delay; with more of them, the proxy reads no further.
const DELAYED_READS: usize = 4096;

/// The treatment of bytes in one direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// They pass.
    Pass,
    /// They arrive that much later, in order.
    Delay(Duration),
    /// They are read and thrown away, and so is the end of the connection. No stream has a hole: a connection that lost something so is reset
    /// when this ends.
    BlackHole,
    /// They are not read: once the buffers in between are full, the sender cannot write.
    Stall,
}

/// The direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Direction {
    /// Bytes from the program to the broker.
    ToBroker,
    /// Bytes from the broker to the program.
    FromBroker,
}

/// A proxy on a free port of loopback; it ends with this. One per program cuts that program off alone.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    wires: Arc<Wires>,
    _runtime: Runtime,
}

/// The state that the connections read.
#[derive(Debug)]
struct Wires {
    broker: u16,
    lines: [Line; 2],
    /// Counts the resets.
    resets: watch::Sender<u64>,
    /// The intended and the actual acceptance of new connections.
    wanted: watch::Sender<bool>,
    taken: watch::Sender<bool>,
    connections: AtomicUsize,
}

/// One direction.
#[derive(Debug)]
struct Line {
    fault: watch::Sender<Fault>,
    /// Counts the half-closes.
    ends: watch::Sender<u64>,
}

/// One direction, as a connection sees it.
struct Watch {
    fault: watch::Receiver<Fault>,
    ends: watch::Receiver<u64>,
}

impl Line {
    fn new() -> Self {
        Self { fault: watch::Sender::new(Fault::Pass), ends: watch::Sender::new(0) }
    }
}

impl Proxy {
    /// Starts one in front of the broker on that port of loopback, which need not be there yet.
    pub fn start(broker: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener =
            runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let wires = Arc::new(Wires {
            broker,
            lines: [Line::new(), Line::new()],
            resets: watch::Sender::new(0),
            wanted: watch::Sender::new(true),
            taken: watch::Sender::new(true),
            connections: AtomicUsize::new(0),
        });
        runtime.spawn(serve(wires.clone(), listener, port));
        Self { port, wires, _runtime: runtime }
    }

    /// Returns the URL for programs, in place of the broker's own.
    pub fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Gives one direction of every connection, present and future, this fault.
    pub fn set(&self, direction: Direction, fault: Fault) {
        self.line(direction).fault.send_replace(fault);
    }

    /// Gives both directions of every connection this fault.
    pub fn set_both(&self, fault: Fault) {
        self.set(Direction::ToBroker, fault);
        self.set(Direction::FromBroker, fault);
    }

    /// Ends one direction of every present connection in order: its receiver reads the end of the stream, the other direction goes on.
    pub fn half_close(&self, direction: Direction) {
        self.line(direction).ends.send_modify(|count| *count += 1);
    }

    /// Resets every present connection, to both sides.
    pub fn reset(&self) {
        self.wires.resets.send_modify(|count| *count += 1);
    }

    /// Sets whether new connections are accepted; otherwise they are refused, as by a host without
    /// a listener. Present ones stay.
    pub fn take_connections(&self, take: bool) {
        self.wires.wanted.send_replace(take);
        let taken = || match *self.wires.taken.borrow() == take {
            true => Ok(()),
            false => Err("the proxy has not noticed"),
        };
        wait_for("the proxy's listener", taken);
    }

    /// Returns the number of connections accepted so far.
    pub fn connections(&self) -> usize {
        self.wires.connections.load(Ordering::Relaxed)
    }

    fn line(&self, direction: Direction) -> &Line {
        &self.wires.lines[direction as usize]
    }
}

async fn serve(wires: Arc<Wires>, listener: TcpListener, port: u16) {
    let mut wanted = wires.wanted.subscribe();
    let mut listening = Some(listener);
    loop {
        match &listening {
            Some(listener) => tokio::select! {
                _ = wanted.changed() => {}
                accepted = listener.accept() => if let Ok((client, _)) = accepted {
                    wires.connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(connection(wires.clone(), client));
                },
            },
            None => drop(wanted.changed().await),
        }
        let take = *wanted.borrow();
        if take != listening.is_some() {
            listening = if take { Some(bind(port).await) } else { None };
            wires.taken.send_replace(take);
        }
    }
}

async fn bind(port: u16) -> TcpListener {
    loop {
        // Meanwhile another program may use the port for an outgoing connection.
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            Ok(listener) => return listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(wires: Arc<Wires>, mut client: TcpStream) {
    // Before the connection is visible, so that no later request is missed.
    let mut resets = wires.resets.subscribe();
    let [to_broker, from_broker] = [0, 1].map(|line: usize| Watch {
        fault: wires.lines[line].fault.subscribe(),
        ends: wires.lines[line].ends.subscribe(),
    });
    let Ok(mut broker) = TcpStream::connect((Ipv4Addr::LOCALHOST, wires.broker)).await else {
        return;
    };
    for side in [&client, &broker] {
        let _ = side.set_nodelay(true);
    }
    let broken = {
        let (client_read, client_write) = client.split();
        let (broker_read, broker_write) = broker.split();
        tokio::select! {
            ended = async { tokio::try_join!(
                carry(client_read, broker_write, to_broker),
                carry(broker_read, client_write, from_broker),
            ) } => ended.is_err(),
            _ = resets.changed() => true,
        }
    };
    if broken {
        for side in [&client, &broker] {
            let _ = side.set_zero_linger();
        }
    }
}

/// Moves bytes in one direction until the stream ends; an error breaks the whole connection.
async fn carry(mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, line: Watch) -> io::Result<()> {
    let Watch { fault: mut faults, mut ends } = line;
    let (delayed, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(DELAYED_READS);
    let reading = async move {
        let mut buffer = vec![0; READ_BYTES];
        let mut has_hole = false;
        loop {
            let fault = *faults.borrow_and_update();
            if has_hole && fault != Fault::BlackHole {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let read = tokio::select! {
                biased;
                _ = faults.changed() => continue,
                read = from.read(&mut buffer), if fault != Fault::Stall => read?,
            };
            let delay = match fault {
                Fault::BlackHole => {
                    has_hole = true;
                    if read == 0 {
                        // The end stays invisible until the connection is reset.
                        let _ = faults.wait_for(|fault| *fault != Fault::BlackHole).await;
                    }
                    continue;
                }
                Fault::Delay(delay) => delay,
                Fault::Pass | Fault::Stall => Duration::ZERO,
            };
            if read == 0
                || delayed.send((Instant::now() + delay, buffer[..read].to_vec())).await.is_err()
            {
                return Ok(());
            }
        }
    };
    let writing = async move {
        let mut is_open = true;
        loop {
            tokio::select! {
                biased;
                Ok(()) = ends.changed() => {
                    is_open = false;
                    let _ = to.shutdown().await;
                }
                chunk = due.recv() => match chunk {
                    None => {
                        let _ = to.shutdown().await;
                        return Ok(());
                    }
                    Some((at, bytes)) if is_open => {
                        sleep_until(at).await;
                        to.write_all(&bytes).await?;
                    }
                    Some(_) => {}
                }
            }
        }
    };
    tokio::try_join!(reading, writing).map(drop)
}
