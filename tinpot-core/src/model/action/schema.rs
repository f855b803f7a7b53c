//! The compiled schema of an action: it checks parameters and finds the secrets among them.

mod dereference;
mod secrets;
#[cfg(feature = "validation")]
mod validation;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::model::digest::Digest;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::json::{Json, strict};
use crate::model::upload;
use crate::model::violation::Violations;

/// A compiled JSON Schema of parameters.
///
/// With the feature `validation`, parameters are checked against the whole schema. Without it, they
/// must only be an object.
#[derive(Debug)]
pub struct Schema {
    /// The schema without references; `None` if no check needs it.
    dereferenced: Option<Value>,
    has_secrets: bool,
    has_bytes: bool,
    #[cfg(feature = "validation")]
    validator: validation::Validator,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if it is not a JSON Schema (draft 2020-12), refers to other
    /// documents, has a pattern that needs backtracking, or is too large.
    pub fn compile(schema: &Json) -> Result<Self> {
        let invalid = |message: String| {
            Error::new(ErrorKind::InvalidInput, format!("schema is invalid: {message}"))
        };
        let reading = strict::read(schema.as_str());
        if let Some((_, error)) = reading.syntax {
            return Err(invalid(error.to_string()));
        }
        let Some(value) = reading.value.filter(|_| reading.faults.is_empty()) else {
            let (kind, context) = (ErrorKind::InvalidInput, "schema is invalid: ");
            return Err(Error::of_violations(kind, context, "schema", reading.faults));
        };
        let dereferenced = dereference::dereference(&value).map_err(invalid)?;
        let has_secrets = secrets::has(&dereferenced);
        let has_bytes = secrets::has_marked(&dereferenced, is_bytes);
        Ok(Self {
            #[cfg(feature = "validation")]
            validator: validation::compile(&dereferenced).map_err(invalid)?,
            has_secrets,
            has_bytes,
            dereferenced: (cfg!(feature = "validation") || has_secrets || has_bytes)
                .then_some(dereferenced),
        })
    }

    /// Returns true if parameters can be secret.
    pub(crate) fn has_secrets(&self) -> bool {
        self.has_secrets
    }

    /// Checks parameters. Returns JSON pointers to the secrets among them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameters`]. Its message and [`violations`](Error::violations) name every
    /// invalid value.
    pub fn check(&self, parameters: &Json) -> Result<Vec<String>> {
        let kind = ErrorKind::InvalidParameters;
        let reading = strict::read(parameters.as_str());
        let mut violations = reading.faults;
        match &reading.value {
            Some(value @ Value::Object(_)) => self.look(value, &mut violations),
            Some(_) if !violations.is_empty() => {}
            Some(value) => {
                violations.push("", format!("must be an object (got {})", kind_of(value)));
            }
            None => {
                if let Some((path, why)) = reading.syntax.filter(|_| violations.is_empty()) {
                    violations.push(&path, format!("must be JSON: {why}"));
                }
            }
        }
        match (&self.dereferenced, reading.value) {
            _ if !violations.is_empty() => {
                Err(Error::of_violations(kind, "", "parameters", violations))
            }
            (Some(schema), Some(value)) if self.has_secrets => Ok(secrets::places(schema, &value)),
            _ => Ok(Vec::new()),
        }
    }

    /// Returns the uploads to which parameters refer: those of the texts at places of the type bytes.
    /// Elsewhere, such a text is a text.
    pub(crate) fn uploads(&self, parameters: &Json) -> Vec<Digest> {
        let schema = self.dereferenced.as_ref().filter(|_| self.has_bytes);
        // Nearly all parameters have none, and are not read again.
        let Some(schema) = schema.filter(|_| upload::may_have(parameters)) else {
            return Vec::new();
        };
        let Some(value) = strict::read(parameters.as_str()).value else { return Vec::new() };
        let mut found = BTreeSet::new();
        secrets::walk(schema, &value, &mut String::new(), is_bytes, &mut |_, value| {
            found.extend(value.as_str().and_then(upload::read));
        });
        found.into_iter().collect()
    }

    #[cfg(feature = "validation")]
    fn look(&self, parameters: &Value, violations: &mut Violations) {
        if let Some(schema) = &self.dereferenced {
            validation::check(&self.validator, schema, parameters, violations);
        }
    }

    #[cfg(not(feature = "validation"))]
    #[allow(clippy::unused_self)]
    fn look(&self, _: &Value, _: &mut Violations) {}
}

/// Returns true if a schema is that of bytes.
fn is_bytes(schema: &Map<String, Value>) -> bool {
    schema.get("format").is_some_and(|format| format == "base64")
}

/// The secret parts of a schema.
#[derive(Debug)]
pub(crate) struct SecretParts(Value);

impl SecretParts {
    pub(crate) fn of(schema: &Json) -> Option<Self> {
        if !secrets::may_have(schema) {
            return None;
        }
        let value: Value = schema.deserialize().ok()?;
        dereference::dereference(&value).ok().filter(secrets::has).map(Self)
    }

    /// Returns the texts and numbers that must stay hidden.
    pub(crate) fn texts(&self, parameters: &Json) -> Vec<String> {
        let Some(value) = strict::read(parameters.as_str()).value else { return Vec::new() };
        secrets::texts(&self.0, &value)
    }
}

/// Returns the texts and numbers at these JSON pointers of the parameters.
pub(crate) fn secret_texts(parameters: &Json, pointers: &[String]) -> Vec<String> {
    if pointers.is_empty() {
        return Vec::new();
    }
    let Some(value) = strict::read(parameters.as_str()).value else { return Vec::new() };
    secrets::texts_at(&value, pointers)
}

/// Returns the name of a value in an error: its type, or the value itself if it is always short.
fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::Schema;
    use crate::model::digest::Digest;
    use crate::model::json::Json;
    use crate::model::upload::upload_reference;

    #[test]
    fn texts_refer_to_uploads_only_where_the_schema_has_bytes() {
        let bytes = r#"{"type": "string", "contentEncoding": "base64"}"#;
        let schema = format!(
            r##"{{"$defs": {{"b": {bytes}}}, "properties": {{
                "text": {{"type": "string"}}, "any": {{}}, "plain": {bytes}, "list": {{"items": {{"$ref": "#/$defs/b"}}}},
                "maybe": {{"anyOf": [{bytes}, {{"type": "null"}}]}}}}}}"##
        );
        let schema = Schema::compile(&Json::parse(schema).expect("JSON")).expect("a schema");
        let [a, b, c, d] = [1, 2, 3, 4].map(|byte| Digest::from([byte; 32]));
        let [one, two, three, four] = [a, b, c, d].map(|digest| upload_reference(&digest));
        let found = |text: String| schema.uploads(&Json::parse(text).expect("JSON"));
        let plain = format!(r#"{{"text": "{one}", "any": [{{"x": "{two}"}}], "none": "{three}"}}"#);
        assert_eq!(found(plain), []);
        assert_eq!(
            found(format!(
                r#"{{"text": "{one}", "plain": "{four}", "list": ["{three}", "{three}"], "maybe": "{two}"}}"#
            )),
            [b, c, d]
        );
        // The same text in another spelling.
        assert_eq!(found(format!(r#"{{"plain": "\u0075{}"}}"#, &one[1..])), [a]);
        for other in ["upload:", " ", "\\u0075pload:12", &one.replace('0', "A"), &format!("{one}0")]
        {
            assert_eq!(found(format!(r#"{{"plain": "{other}"}}"#)), [], "{other}");
        }
    }
}
