//! Discovery messages for Home Assistant: a button for each action.

use serde::Serialize;
use serde_json::{Map, Value, json};
use tinpot_core::Action;
use tinpot_core::action::parameters;

use super::rule::{status_topic, trigger_topic};

#[derive(Serialize)]
struct Button<'a> {
    name: &'a str,
    unique_id: String,
    command_topic: String,
    payload_press: String,
    availability_topic: String,
    qos: u8,
    retain: bool,
    device: Value,
    origin: Value,
}

/// Returns a text as part of a topic and of an id: every other character as its code.
fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => slug.push(character),
            other => slug.push_str(&format!("_{:x}", u32::from(other))),
        }
    }
    slug
}

/// Returns the node of a prefix: the levels of topics before the names of actions.
pub(crate) fn node(discovery: &str, prefix: &str) -> String {
    format!("{discovery}/button/tinpot-{}", slug(prefix))
}

/// Returns topic and payload of the button of an action. Pressing it runs the action with its
/// defaults; `None` if a parameter without a default is required.
pub(crate) fn button(discovery: &str, prefix: &str, action: &Action) -> Option<(String, Vec<u8>)> {
    let mut defaults = Map::new();
    for parameter in parameters(&action.schema) {
        match parameter.default {
            Some(default) => drop(defaults.insert(parameter.name, default)),
            None if parameter.required => return None,
            None => {}
        }
    }
    let (home, name) = (slug(prefix), slug(&action.name));
    let button = Button {
        name: &action.name,
        unique_id: format!("tinpot-{home}-{name}"),
        command_topic: trigger_topic(prefix, &action.name),
        payload_press: json!({ "parameters": defaults }).to_string(),
        availability_topic: status_topic(prefix),
        qos: 1,
        // A button that is kept would be pressed at each connection.
        retain: false,
        device: json!({"identifiers": [format!("tinpot-{home}")], "name": format!("Tinpot {prefix}")}),
        origin: json!({"name": "Tinpot", "sw_version": env!("CARGO_PKG_VERSION")}),
    };
    let topic = format!("{}/{name}/config", node(discovery, prefix));
    Some((topic, serde_json::to_vec(&button).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tinpot_core::{Action, Json};

    use super::button;

    #[test]
    fn a_button_has_the_defaults_of_the_parameters() {
        let schema = r#"{"type": "object", "properties":
            {"days": {"type": "integer", "default": 7}, "note": {"type": "string"}}}"#;
        let action = Action::new("clean up!").expect("a name");
        let action = action.schema(Json::parse(schema).expect("JSON"));
        let (topic, payload) = button("homeassistant", "home/garden", &action).expect("a button");
        assert_eq!(topic, "homeassistant/button/tinpot-home_2fgarden/clean_20up_21/config");
        let button: Value = serde_json::from_slice(&payload).expect("JSON");
        let pressed = button["payload_press"].as_str().expect("a text");
        let pressed: Value = serde_json::from_str(pressed).expect("JSON");
        assert_eq!(pressed, json!({"parameters": {"days": 7}}));
        assert_eq!(button["command_topic"], "home/garden/actions/clean up!/trigger");
        assert_eq!((&button["retain"], &button["qos"]), (&json!(false), &json!(1)));
    }

    #[test]
    fn an_action_that_needs_a_parameter_has_no_button() {
        let schema = r#"{"type": "object", "properties": {"a": {}}, "required": ["a"]}"#;
        let action = Action::new("a").expect("a name").schema(Json::parse(schema).expect("JSON"));
        assert_eq!(button("homeassistant", "home", &action), None);
    }
}
