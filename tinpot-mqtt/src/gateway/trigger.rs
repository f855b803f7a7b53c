//! Triggers: what a message asks for, and where its answer goes.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use tinpot_core::Json;

use super::object;
use super::rule::{Topics, log_topic, result_topic};

/// The longest id of an execution that a client may choose, in bytes.
const ID_BYTES: usize = 64;
/// The longest correlation data, in bytes.
const CORRELATION_BYTES: usize = 1024;

/// A message of the broker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Incoming<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    /// If true, the broker has kept it, and sends it because of a subscription.
    pub(crate) retained: bool,
    /// If true, it may be a repetition.
    pub(crate) duplicate: bool,
    pub(crate) response_topic: Option<&'a str>,
    pub(crate) correlation: Option<&'a [u8]>,
}

/// A topic for results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplyTopic {
    pub(crate) topic: String,
    /// If true, the broker keeps the result for a while.
    pub(crate) retain: bool,
    pub(crate) correlation: Option<Bytes>,
}

/// The topics of the answers to a trigger. An id that the client does not choose is that of the
/// execution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replies {
    /// The id that the client has chosen.
    pub(crate) id: Option<String>,
    pub(crate) results: Vec<ReplyTopic>,
    pub(crate) log: Option<String>,
}

impl Replies {
    /// Returns the topics of results.
    pub(crate) fn results(&self, prefix: &str, id: &str) -> Vec<ReplyTopic> {
        if !self.results.is_empty() {
            return self.results.clone();
        }
        let topic = result_topic(prefix, self.id.as_deref().unwrap_or(id));
        vec![ReplyTopic { topic, retain: true, correlation: None }]
    }

    /// Returns the topic of log lines.
    pub(crate) fn log(&self, prefix: &str, id: &str) -> String {
        let id = self.id.as_deref().unwrap_or(id);
        self.log.clone().unwrap_or_else(|| log_topic(prefix, id))
    }

    /// Returns true if a refusal, which has no execution, has a place.
    pub(crate) fn has_place(&self) -> bool {
        self.id.is_some() || !self.results.is_empty()
    }
}

/// A request to run an action.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trigger {
    pub(crate) action: String,
    pub(crate) parameters: Json,
    pub(crate) replies: Replies,
}

/// A request that is refused: why, and where the answer goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refused {
    pub(crate) why: String,
    pub(crate) replies: Replies,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    #[serde(borrow, default)]
    parameters: Option<&'a RawValue>,
    #[serde(default)]
    execution_id: Option<String>,
    #[serde(default)]
    result_topic: Option<String>,
    #[serde(default)]
    log_topic: Option<String>,
}

/// Returns the topics that the properties of a message name.
pub(super) fn replies(
    topics: &Topics,
    prefix: &str,
    message: &Incoming<'_>,
) -> Result<Replies, String> {
    let mut replies = Replies::default();
    let Some(topic) = message.response_topic.filter(|topic| !topic.is_empty()) else {
        return Ok(replies);
    };
    topics.check_answer(prefix, topic).map_err(|why| format!("the response topic {why}"))?;
    let correlation = message.correlation.filter(|data| !data.is_empty());
    if let Some(data) = correlation.filter(|data| data.len() > CORRELATION_BYTES) {
        let bytes = data.len();
        return Err(format!(
            "the correlation data must have at most {CORRELATION_BYTES} bytes (got {bytes})"
        ));
    }
    let correlation = correlation.map(Bytes::copy_from_slice);
    replies.results.push(ReplyTopic { topic: topic.to_owned(), retain: false, correlation });
    Ok(replies)
}

/// Returns true if a text is an id that a client may choose.
pub(crate) fn is_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=ID_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

/// Reads a trigger of an action.
///
/// # Errors
/// The reason, and where to send it.
pub(crate) fn read(
    topics: &Topics,
    prefix: &str,
    action: &str,
    message: &Incoming<'_>,
    max_bytes: usize,
) -> Result<Trigger, Refused> {
    let mut replies = replies(topics, prefix, message)
        .map_err(|why| Refused { why, replies: Replies::default() })?;
    let refused = |replies: &Replies, why: String| Refused { why, replies: replies.clone() };
    let bytes = message.payload.len();
    if bytes > max_bytes {
        let why = format!("a trigger must have at most {max_bytes} bytes (got {bytes})");
        return Err(refused(&replies, why));
    }
    let expected = "a trigger must be a JSON object with parameters, execution_id, result_topic \
                    and log_topic, all of them optional";
    if message.payload.trim_ascii().is_empty() {
        return Ok(Trigger {
            action: action.to_owned(),
            parameters: Json::empty_object(),
            replies,
        });
    }
    let body: Body<'_> = object::read(message.payload)
        .map_err(|error| refused(&replies, format!("{expected}: {error}")))?;
    // Some languages send empty texts for what is not set.
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    if let Some(id) = given(body.execution_id) {
        if !is_id(&id) {
            let why =
                format!("execution_id must have 1 to {ID_BYTES} of A-Z a-z 0-9 . _ - (got {id:?})");
            return Err(refused(&replies, why));
        }
        replies.id = Some(id);
    }
    if let Some(topic) = given(body.result_topic) {
        topics
            .check_answer(prefix, &topic)
            .map_err(|why| refused(&replies, format!("result_topic {why}")))?;
        replies.results.push(ReplyTopic { topic, retain: true, correlation: None });
    }
    if let Some(topic) = given(body.log_topic) {
        topics
            .check_answer(prefix, &topic)
            .map_err(|why| refused(&replies, format!("log_topic {why}")))?;
        replies.log = Some(topic);
    }
    let parameters = match body.parameters.map(RawValue::get) {
        None | Some("null") => Json::empty_object(),
        Some(text) => Json::parse(text).map_err(|e| refused(&replies, e.to_string()))?,
    };
    Ok(Trigger { action: action.to_owned(), parameters, replies })
}

#[cfg(test)]
mod tests {
    use super::{Incoming, Refused, Topics, Trigger, read};

    fn topics() -> Topics {
        Topics::new("tinpot", vec!["home".to_owned()], Vec::new()).expect("a prefix")
    }

    fn message<'a>(payload: &'a str, response_topic: Option<&'a str>) -> Incoming<'a> {
        let payload = payload.as_bytes();
        Incoming { payload, response_topic, correlation: Some(b"c1"), ..Incoming::default() }
    }

    fn reading(payload: &str, response_topic: Option<&str>) -> Result<Trigger, Refused> {
        read(&topics(), "home", "backup", &message(payload, response_topic), 200)
    }

    #[test]
    fn a_trigger_says_where_its_answer_goes() {
        let bare = reading("", None).expect("a trigger");
        assert_eq!(bare.parameters.as_str(), "{}");
        assert_eq!(bare.replies.results("home", "7")[0].topic, "home/exec/7/result");
        assert!(bare.replies.results("home", "7")[0].retain);
        assert_eq!(bare.replies.log("home", "7"), "home/exec/7/log");

        let own = reading(r#"{"execution_id": "a-1", "parameters": {"days": 3.10}}"#, None);
        let own = own.expect("a trigger");
        assert_eq!(own.parameters.as_str(), r#"{"days": 3.10}"#);
        assert_eq!(own.replies.results("home", "7")[0].topic, "home/exec/a-1/result");
        assert_eq!(own.replies.log("home", "7"), "home/exec/a-1/log");

        let text = r#"{"result_topic": "home/r", "log_topic": "home/l", "execution_id": ""}"#;
        let named = reading(text, Some("home/mine")).expect("a trigger").replies;
        let results = named.results("home", "7");
        let seen: Vec<_> = results.iter().map(|one| (&*one.topic, one.retain)).collect();
        assert_eq!(seen, [("home/mine", false), ("home/r", true)]);
        assert_eq!(results[0].correlation.as_deref(), Some(&b"c1"[..]));
        assert_eq!((named.log("home", "7"), named.id), ("home/l".to_owned(), None));
    }

    #[test]
    fn bad_triggers_are_refused_with_a_reason() {
        let levels = format!("home{}", "/x".repeat(100));
        let long = format!("{{\"parameters\": {{\"x\": \"{}\"}}}}", "x".repeat(300));
        for (payload, topic, why) in [
            ("press", None, "must be a JSON object"),
            ("[1]", None, "must be a JSON object"),
            (r#"{"days": 3}"#, None, "unknown field `days`"),
            (r#"{"parameters": {"a": NaN}}"#, None, "must be a JSON object"),
            (r#"{"execution_id": "a/b"}"#, None, "execution_id must have"),
            (r#"{"result_topic": "office/x"}"#, None, "result_topic must be below home/"),
            (r#"{"log_topic": "home/actions/x/trigger"}"#, None, "log_topic must be below home/"),
            ("{}", Some("office/x"), "the response topic must be below home/"),
            (r#"{"result_topic": "home/x\u0001"}"#, None, "must have no control characters"),
            (r#"{"result_topic": "home/x\uffff"}"#, None, "must have no control characters"),
            ("{}", Some(&levels), "at most 100 levels"),
            (&long, None, "at most 200 bytes (got "),
        ] {
            let refused = reading(payload, topic).expect_err(payload);
            assert!(refused.why.contains(why), "{}", refused.why);
        }
        // What is known of the place of the answer counts.
        let refused = reading("press", Some("home/mine")).expect_err("refused");
        assert!(refused.replies.has_place());
        assert!(!reading("press", None).expect_err("refused").replies.has_place());
        let refused = reading(r#"{"execution_id": "a", "log_topic": "x"}"#, None);
        assert!(refused.expect_err("refused").replies.has_place());
    }
}
