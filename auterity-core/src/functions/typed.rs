//! Functions whose input and output are Rust types: checked before the call, described
//! by JSON Schema.

use std::fmt;

use async_trait::async_trait;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Function, Invocation, Signature};
use crate::definition::schema::SchemaCheck;
use crate::interpreter::{Problem, ProblemKind};

/// Places of wrong arguments that one problem names.
const PLACES_MAX: usize = 10;

/// A function with types for what it takes and gives.
///
/// The arguments are checked against the input's schema before the call; what is wrong
/// ends the task with a validation error that names every place.
#[async_trait]
pub trait TypedFunction: Send + Sync + fmt::Debug + 'static {
    /// What the evaluated `with` must be.
    type Input: DeserializeOwned + JsonSchema + Send + 'static;
    /// The task's raw output.
    type Output: Serialize + JsonSchema + Send + 'static;

    /// Does the work.
    ///
    /// # Errors
    /// Gives the problem that the definition may catch.
    ///
    /// # Cancel safety
    /// As for [`Function::call`].
    async fn call(
        &self,
        input: Self::Input,
        invocation: Invocation,
    ) -> Result<Self::Output, Problem>;
}

/// Makes a [`Function`] of a [`TypedFunction`].
#[derive(Debug)]
pub struct Typed<F> {
    function: F,
    types: Types,
}

impl<F: TypedFunction> Typed<F> {
    /// Takes the function and computes its schemas.
    pub fn new(function: F) -> Self {
        Self {
            function,
            types: Types::of::<F::Input, F::Output>(),
        }
    }
}

#[async_trait]
impl<F: TypedFunction> Function for Typed<F> {
    async fn call(&self, mut invocation: Invocation) -> Result<Value, Problem> {
        let input = self.types.read(invocation.arguments.take())?;
        let output = self.function.call(input, invocation).await?;
        written(&output)
    }

    fn signature(&self) -> Signature {
        self.types.signature.clone()
    }
}

/// The schemas of a function's types.
#[derive(Debug)]
pub(crate) struct Types {
    pub(crate) signature: Signature,
    input: Option<SchemaCheck>,
}

impl Types {
    pub(crate) fn of<I: JsonSchema, O: JsonSchema>() -> Self {
        // In one piece: forms and editors need not resolve references.
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        let input = settings.clone().for_deserialize().into_generator();
        let input = input.into_root_schema_for::<I>().to_value();
        let output = settings.for_serialize().into_generator();
        let output = output.into_root_schema_for::<O>().to_value();
        let check = SchemaCheck::compile(&input)
            .inspect_err(|(pointer, message)| {
                // The type's own reader still checks.
                tracing::error!(%pointer, message, "the schema of a function's input is wrong");
            })
            .ok();
        let signature = Signature {
            description: None,
            input: Some(input),
            output: Some(output),
        };
        Self {
            signature,
            input: check,
        }
    }

    /// Reads the arguments, or tells every place that is wrong.
    pub(super) fn read<I: DeserializeOwned>(&self, arguments: Value) -> Result<I, Problem> {
        if let Some(check) = &self.input
            && let Err(violations) = check.check(&arguments)
        {
            return Err(wrong_arguments(&violations));
        }
        serde_path_to_error::deserialize(arguments).map_err(|error| {
            let place = error.path().to_string();
            wrong_arguments(&[(place, error.into_inner().to_string())])
        })
    }
}

/// Gives an output as JSON.
pub(crate) fn written(output: &impl Serialize) -> Result<Value, Problem> {
    serde_json::to_value(output).map_err(|error| {
        let detail = format!("the function's output cannot be written as JSON: {error}");
        Problem::new(ProblemKind::Runtime, detail)
    })
}

/// The problem of arguments that break the schema: each place with what is wrong there.
pub(crate) fn wrong_arguments(violations: &[(String, String)]) -> Problem {
    let mut places: Vec<String> = violations
        .iter()
        .take(PLACES_MAX)
        .map(|(pointer, message)| match pointer.as_str() {
            "" => message.clone(),
            pointer => format!("{pointer}: {message}"),
        })
        .collect();
    if PLACES_MAX < violations.len() {
        places.push(format!("and {} more", violations.len() - PLACES_MAX));
    }
    let detail = format!(
        "the arguments under `with` are not what the function takes: {}",
        places.join("; ")
    );
    Problem::new(ProblemKind::Validation, detail)
}
