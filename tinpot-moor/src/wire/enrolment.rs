//! The two messages of an enrolment. They have no envelope.

use uuid::Uuid;

use super::reader::Reader;
use super::slots::enrolment;
use super::writer::{Field, Writer};
use crate::fault::Fault;

/// A worker asks to have its CURVE key admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnrolmentRequest {
    pub(crate) token: String,
    /// In Z85.
    pub(crate) public_key: String,
    pub(crate) service_type: String,
    pub(crate) hostname: String,
}

impl EnrolmentRequest {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = Reader::new(bytes);
        let root = reader.root()?;
        let mut text = |slot| reader.text(root, slot).map(str::to_owned);
        Ok(Self {
            token: text(enrolment::TOKEN)?,
            public_key: text(enrolment::PUBLIC_KEY)?,
            service_type: text(enrolment::SERVICE_TYPE)?,
            hostname: text(enrolment::HOSTNAME)?,
        })
    }
}

/// The answer: the id of the service and the CURVE key of the coordinator, or the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnrolmentReply(Result<(Uuid, String), String>);

impl EnrolmentReply {
    pub(crate) fn granted(service: Uuid, public_key: String) -> Self {
        Self(Ok((service, public_key)))
    }

    pub(crate) fn denied(why: String) -> Self {
        Self(Err(why))
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let root = match &self.0 {
            Ok((service, key)) => {
                let (root, [_, id_at, key_at]) = writer.table([
                    Field::Byte(enrolment::SUCCESS, 1),
                    Field::Offset(enrolment::SERVICE_ID),
                    Field::Offset(enrolment::DAEMON_KEY),
                ]);
                writer.text(id_at, &service.to_string());
                writer.text(key_at, key);
                root
            }
            Err(why) => {
                let (root, [why_at]) = writer.table([Field::Offset(enrolment::ERROR)]);
                writer.text(why_at, why);
                root
            }
        };
        writer.finish(root)
    }
}
