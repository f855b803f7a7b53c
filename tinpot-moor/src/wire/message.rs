//! The messages of both sides.

use uuid::Uuid;

use super::Dialect;
use super::reader::{Reader, Table};
use super::slots::{
    self, MESSAGE, ONLY, PLAIN_REQUEST, RequestSlots, Slot, TOKEN_REQUEST, addressed, answer,
    from_worker, presence, reply, to_worker, worker_error,
};
use super::writer::{Field, Writer};
use crate::fault::Fault;
use crate::var::Var;
use crate::var::obj::Obj;

/// A message of the coordinator to all workers of its sockets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ToWorker {
    /// A question to all: who is there?
    Ping,
    /// A request to one worker.
    Request(WorkerRequest),
    /// Asks a worker to end. Some workers end even if it is for another.
    PleaseDie(Uuid),
}

/// A request to one worker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct WorkerRequest {
    /// The worker it is for. All see it.
    pub worker: Uuid,
    /// The id, which the answer repeats.
    pub id: Uuid,
    /// The object whose permissions count.
    pub perms: Obj,
    /// The arguments.
    pub arguments: Vec<Var>,
    /// The longest time it may take, in milliseconds; 0 if there is no limit.
    pub timeout_ms: u64,
}

impl WorkerRequest {
    /// Returns a request without arguments and time limit.
    pub fn new(worker: Uuid, id: Uuid) -> Self {
        Self { worker, id, perms: Obj::NOTHING, arguments: Vec::new(), timeout_ms: 0 }
    }
}

/// A message of a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct FromWorker {
    /// The worker that claims to have sent the message.
    pub sender: Sender,
    /// The message.
    pub body: FromWorkerBody,
}

/// The sender as the body of a message has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The token of the worker, in the dialect with tokens.
    Token(String),
    /// The id of the worker, in the plain dialect.
    Id(Uuid),
}

/// The message of a worker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FromWorkerBody {
    /// The worker of this type is there.
    Attach(String),
    /// The answer to a ping, with the type.
    Pong(String),
    /// The worker leaves.
    Detach,
    /// The result of a request. It is an error if the result cannot be read.
    Result(Uuid, Result<Var, Fault>),
    /// The failure of a request.
    Error(Uuid, WorkerError),
}

/// The reason why a request failed at its worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerError {
    /// It may not be done.
    PermissionDenied(String),
    /// The arguments are wrong.
    InvalidRequest(String),
    /// The worker is at fault.
    Internal(String),
    /// It took too long.
    TimedOut(String),
    /// The work itself has failed.
    Request(String),
    /// The worker has left.
    Detached(String),
    /// There is no worker of this type.
    NoWorker(String),
}

impl WorkerError {
    /// Returns the error with at most this many bytes of its text.
    pub(crate) fn shortened(mut self, bytes: usize) -> Self {
        let text = match &mut self {
            Self::PermissionDenied(text)
            | Self::InvalidRequest(text)
            | Self::Internal(text)
            | Self::TimedOut(text)
            | Self::Request(text)
            | Self::Detached(text)
            | Self::NoWorker(text) => text,
        };
        text.truncate(text.floor_char_boundary(bytes));
        self
    }
}

/// The reply to a message of a worker. Every message has one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reply {
    /// Done.
    Ack,
    /// The message cannot be read.
    Rejected(String),
    /// The worker with this id is known from now on.
    Attached(Uuid),
    /// The token is wrong.
    AuthFailed(String),
    /// The message can be read, and its content cannot.
    InvalidPayload(String),
    /// No caller waits for this request.
    UnknownRequest(Uuid),
    /// The worker with this id is not known.
    NotRegistered(Uuid),
}

fn unknown(what: &str, tag: u8) -> Fault {
    Fault::new(format!("there is no {what} with tag {tag}"))
}

fn request_slots(dialect: Dialect) -> &'static RequestSlots {
    match dialect {
        Dialect::Token => &TOKEN_REQUEST,
        Dialect::Plain => &PLAIN_REQUEST,
    }
}

fn addressed_slot(dialect: Dialect) -> Slot {
    match dialect {
        Dialect::Token => addressed::TOKEN_WORKER_ID,
        Dialect::Plain => addressed::PLAIN_WORKER_ID,
    }
}

impl Reader<'_> {
    pub(crate) fn uuid(&mut self, table: Table, slot: Slot) -> Result<Uuid, Fault> {
        let table = self.table(table, slot)?;
        let bytes = self.bytes(table, ONLY).map_err(|fault| fault.within(slot.name))?;
        Uuid::from_slice(bytes).map_err(|_| {
            Fault::new(format!("an id must have 16 bytes (got {})", bytes.len())).within(slot.name)
        })
    }

    /// Reads a token: a table with a text, as a symbol is.
    fn sender(&mut self, table: Table, dialect: Dialect) -> Result<Sender, Fault> {
        match dialect {
            Dialect::Token => self.symbol(table, presence::SENDER).map(Sender::Token),
            Dialect::Plain => self.uuid(table, presence::SENDER).map(Sender::Id),
        }
    }

    fn message(&mut self, table: Table) -> Result<String, Fault> {
        Ok(self.text(table, ONLY)?.to_owned())
    }

    fn worker_error(&mut self, table: Table) -> Result<WorkerError, Fault> {
        let envelope = self.table(table, answer::ERROR)?;
        let (tag, error) = self.union(envelope, MESSAGE)?;
        Ok(match tag {
            worker_error::PERMISSION_DENIED => WorkerError::PermissionDenied(self.message(error)?),
            worker_error::INVALID_REQUEST => WorkerError::InvalidRequest(self.message(error)?),
            worker_error::INTERNAL => WorkerError::Internal(self.message(error)?),
            worker_error::TIMED_OUT => WorkerError::TimedOut(self.message(error)?),
            worker_error::REQUEST => WorkerError::Request(self.message(error)?),
            worker_error::DETACHED => WorkerError::Detached(self.message(error)?),
            worker_error::NO_WORKER => WorkerError::NoWorker(self.symbol(error, ONLY)?),
            other => return Err(unknown("error", other).within(answer::ERROR.name)),
        })
    }
}

impl Writer {
    pub(crate) fn uuid(&mut self, place: usize, id: Uuid) {
        let bytes = self.boxed(place, ONLY);
        self.bytes(bytes, id.as_bytes());
    }

    fn sender(&mut self, place: usize, sender: &Sender) {
        match sender {
            Sender::Token(token) => self.symbol(place, token),
            Sender::Id(id) => self.uuid(place, *id),
        }
    }

    /// Writes a table with an id of a worker, behind an empty token if the dialect has one.
    fn addressed(&mut self, place: usize, worker: Uuid, dialect: Dialect) {
        match dialect {
            Dialect::Token => {
                let (at, [token, id]) = self.table([
                    Field::Offset(addressed::TOKEN),
                    Field::Offset(addressed::TOKEN_WORKER_ID),
                ]);
                self.link(place, at);
                self.symbol(token, "");
                self.uuid(id, worker);
            }
            Dialect::Plain => {
                let id = self.boxed(place, addressed::PLAIN_WORKER_ID);
                self.uuid(id, worker);
            }
        }
    }

    fn worker_error(&mut self, place: usize, error: &WorkerError) {
        let (tag, text) = match error {
            WorkerError::PermissionDenied(text) => (worker_error::PERMISSION_DENIED, text),
            WorkerError::InvalidRequest(text) => (worker_error::INVALID_REQUEST, text),
            WorkerError::Internal(text) => (worker_error::INTERNAL, text),
            WorkerError::TimedOut(text) => (worker_error::TIMED_OUT, text),
            WorkerError::Request(text) => (worker_error::REQUEST, text),
            WorkerError::Detached(text) => (worker_error::DETACHED, text),
            WorkerError::NoWorker(text) => (worker_error::NO_WORKER, text),
        };
        let value = self.union(place, tag);
        let text_at = self.boxed(value, ONLY);
        match error {
            WorkerError::NoWorker(_) => self.symbol(text_at, text),
            _ => self.text(text_at, text),
        }
    }
}

/// Writes the envelope of a message: a table with a union.
fn envelope(
    tag: u8,
    body: impl FnOnce(&mut Writer, usize) -> Result<(), Fault>,
) -> Result<Vec<u8>, Fault> {
    let mut writer = Writer::new();
    let (root, [value, _]) = writer.table([Field::Value(MESSAGE), Field::Tag(MESSAGE, tag)]);
    body(&mut writer, value)?;
    Ok(writer.finish(root))
}

impl ToWorker {
    /// Writes the message.
    ///
    /// # Errors
    /// Arguments that are nested too deep, or that the dialect does not have.
    pub fn encode(&self, dialect: Dialect) -> Result<Vec<u8>, Fault> {
        match self {
            Self::Ping => envelope(to_worker::PING, |writer, place| {
                writer.empty(place);
                Ok(())
            }),
            Self::PleaseDie(worker) => envelope(to_worker::PLEASE_DIE, |writer, place| {
                writer.addressed(place, *worker, dialect);
                Ok(())
            }),
            Self::Request(request) => {
                envelope(to_worker::REQUEST, |writer, place| request.write(writer, place, dialect))
            }
        }
    }

    /// Reads the message.
    ///
    /// # Errors
    /// Bytes that are no such message.
    pub fn decode(bytes: &[u8], dialect: Dialect) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let root = reader.root()?;
        let (tag, body) = reader.union(root, MESSAGE)?;
        match tag {
            to_worker::PING => Ok(Self::Ping),
            to_worker::REQUEST => {
                WorkerRequest::read(&mut reader, body, dialect).map(Self::Request)
            }
            to_worker::PLEASE_DIE => {
                reader.uuid(body, addressed_slot(dialect)).map(Self::PleaseDie)
            }
            other => Err(unknown("message", other)),
        }
    }
}

impl WorkerRequest {
    fn write(&self, writer: &mut Writer, place: usize, dialect: Dialect) -> Result<(), Fault> {
        let slots = request_slots(dialect);
        let time = Field::Eight(slots.timeout_ms, self.timeout_ms);
        let [worker_id, id, perms, request] =
            [slots.worker_id, slots.id, slots.perms, slots.request].map(Field::Offset);
        let (at, places) = match slots.token {
            Some(token) => {
                let fields = [time, worker_id, Field::Offset(token), id, perms, request];
                let (at, [_, worker_id, token, id, perms, request]) = writer.table(fields);
                // No worker compares it with anything, and all subscribers see it.
                writer.symbol(token, "");
                (at, [worker_id, id, perms, request])
            }
            None => {
                let fields = [time, worker_id, id, perms, request];
                let (at, [_, worker_id, id, perms, request]) = writer.table(fields);
                (at, [worker_id, id, perms, request])
            }
        };
        writer.link(place, at);
        let [worker_id, id, perms, request] = places;
        writer.uuid(worker_id, self.worker);
        writer.uuid(id, self.id);
        writer.obj(perms, self.perms);
        writer
            .vars(request, &self.arguments, dialect)
            .map_err(|fault| fault.within(slots.request.name))
    }

    /// Returns the worker and the id of a request whose other parts may be unreadable.
    pub(crate) fn addressee(bytes: &[u8], dialect: Dialect) -> Option<(Uuid, Uuid)> {
        let mut reader = Reader::new(bytes);
        let root = reader.root().ok()?;
        let (tag, body) = reader.union(root, MESSAGE).ok()?;
        let slots = request_slots(dialect);
        let mut id = |slot| reader.uuid(body, slot).ok();
        (tag == to_worker::REQUEST).then(|| Some((id(slots.worker_id)?, id(slots.id)?)))?
    }

    fn read(reader: &mut Reader<'_>, body: Table, dialect: Dialect) -> Result<Self, Fault> {
        let slots = request_slots(dialect);
        Ok(Self {
            worker: reader.uuid(body, slots.worker_id)?,
            id: reader.uuid(body, slots.id)?,
            perms: reader.obj(body, slots.perms)?,
            arguments: reader.vars(body, slots.request)?,
            timeout_ms: reader.u64(body, slots.timeout_ms)?,
        })
    }
}

impl FromWorker {
    /// Writes the message.
    ///
    /// # Errors
    /// A result that is nested too deep, that the dialect does not have, or that could not be read.
    pub fn encode(&self, dialect: Dialect) -> Result<Vec<u8>, Fault> {
        let sender = Field::Offset(presence::SENDER);
        match &self.body {
            FromWorkerBody::Attach(worker_type) | FromWorkerBody::Pong(worker_type) => {
                let tag = match self.body {
                    FromWorkerBody::Attach(_) => from_worker::ATTACH,
                    _ => from_worker::PONG,
                };
                envelope(tag, |writer, place| {
                    let fields = [sender, Field::Offset(presence::WORKER_TYPE)];
                    let (at, [sender, type_at]) = writer.table(fields);
                    writer.link(place, at);
                    writer.sender(sender, &self.sender);
                    writer.symbol(type_at, worker_type);
                    Ok(())
                })
            }
            FromWorkerBody::Detach => envelope(from_worker::DETACH, |writer, place| {
                let sender = writer.boxed(place, presence::SENDER);
                writer.sender(sender, &self.sender);
                Ok(())
            }),
            FromWorkerBody::Result(id, result) => {
                let result = result.as_ref().map_err(Fault::clone)?;
                envelope(from_worker::RESULT, |writer, place| {
                    let fields = [sender, Field::Offset(answer::ID), Field::Offset(answer::RESULT)];
                    let (at, [sender, id_at, result_at]) = writer.table(fields);
                    writer.link(place, at);
                    writer.sender(sender, &self.sender);
                    writer.uuid(id_at, *id);
                    writer
                        .var(result_at, result, dialect)
                        .map_err(|fault| fault.within(answer::RESULT.name))
                })
            }
            FromWorkerBody::Error(id, error) => envelope(from_worker::ERROR, |writer, place| {
                let fields = [sender, Field::Offset(answer::ID), Field::Offset(answer::ERROR)];
                let (at, [sender, id_at, error_at]) = writer.table(fields);
                writer.link(place, at);
                writer.sender(sender, &self.sender);
                writer.uuid(id_at, *id);
                writer.worker_error(error_at, error);
                Ok(())
            }),
        }
    }

    /// Reads the message. A result that cannot be read is part of it, so that its request can fail.
    ///
    /// # Errors
    /// Bytes that are no such message.
    pub fn decode(bytes: &[u8], dialect: Dialect) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let root = reader.root()?;
        let (tag, table) = reader.union(root, MESSAGE)?;
        if !(from_worker::ATTACH..=from_worker::ERROR).contains(&tag) {
            return Err(unknown("message", tag));
        }
        let sender = reader.sender(table, dialect)?;
        let body = match tag {
            from_worker::ATTACH => {
                FromWorkerBody::Attach(reader.symbol(table, presence::WORKER_TYPE)?)
            }
            from_worker::PONG => FromWorkerBody::Pong(reader.symbol(table, presence::WORKER_TYPE)?),
            from_worker::DETACH => FromWorkerBody::Detach,
            from_worker::RESULT => {
                let id = reader.uuid(table, answer::ID)?;
                FromWorkerBody::Result(id, reader.var(table, answer::RESULT))
            }
            _ => {
                let id = reader.uuid(table, answer::ID)?;
                FromWorkerBody::Error(id, reader.worker_error(table)?)
            }
        };
        Ok(Self { sender, body })
    }
}

impl Reply {
    /// Writes the reply.
    pub fn encode(&self, dialect: Dialect) -> Vec<u8> {
        let (tag, text) = match self {
            Self::Ack => (reply::ACK, None),
            Self::Rejected(reason) => (reply::REJECTED, Some(reason)),
            Self::Attached(_) => (reply::ATTACHED, None),
            Self::AuthFailed(reason) => (reply::AUTH_FAILED, Some(reason)),
            Self::InvalidPayload(reason) => (reply::INVALID_PAYLOAD, Some(reason)),
            Self::UnknownRequest(_) => (reply::UNKNOWN_REQUEST, None),
            Self::NotRegistered(_) => (reply::NOT_REGISTERED, None),
        };
        let mut writer = Writer::new();
        let (root, [place, _]) = writer.table([Field::Value(MESSAGE), Field::Tag(MESSAGE, tag)]);
        match self {
            Self::Ack => writer.empty(place),
            Self::Attached(worker) => writer.addressed(place, *worker, dialect),
            Self::UnknownRequest(id) | Self::NotRegistered(id) => {
                let id_at = writer.boxed(place, ONLY);
                writer.uuid(id_at, *id);
            }
            _ => {
                let text_at = writer.boxed(place, ONLY);
                writer.text(text_at, text.map_or("", String::as_str));
            }
        }
        writer.finish(root)
    }

    /// Reads the reply.
    ///
    /// # Errors
    /// Bytes that are no reply.
    pub fn decode(bytes: &[u8], dialect: Dialect) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let root = reader.root()?;
        let (tag, body) = reader.union(root, MESSAGE)?;
        Ok(match tag {
            reply::ACK => Self::Ack,
            reply::REJECTED => {
                let reason = reader.optional_text(body, slots::ONLY)?;
                Self::Rejected(reason.unwrap_or_default().to_owned())
            }
            reply::ATTACHED => Self::Attached(reader.uuid(body, addressed_slot(dialect))?),
            reply::AUTH_FAILED => Self::AuthFailed(reader.message(body)?),
            reply::INVALID_PAYLOAD => Self::InvalidPayload(reader.message(body)?),
            reply::UNKNOWN_REQUEST => Self::UnknownRequest(reader.uuid(body, ONLY)?),
            reply::NOT_REGISTERED => Self::NotRegistered(reader.uuid(body, ONLY)?),
            other => return Err(unknown("reply", other)),
        })
    }
}
