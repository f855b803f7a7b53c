//! A daemon that a test plays: it does nothing by itself.

use std::time::Duration;

use uuid::Uuid;

use crate::address::MoorAddress;
use crate::keys::VerifyingKey;
use crate::sockets::{Incoming, Sockets};
use crate::wire::Dialect;
use crate::wire::message::{FromWorker, FromWorkerBody, Reply, Sender, ToWorker, WorkerRequest};

/// The pause between pings, for workers that have not subscribed yet.
const PAUSE: Duration = Duration::from_millis(20);

/// The sockets of a daemon.
#[derive(Debug)]
pub struct FakeDaemon {
    sockets: Sockets,
    address: MoorAddress,
    dialect: Dialect,
    key: Option<VerifyingKey>,
}

/// A message of a worker, which waits for its reply.
#[derive(Debug)]
pub struct Heard {
    /// The worker, proved by its token where there is one.
    pub worker: Uuid,
    /// The message.
    pub body: FromWorkerBody,
    incoming: Incoming,
}

impl FakeDaemon {
    /// Binds the sockets of a daemon. With a key it speaks the dialect with tokens.
    ///
    /// # Panics
    /// If the address is taken.
    pub async fn bind(address: MoorAddress, key: Option<VerifyingKey>) -> Self {
        let dialect = if key.is_some() { Dialect::Token } else { Dialect::Plain };
        let (sockets, address) =
            Sockets::bind(address, None).await.expect("the sockets of a daemon");
        Self { sockets, address, dialect, key }
    }

    /// Returns the address, with the ports that the system chose.
    pub fn address(&self) -> &MoorAddress {
        &self.address
    }

    /// Goes away.
    pub async fn leave(self) {
        self.sockets.close().await;
    }

    /// Waits for a message.
    ///
    /// # Panics
    /// If its frames are wrong.
    pub async fn heard(&self) -> Heard {
        let incoming = self.sockets.next().await.expect("a message");
        assert_eq!(incoming.frames.len(), self.dialect.frames(), "{incoming:?}");
        let [.., id, message] = &incoming.frames[..] else { panic!("{incoming:?}") };
        let worker = Uuid::from_slice(id).expect("the id of a worker");
        let message = FromWorker::decode(message, self.dialect).expect("a message");
        match (&message.sender, self.key) {
            (Sender::Id(inside), None) => assert_eq!(*inside, worker),
            (Sender::Token(inside), Some(key)) => {
                assert_eq!(inside.as_bytes(), &*incoming.frames[0]);
                assert_eq!(key.worker_of(inside), Some(worker));
            }
            other => panic!("{other:?}"),
        }
        Heard { worker, body: message.body, incoming }
    }

    /// Replies to a message.
    pub fn reply(&self, to: &Heard, reply: &Reply) {
        self.sockets.reply(&to.incoming, reply.encode(self.dialect));
    }

    /// Publishes a message to all workers.
    ///
    /// # Panics
    /// If the message cannot be written.
    pub async fn publish(&self, message: &ToWorker) {
        self.sockets.publish(message.encode(self.dialect).expect("a message")).await;
    }

    /// Publishes a request without a time limit. Returns its id.
    pub async fn ask(&self, worker: Uuid, arguments: Vec<crate::Var>) -> Uuid {
        let mut request = WorkerRequest::new(worker, Uuid::new_v4());
        request.arguments = arguments;
        let id = request.id;
        self.publish(&ToWorker::Request(request)).await;
        id
    }

    /// Waits for a worker: its attach, or the pong of one that is registered again, and then a pong,
    /// which shows that it hears what is published. Returns its id.
    pub async fn worker(&self) -> Uuid {
        loop {
            let ping = async {
                tokio::time::sleep(PAUSE).await;
                self.publish(&ToWorker::Ping).await;
            };
            tokio::select! {
                heard = self.heard() => match heard.body {
                    FromWorkerBody::Pong(_) => {
                        self.reply(&heard, &Reply::Attached(heard.worker));
                        return heard.worker;
                    }
                    FromWorkerBody::Attach(_) => self.reply(&heard, &Reply::Attached(heard.worker)),
                    _ => self.reply(&heard, &Reply::NotRegistered(heard.worker)),
                },
                () = ping => {}
            }
        }
    }

    /// Waits for the answer to a request, or for the detach of a worker, and acknowledges it. Pongs
    /// in between are answered.
    pub async fn answer(&self) -> FromWorkerBody {
        loop {
            let heard = self.heard().await;
            self.reply(&heard, &Reply::Ack);
            if !matches!(heard.body, FromWorkerBody::Pong(_)) {
                return heard.body;
            }
        }
    }
}
