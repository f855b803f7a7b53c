//! The parameters of a type of workers, by name.

use std::fmt;
use std::str::FromStr;

use serde_json::json;

use crate::fault::Fault;
use crate::var::Var;

/// The name of the parameter for the object with the permissions.
const PERMS: &str = "perms";
const FORM: &str = "write parameters as (city: str, days: int?)";

/// The arguments of a type of workers as parameters with names: `(city: str, days: int?)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signature(Vec<Parameter>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parameter {
    name: String,
    kind: Kind,
    is_optional: bool,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Any,
    Str,
    Int,
    Float,
    Bool,
    List,
    Map,
    Obj,
    Sym,
}

/// All types, with their names and their types in JSON Schema.
const KINDS: [(Kind, &str, Option<&str>); 9] = [
    (Kind::Any, "any", None),
    (Kind::Str, "str", Some("string")),
    (Kind::Int, "int", Some("integer")),
    (Kind::Float, "float", Some("number")),
    (Kind::Bool, "bool", Some("boolean")),
    (Kind::List, "list", Some("array")),
    (Kind::Map, "map", Some("object")),
    (Kind::Obj, "obj", Some("string")),
    (Kind::Sym, "sym", Some("string")),
];

impl Kind {
    fn name(self) -> &'static str {
        KINDS.iter().find(|(kind, ..)| *kind == self).map_or("any", |(_, name, _)| name)
    }

    /// Returns the value of this type that JSON has in another form: a whole number for a float, a
    /// text for an object.
    fn of(self, value: Var) -> Result<Var, Fault> {
        Ok(match (self, value) {
            (Self::Float, Var::Int(number)) => Var::Float(number as f64),
            // JSON Schema takes 3.0 as an integer. The cast is exact within the bounds.
            (Self::Int, Var::Float(number)) if number.fract() == 0.0 && number.abs() < 9.0e18 => {
                Var::Int(number as i64)
            }
            (Self::Obj, Var::Str(text)) => Var::Obj(text.parse()?),
            (Self::Sym, Var::Str(text)) => Var::Sym(text),
            (_, value) => value,
        })
    }
}

impl Signature {
    /// Returns the JSON Schema of the parameters.
    pub(crate) fn schema(&self) -> String {
        let mut properties = Vec::new();
        let mut required = Vec::new();
        for Parameter { name, kind, is_optional } in &self.0 {
            let schema = KINDS.iter().find(|(known, ..)| known == kind).and_then(|(.., it)| *it);
            let mut schema = schema.map_or_else(|| json!({}), |it| json!({"type": it}));
            if *kind == Kind::Obj {
                schema["pattern"] = json!("^#");
                schema["description"] = json!("An object, such as #12.");
            }
            properties.push((&**name, schema));
            if !is_optional {
                required.push(name.clone());
            }
        }
        properties.push((
            PERMS,
            json!({
                "type": "string",
                "default": "#-1",
                "description": "The object with the permissions, which the worker receives, such as #2.",
            }),
        ));
        // As text, since a map of serde_json has another order than the arguments.
        let properties: Vec<_> =
            properties.iter().map(|(name, schema)| format!("{}:{schema}", json!(name))).collect();
        format!(
            r#"{{"type":"object","properties":{{{}}},"required":{},"additionalProperties":false}}"#,
            properties.join(","),
            json!(required)
        )
    }

    /// Puts values with names in the order of the arguments.
    ///
    /// # Errors
    /// A name that is missing or not known, and a value of another type.
    pub(crate) fn arguments(&self, mut values: Vec<(String, Var)>) -> Result<Vec<Var>, Fault> {
        let mut arguments = Vec::new();
        let mut missing = None;
        for Parameter { name, kind, is_optional } in &self.0 {
            match values.iter().position(|(known, _)| known == name) {
                Some(at) => {
                    if let Some(missing) = missing {
                        let why = format!("it must be given, since {name} is");
                        return Err(Fault::new(why).within(missing));
                    }
                    let (_, value) = values.swap_remove(at);
                    arguments.push(kind.of(value).map_err(|fault| fault.within(name))?);
                }
                None if *is_optional => missing = missing.or(Some(name)),
                None => return Err(Fault::new("required, and missing").within(name)),
            }
        }
        match values.first() {
            Some((name, _)) => {
                let names: Vec<_> = self.0.iter().map(|parameter| &*parameter.name).collect();
                let why = format!("there is no such parameter: they are {}", names.join(", "));
                Err(Fault::new(why).within(name))
            }
            None => Ok(arguments),
        }
    }
}

impl FromStr for Signature {
    type Err = String;

    /// Reads what is between the parentheses.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parameters: Vec<Parameter> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (part, is_optional) = match part.strip_suffix('?') {
                Some(part) => (part, true),
                None => (part, false),
            };
            let (name, kind) = part.split_once(':').unwrap_or((part, "any"));
            let (name, kind) = (name.trim(), kind.trim());
            let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(format!("{name:?} cannot be the name of a parameter: {FORM}"));
            }
            if name == PERMS {
                return Err(format!("the name {PERMS} is that of the object with the permissions"));
            }
            if parameters.iter().any(|known| known.name == name) {
                return Err(format!("the parameter {name} is there twice"));
            }
            if !is_optional && parameters.last().is_some_and(|last| last.is_optional) {
                return Err(format!(
                    "the parameter {name} must be optional (write {name}?), since the one before it is"
                ));
            }
            let known = KINDS.iter().find(|(_, known, _)| *known == kind);
            let kind = known.map(|(kind, ..)| *kind).ok_or_else(|| {
                let names: Vec<_> = KINDS.iter().map(|(_, name, _)| *name).collect();
                format!("the type of {name} must be one of {} (got {kind:?})", names.join(", "))
            })?;
            parameters.push(Parameter { name: name.to_owned(), kind, is_optional });
        }
        if parameters.is_empty() {
            return Err(format!("there are no parameters: {FORM}"));
        }
        Ok(Self(parameters))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(")?;
        for (index, Parameter { name, kind, is_optional }) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let mark = if *is_optional { "?" } else { "" };
            match kind {
                Kind::Any => write!(f, "{comma}{name}{mark}")?,
                kind => write!(f, "{comma}{name}: {}{mark}", kind.name())?,
            }
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(text: &str) -> Signature {
        text.parse().expect(text)
    }

    #[test]
    fn a_signature_is_read_and_shown() {
        let text = "(city: str, days: int?, more?)";
        assert_eq!(signature("city:str, days :int?,more?").to_string(), text);
        let schema = signature("where: obj, city: str?").schema();
        assert!(schema.find("where") < schema.find("city"), "{schema}");
        let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
        assert_eq!(schema["required"], json!(["where"]));
        assert_eq!(schema["properties"]["where"]["pattern"], "^#");
        for (wrong, why) in [
            ("", "no parameters"),
            ("a b", "cannot be the name"),
            ("a: text", "must be one of any, str, int"),
            ("a, a", "twice"),
            ("a?, b", "write b?"),
            ("perms", "permissions"),
        ] {
            let error = wrong.parse::<Signature>().expect_err(wrong);
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn values_are_put_in_order_and_have_the_types_of_their_parameters() {
        let weather = signature("city: sym, days: int, part: float?, at: obj?");
        let given = |values: &[(&str, Var)]| {
            let values = values.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            weather.arguments(values.collect()).map_err(|fault| fault.to_string())
        };
        let (city, days) = (("city", Var::from("Graz")), ("days", Var::Float(3.0)));
        let sorted = [Var::Sym("Graz".to_owned()), Var::Int(3)];
        assert_eq!(given(&[days.clone(), city.clone()]), Ok(sorted.to_vec()));
        let part = ("part", Var::Int(2));
        let all = given(&[city.clone(), days.clone(), part]).expect("arguments");
        assert_eq!(all[2], Var::Float(2.0));
        let error = |values: &[(&str, Var)]| given(values).expect_err("a fault");
        assert_eq!(error(std::slice::from_ref(&city)), "days: required, and missing");
        let at = ("at", Var::from("#1"));
        let two = [city.clone(), days.clone(), at];
        assert_eq!(error(&two), "part: it must be given, since at is");
        let town = ("town", Var::None);
        let wrong = [city.clone(), days.clone(), town];
        assert!(error(&wrong).starts_with("town: there is no such parameter"));
    }
}
