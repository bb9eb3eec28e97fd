//! Durable functions: workflows written in Rust, on the same journal as definitions.
//!
//! An async function cannot be written down, so here, and only here, the function is
//! called again from its start when it comes back to memory. What it asked for has
//! been recorded with each event; the function hears of the same events in the same
//! order, and must ask for the same again. Finished steps are answered from the
//! journal and their bodies are not done again.

mod context;
mod driver;
mod futures;
mod retry;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub use context::{DurableContext, EventFilter, Spawn, StepCall};
pub(super) use driver::{Driver, Work};
pub use futures::{Child, Sleep, Step, WaitFor};
pub use retry::StepRetry;

use crate::definition::{DURABLE_FUNCTION, WorkflowRef};
use crate::interpreter::{Problem, ProblemKind};

type Called = Pin<Box<dyn Future<Output = Result<Value, Problem>> + Send>>;
type Call = dyn Fn(DurableContext, Value) -> Called + Send + Sync;

/// A workflow written in Rust.
///
/// The function must be deterministic between its steps: time, random bits and ids
/// come from its [`DurableContext`], and nothing but the context's futures is awaited.
/// An execution keeps the version that it was started with; a function that changes
/// in what it asks for gets a new version, and the old one stays registered as long
/// as executions of it live.
#[derive(Clone)]
pub struct DurableFunction {
    workflow: WorkflowRef,
    title: Option<String>,
    summary: Option<String>,
    input_schema: Option<Value>,
    call: Arc<Call>,
}

impl DurableFunction {
    /// Makes a durable function of an async function or closure.
    pub fn new<I, O, F, R>((namespace, name, version): (&str, &str, &str), function: F) -> Self
    where
        I: DeserializeOwned + Send + 'static,
        O: Serialize + 'static,
        F: Fn(DurableContext, I) -> R + Send + Sync + 'static,
        R: Future<Output = Result<O, Problem>> + Send + 'static,
    {
        let function = Arc::new(function);
        let call = move |context: DurableContext, input: Value| -> Called {
            let function = Arc::clone(&function);
            Box::pin(async move {
                let input = serde_json::from_value(input).map_err(|error| {
                    let detail = format!("the input is not what the function takes: {error}");
                    Problem::new(ProblemKind::Validation, detail)
                })?;
                let output = function(context, input).await?;
                written(&output)
            })
        };
        Self {
            workflow: WorkflowRef {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
                version: version.to_owned(),
            },
            title: None,
            summary: None,
            input_schema: None,
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

    /// Sets the JSON Schema that every input must match.
    #[must_use]
    pub fn with_input_schema(mut self, schema: Value) -> Self {
        self.input_schema = Some(schema);
        self
    }

    /// Gives the namespace, name and version.
    #[must_use]
    pub fn workflow(&self) -> &WorkflowRef {
        &self.workflow
    }

    /// Writes the definition that stands for the function where workflows are kept.
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
        let mut task = serde_json::Map::new();
        let call = json!({ "call": DURABLE_FUNCTION });
        task.insert(workflow.name.clone(), call);
        let mut definition = json!({ "document": document, "do": [task] });
        if let Some(schema) = &self.input_schema {
            definition["input"] = json!({ "schema": { "document": schema } });
        }
        format!("{definition:#}")
    }
}

impl fmt::Debug for DurableFunction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DurableFunction")
            .field("workflow", &self.workflow)
            .finish_non_exhaustive()
    }
}

fn written(value: &impl Serialize) -> Result<Value, Problem> {
    serde_json::to_value(value).map_err(|error| {
        let detail = format!("the result cannot be written as JSON: {error}");
        Problem::new(ProblemKind::Runtime, detail)
    })
}

/// The durable functions that an engine knows, by namespace, name and version.
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

    /// Lists the functions, in order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &DurableFunction> {
        self.known.values()
    }
}

fn key(workflow: &WorkflowRef) -> (String, String, String) {
    (
        workflow.namespace.clone(),
        workflow.name.clone(),
        workflow.version.clone(),
    )
}
