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
                let (root, [id_at, key_at, _]) = writer.table([
                    Field::Offset(enrolment::SERVICE_ID),
                    Field::Offset(enrolment::DAEMON_KEY),
                    Field::Byte(enrolment::SUCCESS, 1),
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

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::reader::Reader;
    use super::{EnrolmentReply, enrolment};

    #[test]
    fn both_replies_are_written() {
        let granted = EnrolmentReply::granted(Uuid::nil(), "key".to_owned()).encode();
        let mut reader = Reader::new(&granted);
        let root = reader.root().expect("a root");
        assert_eq!(reader.bool(root, enrolment::SUCCESS), Ok(true));
        assert_eq!(reader.text(root, enrolment::SERVICE_ID), Ok(&*Uuid::nil().to_string()));
        assert_eq!(reader.text(root, enrolment::DAEMON_KEY), Ok("key"));
        let denied = EnrolmentReply::denied("no".to_owned()).encode();
        let mut reader = Reader::new(&denied);
        let root = reader.root().expect("a root");
        assert_eq!(reader.bool(root, enrolment::SUCCESS), Ok(false));
        assert_eq!(reader.text(root, enrolment::ERROR), Ok("no"));
    }
}
