//! The compiled schema of an action: it checks parameters and finds the secrets among them.

mod dereference;
mod secrets;
#[cfg(feature = "validation")]
mod validation;

use serde_json::Value;

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::json::{Json, strict};
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
        Ok(Self {
            #[cfg(feature = "validation")]
            validator: validation::compile(&dereferenced).map_err(invalid)?,
            has_secrets,
            dereferenced: (cfg!(feature = "validation") || has_secrets).then_some(dereferenced),
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
