//! The proxy's faults are what they are called.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use tinpot_tests::{Direction, Fault, Proxy};

/// Both ends of a connection through the proxy.
struct Connected {
    proxy: Proxy,
    listener: TcpListener,
    client: TcpStream,
    broker: TcpStream,
}

fn connect(proxy: &Proxy, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(("127.0.0.1", proxy.port())).expect("a connection");
    let (broker, _) = listener.accept().expect("a connection");
    for side in [&client, &broker] {
        side.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    }
    (client, broker)
}

fn connected() -> Connected {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = Proxy::start(listener.local_addr().expect("an address").port());
    let (client, broker) = connect(&proxy, &listener);
    Connected { proxy, listener, client, broker }
}

/// Writes at one end and reads at the other.
fn passes(mut from: &TcpStream, mut to: &TcpStream) {
    from.write_all(b"hello").expect("a write");
    let mut read = [0; 5];
    to.read_exact(&mut read).expect("five bytes");
    assert_eq!(&read, b"hello");
}

/// Waits, and asserts that nothing arrives.
fn is_silent(mut at: &TcpStream) {
    at.set_read_timeout(Some(Duration::from_millis(150))).expect("a timeout");
    let error = at.read(&mut [0]).expect_err("nothing arrives");
    assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
    at.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
}

#[test]
fn bytes_pass_late_or_not_at_all() {
    let Connected { proxy, client, broker, .. } = connected();
    passes(&client, &broker);
    passes(&broker, &client);

    proxy.set(Direction::ToBroker, Fault::Delay(Duration::from_millis(200)));
    let before = Instant::now();
    passes(&client, &broker);
    assert!(before.elapsed() >= Duration::from_millis(200), "{:?}", before.elapsed());
    passes(&broker, &client);
    proxy.set_both(Fault::Pass);

    proxy.set(Direction::FromBroker, Fault::Stall);
    passes(&client, &broker);
    (&broker).write_all(b"later").expect("a write");
    is_silent(&client);
    proxy.set(Direction::FromBroker, Fault::Pass);
    let mut late = [0; 5];
    (&client).read_exact(&mut late).expect("what was held up");
    assert_eq!(&late, b"later");
}

#[test]
fn a_stall_stops_the_sender() {
    let Connected { proxy, client, .. } = connected();
    proxy.set(Direction::ToBroker, Fault::Stall);
    client.set_write_timeout(Some(Duration::from_millis(300))).expect("a timeout");
    let mut client = client;
    let error = (0..10_000).find_map(|_| client.write_all(&[0; 64 * 1024]).err());
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::WouldBlock));
}

#[test]
fn a_black_hole_swallows_bytes_and_ends_then_resets() {
    let Connected { proxy, listener, client, broker } = connected();
    proxy.set(Direction::ToBroker, Fault::BlackHole);
    (&client).write_all(b"lost").expect("a write");
    passes(&broker, &client);
    client.shutdown(std::net::Shutdown::Write).expect("an end");
    is_silent(&broker);
    proxy.set(Direction::ToBroker, Fault::Pass);
    let error = (&broker).read(&mut [0]).expect_err("the connection has a hole");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let (client, broker) = connect(&proxy, &listener);
    passes(&client, &broker);
    assert_eq!(proxy.connections(), 2);
}

#[test]
fn connections_are_halved_reset_and_refused() {
    let Connected { proxy, listener, client, broker } = connected();
    proxy.half_close(Direction::ToBroker);
    assert_eq!((&broker).read(&mut [0]).expect("the end"), 0);
    passes(&broker, &client);

    let (client, broker) = connect(&proxy, &listener);
    proxy.take_connections(false);
    let refused = TcpStream::connect(("127.0.0.1", proxy.port())).expect_err("the port is closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    passes(&broker, &client);
    proxy.reset();
    for mut side in [&client, &broker] {
        let error = side.read(&mut [0]).expect_err("a reset");
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    proxy.take_connections(true);
    let (client, broker) = connect(&proxy, &listener);
    passes(&client, &broker);
}
