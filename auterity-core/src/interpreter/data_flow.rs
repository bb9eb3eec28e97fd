//! Expressions in their place: which variables they see, and the filters of
//! `input`, `output` and `export`.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::state::{Data, Frame, State, TaskFrame, Thread};
use super::task::is_of_extension;
use super::{Machine, Problem, ProblemKind};
use crate::definition::{DataFilter, Task, TaskIndex};
use crate::expression::{EvaluateError, Expression, Template, Variables};

/// A variable that exists only for one evaluation.
pub(super) type Extra<'e> = &'e [(&'e str, Data)];

/// No thread: what is evaluated for the workflow as a whole.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// Reads a state; the base of everything that evaluates.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) machine: &'a Machine<'a>,
    pub(super) state: &'a State,
    pub(super) now: Timestamp,
    /// The task at this place of the stack is the current one, whatever is above it
    /// and whatever variables it has added; absent: the innermost one is.
    pub(super) place: Option<usize>,
    /// What the current task gave, once it has ended.
    pub(super) raw_output: Option<&'a Data>,
}

impl<'a> View<'a> {
    pub(super) fn new(machine: &'a Machine<'a>, state: &'a State, now: Timestamp) -> Self {
        Self {
            machine,
            state,
            now,
            place: None,
            raw_output: None,
        }
    }

    pub(super) fn evaluate(
        &self,
        thread: u32,
        expression: &Expression,
        input: &Value,
        extra: Extra<'_>,
    ) -> Result<Value, Problem> {
        let variables = self.variables(thread, extra, &|name| expression.uses(name));
        expression
            .evaluate(input, &variables, self.machine.budget)
            .map_err(|error| problem(&error))
    }

    /// Gives the value inside of which an expression's result is, and how many steps of
    /// its path led there: a plain path gives no copy of what may be a long list.
    pub(super) fn source(
        &self,
        thread: u32,
        expression: &Expression,
        input: &Data,
    ) -> Result<(Data, usize), Problem> {
        let variables = self.variables(thread, &[], &|name| expression.uses(name));
        match expression.source_of(input, &variables) {
            Some(found) => Ok(found),
            None => expression
                .evaluate(input, &variables, self.machine.budget)
                .map(|value| (Arc::new(value), 0))
                .map_err(|error| problem(&error)),
        }
    }

    pub(super) fn holds(
        &self,
        thread: u32,
        expression: &Expression,
        input: &Value,
        extra: Extra<'_>,
    ) -> Result<bool, Problem> {
        let variables = self.variables(thread, extra, &|name| expression.uses(name));
        expression
            .holds(input, &variables, self.machine.budget)
            .map_err(|error| problem(&error))
    }

    pub(super) fn fill(
        &self,
        thread: u32,
        template: &Template,
        input: &Value,
        extra: Extra<'_>,
    ) -> Result<Value, Problem> {
        if let Template::Literal(value) = template {
            return Ok(value.clone());
        }
        let variables = self.variables(thread, extra, &|name| template.uses(name));
        template
            .evaluate(input, &variables, self.machine.budget)
            .map_err(|error| problem(&error))
    }

    /// Checks the schema and then reshapes, as `input` does.
    pub(super) fn filter_in(
        &self,
        thread: u32,
        filter: &DataFilter,
        data: &Data,
    ) -> Result<Data, Problem> {
        if let Some(schema) = &filter.schema {
            schema
                .check(data)
                .map_err(|found| violation("input", &found))?;
        }
        match &filter.transform {
            Some(template) => self.fill(thread, template, data, &[]).map(Arc::new),
            None => Ok(Arc::clone(data)),
        }
    }

    /// Reshapes and then checks the schema, as `output` and `export` do.
    pub(super) fn filter_out(
        &self,
        thread: u32,
        filter: &DataFilter,
        data: &Data,
        what: &str,
    ) -> Result<Data, Problem> {
        let data = match &filter.transform {
            Some(template) => {
                let extra = [("output", Arc::clone(data))];
                Arc::new(self.fill(thread, template, data, &extra)?)
            }
            None => Arc::clone(data),
        };
        if let Some(schema) = &filter.schema {
            schema
                .check(&data)
                .map_err(|found| violation(what, &found))?;
        }
        Ok(data)
    }

    /// Gives the input of the current task, or of the workflow.
    pub(super) fn input(&self, thread: u32) -> &'a Data {
        self.current_task(thread)
            .map_or(&self.state.input, |frame| &frame.input)
    }

    pub(super) fn thread(&self, thread: u32) -> Option<&'a Thread> {
        self.state.threads.get(&thread)
    }

    pub(super) fn task_of(&self, frame: &TaskFrame) -> &'a Task {
        self.machine.program.task(TaskIndex(frame.task))
    }

    fn variables(&self, thread: u32, extra: Extra<'_>, uses: &dyn Fn(&str) -> bool) -> Variables {
        let mut variables = Variables::new(self.now);
        variables.set("context", Arc::clone(&self.state.context));
        self.frame_variables(thread, self.place, &mut variables);
        variables.set("input", Arc::clone(self.input(thread)));
        if let Some(frame) = self.current_task(thread).filter(|_| uses("task")) {
            match self.extended_task(thread) {
                Some(extended) => variables.set("task", Arc::new(self.describe_extended(extended))),
                None => variables.set_members("task", self.describe_task(frame)),
            };
        }
        if uses("workflow") {
            variables.set_members("workflow", self.describe_workflow());
        }
        if uses("runtime") {
            variables.set_members("runtime", describe_runtime());
        }
        for (name, value) in extra {
            variables.set(name, Arc::clone(value));
        }
        variables
    }

    /// Adds what enclosing tasks define, outermost first, so that inner ones win.
    fn frame_variables(&self, thread: u32, place: Option<usize>, variables: &mut Variables) {
        let Some(thread) = self.thread(thread) else {
            return;
        };
        if let Some((parent, _)) = thread.parent {
            self.frame_variables(parent, None, variables);
        }
        for frame in thread.stack.iter().take(place.unwrap_or(usize::MAX)) {
            if let Frame::Task(frame) = frame {
                for (name, value) in &frame.variables {
                    variables.set(name, Arc::clone(value));
                }
            }
        }
    }

    fn current_task(&self, thread: u32) -> Option<&'a TaskFrame> {
        let thread = self.thread(thread)?;
        let last = self.place.unwrap_or(usize::MAX).saturating_add(1);
        let upper = thread.stack.iter().take(last).rev();
        upper.into_iter().find_map(|frame| match frame {
            Frame::Task(frame) => Some(frame.as_ref()),
            Frame::List(_) => None,
        })
    }

    /// Finds the innermost task one of whose extensions is at work.
    fn extended_task(&self, thread: u32) -> Option<&'a TaskFrame> {
        let thread = self.thread(thread)?;
        let last = self.place.unwrap_or(usize::MAX).saturating_add(1);
        let upper = thread.stack.iter().take(last).rev();
        upper.into_iter().find_map(|frame| match frame {
            Frame::Task(frame) if is_of_extension(frame) => Some(frame.as_ref()),
            Frame::Task(_) | Frame::List(_) => None,
        })
    }

    /// Describes a task to its extensions: as the standard's examples want it, with the
    /// properties of its definition beside the others.
    fn describe_extended(&self, frame: &TaskFrame) -> Value {
        let mut described = match &*self.task_of(frame).definition {
            Value::Object(definition) => definition.clone(),
            _ => Map::new(),
        };
        for (name, value) in self.describe_task(frame) {
            described.insert(name.to_owned(), Value::clone(&value));
        }
        Value::Object(described)
    }

    fn describe_task(&self, frame: &TaskFrame) -> Descriptor {
        let task = self.task_of(frame);
        let mut described = vec![
            ("name", Arc::new(json!(task.name))),
            ("reference", Arc::new(json!(task.reference))),
            ("definition", Arc::clone(&task.definition)),
            ("input", Arc::clone(&frame.raw_input)),
            ("startedAt", describe_time(frame.started_at)),
        ];
        described.extend(self.raw_output.map(|output| ("output", Arc::clone(output))));
        described
    }

    fn describe_workflow(&self) -> Descriptor {
        vec![
            ("id", Arc::new(json!(self.machine.execution.to_string()))),
            ("definition", Arc::clone(&self.machine.program.definition)),
            ("input", Arc::clone(&self.state.raw_input)),
            ("startedAt", describe_time(self.state.started_at)),
        ]
    }
}

/// The members of `$task`, `$workflow` or `$runtime`: whole inputs and definitions,
/// of which an expression wants little.
type Descriptor = Vec<(&'static str, Data)>;

fn describe_time(at: Timestamp) -> Data {
    Arc::new(json!({
        "iso8601": at.to_string(),
        "epoch": { "seconds": at.as_second(), "milliseconds": at.as_millisecond() },
    }))
}

fn describe_runtime() -> Descriptor {
    vec![
        ("name", Arc::new(json!("auterity"))),
        ("version", Arc::new(json!(env!("CARGO_PKG_VERSION")))),
        ("metadata", Arc::new(json!({}))),
    ]
}

pub(super) fn problem(error: &EvaluateError) -> Problem {
    Problem::new(ProblemKind::Expression, error.to_string())
}

fn violation(what: &str, found: &[(String, String)]) -> Problem {
    let list: Vec<String> = found
        .iter()
        .map(|(pointer, message)| {
            if pointer.is_empty() {
                message.clone()
            } else {
                format!("{pointer}: {message}")
            }
        })
        .collect();
    let detail = format!("the {what} does not match its schema: {}", list.join("; "));
    Problem::new(ProblemKind::Validation, detail)
}
