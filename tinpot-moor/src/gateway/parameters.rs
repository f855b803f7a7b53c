//! The parameters of an action that a worker of mooR runs.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use tinpot_core::Json;

use crate::fault::Fault;
use crate::var::Var;
use crate::var::obj::Obj;

/// The schema of the parameters of every such action.
pub(super) const SCHEMA: &str = r##"{
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

/// Reads the arguments and the object of parameters.
///
/// # Errors
/// The fault, with its place in the parameters.
pub(super) fn read(parameters: &Json) -> Result<(Vec<Var>, Obj), Fault> {
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
