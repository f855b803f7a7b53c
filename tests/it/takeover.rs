//! Another client comes with the MQTT client id of a worker's connection: the broker ends the worker's, which comes back under another id and
//! never ends the other client's.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use tinpot_tests::{
    Api, Mosquitto, Program, coordinator, coordinator_with_broker, wait_for, wait_for_workers,
    worker,
};

/// Neither broker says why in a way that the library understands.
const CLOSED: &str = "closed the connection; its log may say why";

/// The bytes of MQTT 5 with which a client takes over another client's id.
struct Thief(TcpStream);

impl Thief {
    fn connect(port: u16, id: &str) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        let id_length = u8::try_from(id.len()).expect("a short id");
        // Version 5, clean start, a keep-alive of 60 s, no properties.
        let mut packet = vec![0x10, 13 + id_length];
        packet.extend(b"\x00\x04MQTT\x05\x02\x00\x3c\x00\x00");
        packet.push(id_length);
        packet.extend(id.as_bytes());
        socket.write_all(&packet).expect("CONNECT");
        let mut head = [0; 4];
        socket.read_exact(&mut head).expect("CONNACK");
        assert_eq!((head[0], head[3]), (0x20, 0), "the broker takes it in");
        let mut rest = vec![0; usize::from(head[1]) - 2];
        socket.read_exact(&mut rest).expect("its properties");
        Self(socket)
    }

    /// A broker that had ended this connection would not answer.
    fn is_connected(&mut self) {
        self.0.write_all(&[0xc0, 0]).expect("PINGREQ");
        let mut answer = [0; 2];
        self.0.read_exact(&mut answer).expect("PINGRESP");
        assert_eq!(answer, [0xd0, 0]);
    }
}

/// The ids under which a lane of the worker was taken in by the broker, oldest first; with those of the thief.
fn ids(log: &str, lane: &str) -> Vec<String> {
    let words =
        log.lines().filter(|line| line.contains("connected from")).flat_map(|line| line.split(' '));
    words
        .filter(|word| word.starts_with("robbed-") && word.contains(lane))
        .map(str::to_owned)
        .collect()
}

/// Takes the ids of both lanes of a worker, once it is there. `log` is what the broker says of its clients.
fn is_no_fight(api: &Api, port: u16, worker: &Program, log: impl Fn() -> String) {
    wait_for_workers(api, &["robbed"]);
    for (lane, told) in [("-control-", 1), ("-logs-", 2)] {
        let [id] = &ids(&log(), lane)[..] else { panic!("{}", log()) };
        let mut thief = Thief::connect(port, id);
        let ids = wait_for("the worker to come back", || match ids(&log(), lane) {
            ids if ids.len() >= 3 => Ok(ids),
            ids => Err(ids),
        });
        assert!(ids[1] == *id && ids[2] != *id, "{ids:?}");
        wait_for("the worker to say so", || match worker.output() {
            output if output.matches(CLOSED).count() >= told => Ok(()),
            output => Err(output),
        });
        for _ in 0..20 {
            let done = api.run("mark", json!({"file": "/dev/null", "text": "x"}));
            assert_eq!(done["result"], "x", "{done}");
        }
        thief.is_connected();
        assert_eq!(self::ids(&log(), lane).len(), 3, "{}", log());
    }
}

#[test]
fn a_stolen_client_id_starts_no_fight() {
    let broker = Mosquitto::start();
    let (_coordinator, api) = coordinator(&broker.url(), &[]);
    let worker = worker(&broker.url(), &[("WORKER_NAME", "robbed")]);
    is_no_fight(&api, broker.port(), &worker, || broker.log());
}

#[test]
fn a_client_id_stolen_at_the_embedded_broker_starts_no_fight() {
    let log = ("RUST_LOG", "mqtt5::broker::client_handler=info");
    let (coordinator, api, port) = coordinator_with_broker(&[log]);
    let worker = worker(&format!("tcp://127.0.0.1:{port}"), &[("WORKER_NAME", "robbed")]);
    is_no_fight(&api, port, &worker, || coordinator.output());
}
