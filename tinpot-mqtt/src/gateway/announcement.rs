//! Announcements of the coordinator's own actions, and the answers to triggers, as JSON.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use tinpot_core::action::{Parameter, parameters};
use tinpot_core::{Action, ExecutionId, Json, Outcome};

use super::rule::trigger_topic;

#[derive(Serialize)]
struct Announcement<'a> {
    description: &'a str,
    group: &'a str,
    parameters: Parameters,
    trigger_topic: String,
    schema: &'a Json,
    /// By this, a coordinator knows its own announcements again.
    namespace: &'a str,
}

/// Parameters, as an object by name in the order of the signature.
struct Parameters(Vec<Parameter>);

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct View<'a> {
            #[serde(rename = "type")]
            kind: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            default: Option<&'a Value>,
            required: bool,
        }
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for parameter in &self.0 {
            let kind = match parameter.json_type() {
                Some("string") => "str",
                Some("integer") => "int",
                Some("number") => "float",
                Some("boolean") => "bool",
                Some("array") => "list",
                Some("object") => "dict",
                _ => "any",
            };
            let (default, required) = (parameter.default.as_ref(), parameter.required);
            map.serialize_entry(&parameter.name, &View { kind, default, required })?;
        }
        map.end()
    }
}

/// Returns the announcement of an action below a prefix.
pub(crate) fn announcement(namespace: &str, prefix: &str, action: &Action) -> Vec<u8> {
    to_bytes(&Announcement {
        description: &action.description,
        group: &action.group,
        parameters: Parameters(parameters(&action.schema)),
        trigger_topic: trigger_topic(prefix, &action.name),
        schema: &action.schema,
        namespace,
    })
}

/// Returns true if topics can have the name of an action as a level.
pub(crate) fn is_level(name: &str) -> bool {
    !name.contains(['+', '#', '/', '\0'])
}

#[derive(Serialize)]
struct Answer<'a> {
    status: &'a str,
    result: Option<&'a Json>,
    error: Option<&'a str>,
    /// The name of the action; null in the refusal to cancel.
    action: Option<&'a str>,
    /// The id by which the coordinator knows the execution; null if there is none. In the refusal
    /// to cancel, the id that the client has given.
    execution_id: Option<&'a str>,
}

/// Returns the answer after the end of an execution.
pub(crate) fn result(action: &str, id: ExecutionId, outcome: &Outcome) -> Vec<u8> {
    to_bytes(&Answer {
        status: outcome.status().as_str(),
        result: outcome.value(),
        error: outcome.error().as_deref(),
        action: Some(action),
        execution_id: Some(&id.to_string()),
    })
}

/// Returns the answer after the end of an execution whose result cannot be sent.
pub(crate) fn unsent_result(action: &str, id: ExecutionId, status: &str, why: &str) -> Vec<u8> {
    let id = id.to_string();
    let (error, action, execution_id) = (Some(why), Some(action), Some(&*id));
    to_bytes(&Answer { status, result: None, error, action, execution_id })
}

/// Returns the answer to a trigger that is refused.
pub(crate) fn refusal(action: &str, why: &str) -> Vec<u8> {
    let (error, action, execution_id) = (Some(why), Some(action), None);
    to_bytes(&Answer { status: "refused", result: None, error, action, execution_id })
}

/// Returns the answer to a request to cancel that is refused.
pub(crate) fn cancel_refusal(id: &str, why: &str) -> Vec<u8> {
    let (error, execution_id) = (Some(why), Some(id));
    to_bytes(&Answer { status: "refused", result: None, error, action: None, execution_id })
}

/// Returns the answer to a request to cancel that is granted.
pub(crate) fn cancelling(action: &str, id: ExecutionId, status: &str) -> Vec<u8> {
    let id = id.to_string();
    let (action, execution_id) = (Some(action), Some(&*id));
    to_bytes(&Answer { status, result: None, error: None, action, execution_id })
}

/// Returns one line of a log.
pub(crate) fn log_line(timestamp: &str, level: &str, message: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Line<'a> {
        timestamp: &'a str,
        level: &'a str,
        message: &'a str,
    }
    to_bytes(&Line { timestamp, level, message })
}

fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    // None of these types can fail: their keys are texts.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tinpot_core::{Action, ExecutionId, Json, Outcome};

    use super::{announcement, refusal, result};

    #[test]
    fn an_action_is_announced_as_the_go_system_did() {
        let schema = r#"{"type": "object", "properties":
            {"name": {"type": "string"}, "days": {"type": "integer", "default": 7}},
            "required": ["name"]}"#;
        let action = Action::new("cleanup").expect("a name").group("Maintenance");
        let action = action.description("Delete old files.");
        let action = action.schema(Json::parse(schema).expect("JSON"));
        let text = String::from_utf8(announcement("tinpot", "home", &action)).expect("text");
        assert!(text.find("\"name\"").expect("there") < text.find("\"days\"").expect("there"));
        let found: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            found["parameters"],
            json!({
                "name": {"type": "str", "required": true},
                "days": {"type": "int", "default": 7, "required": false},
            })
        );
        assert_eq!(found["trigger_topic"], "home/actions/cleanup/trigger");
        assert_eq!(
            (&found["group"], &found["namespace"]),
            (&json!("Maintenance"), &json!("tinpot"))
        );
    }

    #[test]
    fn answers_have_the_fields_of_the_go_system() {
        let id = ExecutionId::generate();
        let read = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).expect("JSON");
        let done = Outcome::Succeeded(Json::parse("[1, 2]").expect("JSON"));
        let expected = json!({"status": "succeeded", "result": [1, 2], "error": null,
            "action": "cleanup", "execution_id": id.to_string()});
        assert_eq!(read(result("cleanup", id, &done)), expected);
        let failed = read(result("cleanup", id, &Outcome::failed("the disk is full")));
        assert_eq!((&failed["status"], &failed["result"]), (&json!("failed"), &Value::Null));
        assert!(failed["error"].as_str().expect("a text").contains("the disk is full"));
        let refused = read(refusal("cleanup", "no"));
        assert_eq!((&refused["status"], &refused["error"]), (&json!("refused"), &json!("no")));
    }
}
