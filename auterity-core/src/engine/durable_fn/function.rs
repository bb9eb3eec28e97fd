//! A durable function with its names, and the registry of them.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::context::DurableContext;
use crate::definition::{DURABLE_FUNCTION, WorkflowRef};
use crate::functions::{Types, written};
use crate::interpreter::{Problem, ProblemKind};

/// A call of a durable function on its way.
pub(super) type Called = Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send>>;
type Call = dyn Fn(DurableContext, Value) -> Called + Send + Sync;

/// A workflow written in Rust.
///
/// The function must do the same whenever it hears the same: time, random numbers and
/// ids come from its [`DurableContext`], nothing but what the context gives is awaited,
/// and everything that reaches outside is in a [step](DurableContext::step).
///
/// An execution keeps the version that it was started with. A function that changes in
/// what it asks for gets a new version, and the old one stays registered for as long as
/// executions of it live; a worker that lacks it leaves them to others.
#[derive(Clone)]
pub struct DurableFunction {
    workflow: WorkflowRef,
    title: Option<String>,
    summary: Option<String>,
    timeout: Option<SignedDuration>,
    input_schema: Option<Value>,
    output_schema: Option<Value>,
    call: Arc<Call>,
}

impl DurableFunction {
    /// Makes a durable function of an async function or closure: under a namespace, a
    /// name and a semantic version, as workflows have them.
    pub fn new<I, O, F, R>((namespace, name, version): (&str, &str, &str), function: F) -> Self
    where
        I: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Fn(DurableContext, I) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, Problem>> + Send + 'static,
    {
        let call = move |context: DurableContext, input: Value| -> Called {
            let input = serde_path_to_error::deserialize(input);
            // Called here and not inside, so that only what it returns has to be sent.
            let work = input.map(|input| function(context, input));
            Box::pin(async move {
                match work {
                    Ok(work) => written(&work.await?),
                    Err(error) => {
                        let detail = format!("the input is not what the function takes: {error}");
                        Err(Problem::new(ProblemKind::Validation, detail))
                    }
                }
            })
        };
        let signature = Types::of::<I, O>().signature;
        let says_something = |schema: &Value| schema.as_object().is_some_and(|one| !one.is_empty());
        Self {
            workflow: WorkflowRef {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                version: version.to_owned(),
            },
            title: None,
            summary: None,
            timeout: None,
            input_schema: signature.input.filter(says_something),
            output_schema: signature.output.filter(says_something),
            call: Arc::new(call),
        }
    }

    /// Sets the title that people see.
    #[must_use]
    pub fn with_title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Sets the summary that people see.
    #[must_use]
    pub fn with_summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = Some(summary.into());
        self
    }

    /// Sets how long an execution may take; one that takes longer ends with a time-out
    /// error.
    #[must_use]
    pub fn with_timeout(mut self, timeout: SignedDuration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Gives the namespace, name and version.
    #[must_use]
    pub fn workflow(&self) -> &WorkflowRef {
        &self.workflow
    }

    /// Writes the definition that stands for the function where workflows are kept: its
    /// names, its schemas, and one task that calls it.
    #[must_use]
    pub fn definition(&self) -> String {
        let workflow = &self.workflow;
        let mut document = json!({
            "dsl": "1.0.3",
            "namespace": workflow.namespace,
            "name": workflow.name,
            "version": workflow.version,
        });
        for (key, text) in [("title", &self.title), ("summary", &self.summary)] {
            if let Some(text) = text {
                document[key] = json!(text);
            }
        }
        let mut task = Map::new();
        task.insert(workflow.name.clone(), json!({ "call": DURABLE_FUNCTION }));
        let mut definition = json!({ "document": document, "do": [task] });
        let schemas = [
            ("input", &self.input_schema),
            ("output", &self.output_schema),
        ];
        for (key, schema) in schemas {
            if let Some(schema) = schema {
                definition[key] = json!({ "schema": { "document": schema } });
            }
        }
        if let Some(timeout) = self.timeout {
            definition["timeout"] = json!({ "after": timeout.to_string() });
        }
        format!("{definition:#}")
    }

    pub(super) fn call(&self, context: DurableContext, input: Value) -> Called {
        (self.call)(context, input)
    }
}

impl fmt::Debug for DurableFunction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DurableFunction")
            .field("workflow", &self.workflow)
            .finish_non_exhaustive()
    }
}

/// The durable functions that an engine can work on, by namespace, name and version.
#[derive(Debug, Clone, Default)]
pub struct DurableFunctions {
    known: BTreeMap<(String, String, String), DurableFunction>,
}

impl DurableFunctions {
    /// Makes a registry without any function.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a function, in place of any of the same namespace, name and version.
    #[must_use]
    pub fn with(mut self, function: DurableFunction) -> Self {
        self.known.insert(key(&function.workflow), function);
        self
    }

    /// Finds the function that executions of a workflow call.
    #[must_use]
    pub fn get(&self, workflow: &WorkflowRef) -> Option<&DurableFunction> {
        self.known.get(&key(workflow))
    }

    /// Lists the functions, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &DurableFunction> {
        self.known.values()
    }
}

fn key(workflow: &WorkflowRef) -> (String, String, String) {
    let WorkflowRef {
        namespace,
        name,
        version,
    } = workflow;
    (namespace.clone(), name.clone(), version.clone())
}
