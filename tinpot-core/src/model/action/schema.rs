//! An action's schema, made ready to check parameters and to find the secrets among them.

mod dereference;
mod secrets;
#[cfg(feature = "validation")]
mod validation;

use serde_json::Value;

use crate::model::error::{Error, ErrorKind, Result};
use crate::model::json::{Json, strict};
use crate::model::violation::Violations;

/// A JSON Schema of parameters, ready for use.
///
/// With the feature `validation`, parameters are checked against all of it; without, only that they are an object.
#[derive(Debug)]
pub struct Schema {
    /// Without references; `None` when nobody has to look into it.
    dereferenced: Option<Value>,
    has_secrets: bool,
    #[cfg(feature = "validation")]
    validator: validation::Validator,
}

impl Schema {
    /// Makes a schema ready.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] when it is not a JSON Schema (draft 2020-12), has references to elsewhere, a pattern that needs
    /// backtracking, or is larger than any form could be.
    pub fn compile(schema: &Json) -> Result<Self> {
        let invalid = |message: String| {
            Error::new(ErrorKind::InvalidInput, format!("the schema is not valid: {message}"))
        };
        let reading = strict::read(schema.as_str());
        if let Some((_, error)) = reading.syntax {
            return Err(invalid(error.to_string()));
        }
        let Some(value) = reading.value.filter(|_| reading.faults.is_empty()) else {
            let context = "the schema is not valid: ";
            return Err(Error::of_violations(ErrorKind::InvalidInput, context, reading.faults));
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

    /// Checks parameters, and says where the secrets among them are, as JSON pointers.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidParameters`], whose message and [`violations`](Error::violations) name everything that is wrong.
    pub fn check(&self, parameters: &Json) -> Result<Vec<String>> {
        let kind = ErrorKind::InvalidParameters;
        let reading = strict::read(parameters.as_str());
        let mut violations = reading.faults;
        match &reading.value {
            Some(value @ Value::Object(_)) => self.look(value, &mut violations),
            Some(_) if !violations.is_empty() => {}
            Some(value) => {
                let message = format!("the parameters must be an object, not {}", kind_of(value));
                violations.push("", message);
            }
            None => {
                if let Some((path, why)) = reading.syntax.filter(|_| violations.is_empty()) {
                    violations.push(&path, format!("cannot be read: {why}"));
                }
            }
        }
        match (&self.dereferenced, reading.value) {
            _ if !violations.is_empty() => Err(Error::of_violations(kind, "", violations)),
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

/// What hides the secrets among parameters of an action; `None` when it has none.
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

    /// The texts and numbers that must not be seen.
    pub(crate) fn texts(&self, parameters: &Json) -> Vec<String> {
        let Some(value) = strict::read(parameters.as_str()).value else { return Vec::new() };
        secrets::texts(&self.0, &value)
    }
}

/// A value, as an error names it. Only short ones are quoted.
fn kind_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "a boolean".to_owned(),
        Value::Number(number) if number.is_f64() => format!("the number {number}"),
        Value::Number(number) => format!("the integer {number}"),
        Value::String(_) => "a string".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
