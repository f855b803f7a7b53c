//! Closures with typed parameters, whose schema is derived from the type.

use std::future::Future;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Call, FunctionExecutorBuilder, State};
use crate::executor::Context;
use crate::model::action::Action;
use crate::model::error::{Error, ErrorKind, Result};
use crate::model::failure::{BoxError, Failure, FailureCode};
use crate::model::json::Json;
use crate::model::outcome::Outcome;

impl<S: Clone + Send + Sync + 'static> FunctionExecutorBuilder<S> {
    /// Adds an action of this name, with the defaults of [`Action::new`]. Its parameters are
    /// deserialised from the JSON object of the submission, and its result is serialised. An `Err`
    /// becomes an [`Outcome::Failed`], as [`Failure::from_error`] converts it.
    pub fn action<P, R, E, F, Fut>(self, name: &str, function: F) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + Send + 'static,
        E: Into<BoxError> + Send + 'static,
        F: Fn(Context, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        self.action_with(name, |action| action, function)
    }

    /// Adds an action as [`action`](Self::action) does, and lets `describe` set its group, description,
    /// queue, timeout, retries and so on.
    pub fn action_with<P, R, E, F, Fut>(
        mut self,
        name: &str,
        describe: impl FnOnce(Action) -> Action,
        function: F,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + Send + 'static,
        E: Into<BoxError> + Send + 'static,
        F: Fn(Context, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        let function = Arc::new(function);
        let nothing = is_unit::<P>();
        let call: Arc<Call> = Arc::new(move |context, parameters| {
            let function = function.clone();
            Box::pin(async move {
                let parameters = if nothing { Json::null() } else { parameters };
                let parameters = match parameters.deserialize::<P>() {
                    Ok(parameters) => parameters,
                    Err(e) => {
                        return Outcome::Failed(
                            Failure::new(e.to_string())
                                .code(FailureCode::InvalidParameters)
                                .kind("InvalidParameters"),
                        );
                    }
                };
                match function(context, parameters).await {
                    Ok(value) => match Json::serialize(&value) {
                        Ok(value) => Outcome::Succeeded(value),
                        Err(_) => Outcome::failed(format!(
                            "the result, a {}, has no JSON form",
                            std::any::type_name::<R>()
                        )),
                    },
                    Err(e) => Outcome::Failed(Failure::from_error(e)),
                }
            })
        });
        let action = Action::new(name).and_then(|action| Ok(action.schema(schema_of::<P>(name)?)));
        match action {
            Ok(action) => self.actions.push((describe(action), call)),
            Err(e) => self.errors.push(e),
        }
        self
    }

    /// Adds an action whose closure also takes a clone of the [`state`](Self::state).
    pub fn action_with_state<P, R, E, F, Fut>(self, name: &str, function: F) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + Send + 'static,
        E: Into<BoxError> + Send + 'static,
        F: Fn(Context, State<S>, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
    {
        let state = self.state.clone();
        self.action(name, move |context, parameters: P| {
            function(context, State(state.clone()), parameters)
        })
    }
}

/// Returns true if `P` stands for no parameters.
fn is_unit<P: 'static>() -> bool {
    std::any::TypeId::of::<P>() == std::any::TypeId::of::<()>()
}

/// Returns false if no JSON object can be valid against the schema.
fn takes_objects(schema: &Value) -> bool {
    let Value::Object(schema) = schema else { return *schema != Value::Bool(false) };
    let by_type = match schema.get("type") {
        None => true,
        Some(Value::Array(types)) => types.iter().any(|one| one == "object"),
        Some(one) => one == "object",
    };
    let some = |key: &str| match schema.get(key) {
        Some(Value::Array(options)) => options.iter().any(takes_objects),
        _ => true,
    };
    let by_value = match schema.get("enum") {
        Some(Value::Array(values)) => values.iter().any(Value::is_object),
        _ => true,
    };
    by_type && by_value && some("anyOf") && some("oneOf")
}

/// Returns the schema of `P`, self-contained: definitions are inlined.
fn schema_of<P: JsonSchema + 'static>(name: &str) -> Result<Json> {
    if is_unit::<P>() {
        return Json::parse(r#"{"type":"object","properties":{},"additionalProperties":false}"#);
    }
    let settings = schemars::generate::SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let schema = settings.into_generator().into_root_schema_for::<P>();
    if !takes_objects(schema.as_value()) {
        let message = format!(
            "the parameters of {name:?} must be an object (got the schema of {}): use a struct, a map, \
             or () for none",
            std::any::type_name::<P>()
        );
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    Json::serialize(&schema)
}
