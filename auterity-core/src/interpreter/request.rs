//! What an effect is: computed when it starts, from the state that asked for it.
//!
//! The arguments are not part of the state. So secrets that they contain never
//! reach journal or snapshot, and a snapshot does not carry every payload twice.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::data_flow::View;
use super::state::{Data, State, TaskFrame, Waiting};
use super::{EffectResult, Machine, Problem, ProblemKind};
use crate::definition::{Program, RunWorkflow, TaskIndex, TaskKind};
use crate::expression::Template;

/// What is to be done outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Call a function.
    Call {
        /// `http`, … or the name of a registered function.
        function: String,
        /// The evaluated `with`. May contain secrets.
        arguments: Value,
        /// The task's input, for URI templates.
        input: Arc<Value>,
        /// The JSON pointer of the task.
        task: String,
        /// Whether the effect ends with what was called, and not with its start.
        awaited: bool,
    },
    /// Do the body that a durable function has for a step.
    Step {
        /// The step's number.
        step: u64,
        /// Its JSON pointer.
        task: String,
        /// Which try this is, from 1.
        attempt: u32,
        /// How long it may take, in milliseconds; absent: as long as it takes.
        time_ms_max: Option<u64>,
    },
    /// Publish a `CloudEvent`; the effect's result is the event itself.
    Emit {
        /// The event in structured form.
        event: Value,
    },
    /// Start a child execution.
    Child {
        /// The workflow's namespace.
        namespace: String,
        /// The workflow's name.
        name: String,
        /// The version; absent: the highest.
        version: Option<String>,
        /// The child's raw input.
        input: Value,
        /// Whether the effect ends with the child and not with its start.
        awaited: bool,
        /// How many executions above the child wait for its end.
        nesting: u32,
    },
    /// Decide a human task whose deadline has come: an answer that was given before it
    /// counts, or else this.
    Deadline {
        /// What the task gives without an answer, or why it fails.
        otherwise: Result<Value, Problem>,
    },
    /// Nothing: the result is known from before the execution was put back.
    Known {
        /// The result.
        result: EffectResult,
    },
}

/// Computes what the effect with this number is.
///
/// The same state gives the same request: after a crash the effect is repeated with
/// equal arguments. `secrets` is an object with the values of the secrets that the
/// definition names.
///
/// # Errors
/// Gives the problem to end the effect with when its arguments cannot be evaluated.
pub fn request(
    machine: &Machine<'_>,
    state: &State,
    effect: u64,
    secrets: &Arc<Value>,
) -> Result<Request, Problem> {
    if let Some(result) = state.known.get(&effect) {
        return Ok(Request::Known {
            result: result.clone(),
        });
    }
    if let Some(log) = &state.durable {
        let function = machine.program.root_reference();
        return log.request(effect, (function, state.nesting, machine.limits));
    }
    let Some((thread, frame)) = asking(state, effect) else {
        return Err(Problem::new(
            ProblemKind::Runtime,
            "no task waits for this effect",
        ));
    };
    // Time stands still for a request, or a repetition would differ.
    let view = View::new(machine, state, frame.started_at);
    let task = machine.program.task(TaskIndex(frame.task));
    let made = match &task.kind {
        TaskKind::Call(call) => {
            let extra = [("secrets", Arc::clone(secrets))];
            let known = known(&call.secrets, secrets);
            let arguments = known.and_then(|()| match &call.arguments {
                Some(template) => view.fill(thread, template, &frame.input, &extra),
                None => Ok(Value::Object(Map::new())),
            });
            arguments.map(|arguments| Request::Call {
                function: call.function.clone(),
                arguments,
                input: Arc::clone(&frame.input),
                task: task.reference.clone(),
                awaited: call.awaited,
            })
        }
        TaskKind::Emit(template) => {
            view.emit(thread, template, &frame.input, (effect, frame.started_at))
        }
        TaskKind::Approval(_) => frame
            .person()
            .map(|progress| Request::Deadline {
                otherwise: progress.at_deadline(&task.reference),
            })
            .ok_or_else(|| Problem::new(ProblemKind::Runtime, "the task asks nobody")),
        TaskKind::RunWorkflow(child) => view.child(thread, child, &frame.input),
        _ => Err(Problem::new(ProblemKind::Runtime, "the task has no effect")),
    };
    made.map_err(|problem| problem.at(&task.reference))
}

/// Gives the name of the function that the effect with this number calls, if it is a call
/// that has not ended.
#[must_use]
pub fn called_function<'p>(program: &'p Program, state: &State, effect: u64) -> Option<&'p str> {
    let (_, frame) = asking(state, effect)?;
    match &program.task(TaskIndex(frame.task)).kind {
        TaskKind::Call(call) if !state.known.contains_key(&effect) => Some(&call.function),
        _ => None,
    }
}

/// Gives the thread and the task that wait for an effect.
fn asking(state: &State, effect: u64) -> Option<(u32, &TaskFrame)> {
    let (id, thread) = state.threads.iter().find(|(_, thread)| {
        matches!(thread.waiting, Waiting::Effect { effect: waiting, .. } if waiting == effect)
    })?;
    Some((*id, thread.top_task()?))
}

/// Checks that the secrets are there, as the standard wants it.
fn known(names: &[String], secrets: &Value) -> Result<(), Problem> {
    let missing = names.iter().find(|name| secrets.get(name).is_none());
    match missing {
        None => Ok(()),
        Some(name) => {
            let detail = format!("there is no secret named {name} for this workflow");
            Err(Problem::new(ProblemKind::Authorization, detail))
        }
    }
}

impl View<'_> {
    fn emit(
        &self,
        thread: u32,
        template: &Template,
        input: &Data,
        (effect, at): (u64, Timestamp),
    ) -> Result<Request, Problem> {
        let Value::Object(attributes) = self.fill(thread, template, input, &[])? else {
            let detail = "the attributes of an emitted event must be an object";
            return Err(Problem::new(ProblemKind::Expression, detail));
        };
        let mut event = Map::new();
        event.insert("specversion".to_owned(), json!("1.0"));
        event.insert(
            "id".to_owned(),
            json!(format!("{}-{effect}", self.machine.execution)),
        );
        event.insert("time".to_owned(), json!(at.to_string()));
        if attributes.contains_key("data") {
            event.insert("datacontenttype".to_owned(), json!("application/json"));
        }
        // What an expression gave null for is left to its default, or out.
        let given = |(name, value): &(String, Value)| name == "data" || !value.is_null();
        event.extend(attributes.into_iter().filter(given));
        check_event(&event)?;
        Ok(Request::Emit {
            event: Value::Object(event),
        })
    }

    fn child(&self, thread: u32, child: &RunWorkflow, input: &Data) -> Result<Request, Problem> {
        let limits = self.machine.limits;
        let nesting = limits.nested(self.state.nesting, child.awaited)?;
        let input = match &child.input {
            Some(template) => self.fill(thread, template, input, &[])?,
            None => Value::clone(input),
        };
        Ok(Request::Child {
            namespace: child.namespace.clone(),
            name: child.name.clone(),
            version: child.version.clone(),
            input,
            awaited: child.awaited,
            nesting,
        })
    }
}

/// Checks the attributes of an event, which expressions may have given anything for.
fn check_event(event: &Map<String, Value>) -> Result<(), Problem> {
    let wrong = |name: &str, what: &str| {
        let detail = format!("the attribute {name} of an emitted event {what}");
        Err(Problem::new(ProblemKind::Expression, detail))
    };
    for name in ["id", "source", "type"] {
        let text = event.get(name).and_then(Value::as_str);
        if text.is_none_or(str::is_empty) {
            return wrong(name, "must be a text that is not empty");
        }
    }
    let time = event.get("time").and_then(Value::as_str);
    if time.is_none_or(|time| time.parse::<Timestamp>().is_err()) {
        return wrong(
            "time",
            "must be a date and time such as 2026-01-31T12:00:00Z",
        );
    }
    let is_structured = |value: &Value| value.is_object() || value.is_array();
    match event
        .iter()
        .find(|(name, value)| *name != "data" && is_structured(value))
    {
        Some((name, _)) => wrong(name, "must be a text, a number or a boolean"),
        None => Ok(()),
    }
}
