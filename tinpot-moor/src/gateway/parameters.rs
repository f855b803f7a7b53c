//! The parameters of an action that a worker of mooR runs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use tinpot_core::Json;

use crate::fault::Fault;
use crate::server::MoorType;
use crate::server::signature::Signature;
use crate::var::Var;
use crate::var::obj::Obj;

/// The schema of the parameters of an action without names for them.
const SCHEMA: &str = r##"{
  "type": "object",
  "properties": {
    "args": {
      "type": "array",
      "items": {},
      "default": [],
      "description": "The arguments. {\"$obj\": \"#12\"} is an object, {\"$sym\": \"name\"} a symbol, 1.0 a float."
    },
    "perms": {
      "type": "string",
      "default": "#-1",
      "description": "The object with the permissions, which the worker receives, such as #2."
    }
  },
  "additionalProperties": false
}"##;

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(borrow)]
    perms: Option<Cow<'a, str>>,
}

/// Returns the schema of the parameters of a type.
pub(super) fn schema(kind: &MoorType) -> String {
    match &kind.signature {
        Some(signature) => signature.schema(),
        None => SCHEMA.to_owned(),
    }
}

/// Reads the arguments and the object of parameters.
///
/// # Errors
/// The fault, with its place in the parameters.
pub(super) fn read(
    parameters: &Json,
    signature: Option<&Signature>,
) -> Result<(Vec<Var>, Obj), Fault> {
    match signature {
        Some(signature) => named(parameters, signature),
        None => list(parameters),
    }
}

fn named(parameters: &Json, signature: &Signature) -> Result<(Vec<Var>, Obj), Fault> {
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(parameters.as_str())
        .map_err(|error| Fault::new(format!("must be an object: {error}")))?;
    let mut perms = Obj::NOTHING;
    let mut values = Vec::new();
    for (name, raw) in fields {
        if name == "perms" {
            let text: Cow<'_, str> = serde_json::from_str(raw.get())
                .map_err(|error| Fault::new(error.to_string()).within(&name))?;
            perms = text.parse().map_err(|fault: Fault| fault.within(&name))?;
            continue;
        }
        let value = Var::from_json(raw.get()).map_err(|fault| fault.within(&name))?;
        values.push((name, value));
    }
    Ok((signature.arguments(values)?, perms))
}

fn list(parameters: &Json) -> Result<(Vec<Var>, Obj), Fault> {
    let raw: Raw<'_> = serde_json::from_str(parameters.as_str())
        .map_err(|error| Fault::new(format!("must be {{\"args\": […]}}: {error}")))?;
    let arguments = match raw.args.map(|raw| Var::from_json(raw.get())) {
        None => Vec::new(),
        Some(Ok(Var::List(arguments))) => arguments,
        Some(Ok(_)) => return Err(Fault::new("must be an array").within("args")),
        Some(Err(fault)) => return Err(fault.within("args")),
    };
    let perms = match raw.perms {
        None => Obj::NOTHING,
        Some(text) => text.parse().map_err(|fault: Fault| fault.within("perms"))?,
    };
    Ok((arguments, perms))
}
