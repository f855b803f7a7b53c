//! The parameters of an action, from the arguments of a request.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use tinpot_core::Json;

use crate::fault::Fault;
use crate::var::Var;
use crate::wire::message::WorkerRequest;

/// The names of the parameters, in the order of the schema.
#[derive(Default)]
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Names;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Names(names))
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

#[derive(Deserialize)]
struct Schema {
    #[serde(default)]
    properties: Names,
}

/// Returns the parameters for an action with this schema.
///
/// An action with the parameter `args` gets all arguments there, and the object with the
/// permissions as `perms` if it has that. Otherwise one map whose keys are parameters has all of
/// them, and other arguments stand for the parameters in the order of the schema.
///
/// # Errors
/// More arguments than parameters, and values without a form in JSON.
pub(super) fn parameters(request: &WorkerRequest, schema: &Json) -> Result<Json, Fault> {
    let schema = schema.deserialize::<Schema>();
    let names = schema.map(|schema| schema.properties.0).unwrap_or_default();
    let has = |name: &str| names.iter().any(|known| known == name);
    let arguments = &request.arguments;
    let mut fields: Vec<(&str, String)> = Vec::new();
    if has("args") || (names.is_empty() && !arguments.is_empty()) {
        fields.push(("args", Var::list_to_json(arguments)?));
        if has("perms") {
            fields.push(("perms", serde_json::Value::from(request.perms.to_string()).to_string()));
        }
    } else if let Some(pairs) = named(arguments, &has) {
        for (name, value) in pairs {
            fields.push((name, value.to_json().map_err(|fault| fault.within(name))?));
        }
    } else if arguments.len() > names.len() {
        let (most, got) = (names.len(), arguments.len());
        let names = names.join(", ");
        return Err(Fault::new(format!(
            "there must be at most {most} arguments ({names}), not {got}"
        )));
    } else {
        for (name, value) in names.iter().zip(arguments) {
            fields.push((name, value.to_json().map_err(|fault| fault.within(name))?));
        }
    }
    let fields: Vec<_> = fields
        .into_iter()
        .map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name)))
        .collect();
    Json::parse(format!("{{{}}}", fields.join(",")))
        .map_err(|error| Fault::new(error.message().to_owned()))
}

/// Returns the pairs of one map all of whose keys are parameters.
fn named<'a>(arguments: &'a [Var], has: &dyn Fn(&str) -> bool) -> Option<Vec<(&'a str, &'a Var)>> {
    let [Var::Map(pairs)] = arguments else { return None };
    let pair = |(key, value): &'a (Var, Var)| match key {
        Var::Str(name) | Var::Sym(name) if has(name) => Some((&**name, value)),
        _ => None,
    };
    if pairs.is_empty() {
        return None;
    }
    pairs.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn of(schema: &str, arguments: &str) -> String {
        let mut request = WorkerRequest::new(Uuid::nil(), Uuid::nil());
        let Ok(Var::List(arguments)) = Var::from_json(arguments) else { panic!("a list") };
        request.arguments = arguments;
        match parameters(&request, &Json::parse(schema).expect("a schema")) {
            Ok(json) => json.as_str().to_owned(),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn arguments_are_the_parameters_in_the_order_of_the_schema() {
        let weather = r#"{"type":"object","properties":{"days":{},"city":{}}}"#;
        assert_eq!(of(weather, r#"[3,"Graz"]"#), r#"{"days":3,"city":"Graz"}"#);
        assert_eq!(of(weather, r#"[1.0]"#), r#"{"days":1.0}"#);
        assert_eq!(of(weather, "[]"), "{}");
        assert_eq!(of(weather, "[1,2,3]"), "there must be at most 2 arguments (days, city), not 3");
        // One map with names of parameters has them all; another one is an argument.
        assert_eq!(of(weather, r#"[{"city":"Graz"}]"#), r#"{"city":"Graz"}"#);
        assert_eq!(of(weather, r#"[{"$map":[[{"$sym":"days"},1]]}]"#), r#"{"days":1}"#);
        assert_eq!(of(weather, r#"[{"town":"Graz"}]"#), r#"{"days":{"town":"Graz"}}"#);
        assert_eq!(of(weather, "[{}]"), r#"{"days":{}}"#);
    }

    #[test]
    fn an_action_with_args_gets_them_all() {
        let any = r##"{"properties":{"args":{},"perms":{}}}"##;
        assert_eq!(
            of(any, r##"[{"$obj":"#3"},{"args":1}]"##),
            r##"{"args":[{"$obj":"#3"},{"args":1}],"perms":"#-1"}"##
        );
        assert_eq!(of("{}", "[1]"), r#"{"args":[1]}"#);
        assert_eq!(of("true", "[]"), "{}");
    }
}
