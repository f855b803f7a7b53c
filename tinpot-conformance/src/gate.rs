//! A port in front of the broker, whose connections a scene can cut.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// The maximum number of connections: those of one worker, and those that it gave up.
const CONNECTIONS: usize = 64;

#[derive(Clone, Copy, Debug)]
struct State {
    is_open: bool,
    /// The number of cuts. A connection ends with the next one.
    cuts: u64,
}

/// A port of this machine that leads to the broker.
#[derive(Debug)]
pub(crate) struct Gate {
    port: u16,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

impl Gate {
    /// Listens at a free port.
    pub(crate) async fn open(broker: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let (state, changes) = watch::channel(State { is_open: true, cuts: 0 });
        let task = tokio::spawn(serve(listener, broker, changes));
        Ok(Self { port, state, task })
    }

    pub(crate) fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Ends all connections. The worker can connect again.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Ends all connections, and new ones at once.
    pub(crate) fn close(&self) {
        self.state.send_modify(|state| *state = State { is_open: false, cuts: state.cuts + 1 });
    }

    /// Lets connections through again.
    pub(crate) fn reopen(&self) {
        self.state.send_modify(|state| state.is_open = true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, broker: SocketAddr, changes: watch::Receiver<State>) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = accepted else { continue };
        let State { is_open, cuts } = *changes.borrow();
        if is_open && connections.len() < CONNECTIONS {
            connections.spawn(carry(stream, broker, cuts, changes.clone()));
        }
    }
}

async fn carry(
    mut near: TcpStream,
    broker: SocketAddr,
    cuts: u64,
    mut changes: watch::Receiver<State>,
) {
    let Ok(mut far) = TcpStream::connect(broker).await else { return };
    // Frames are small, and each waits for the one before it otherwise.
    let _ = near.set_nodelay(true);
    let _ = far.set_nodelay(true);
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = changes.wait_for(|state| state.cuts != cuts) => {}
    }
}
