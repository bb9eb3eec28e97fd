//! A compiled definition: tasks in an arena, jumps resolved, expressions compiled.

use std::sync::Arc;

use jiff::Span;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::externals::External;
use super::identity::{ProgramHash, WorkflowRef};
use super::schema::SchemaCheck;
use crate::expression::{Expression, Template};
use crate::schedule::{DefinitionPolicy, Timing};

/// What the only task of a definition calls that stands for a durable function.
pub(crate) const DURABLE_FUNCTION: &str = "durable-function";

/// Names a task of a program: its place in the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TaskIndex(pub(crate) u32);

/// Names a list of tasks of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListIndex(pub(crate) u32);

/// A definition made ready for execution.
#[derive(Debug)]
pub struct Program {
    pub(crate) hash: ProgramHash,
    pub(crate) workflow: WorkflowRef,
    pub(crate) title: Option<String>,
    pub(crate) summary: Option<String>,
    /// The whole definition as JSON, for `$workflow.definition`.
    pub(crate) definition: Arc<Value>,
    pub(crate) input: DataFilter,
    pub(crate) output: DataFilter,
    pub(crate) timeout: Option<Timeout>,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) secrets: Vec<String>,
    pub(crate) root: ListIndex,
    pub(crate) tasks: Vec<Task>,
    /// What the definition takes from elsewhere and has not got yet: with it, the
    /// definition has to be compiled again.
    pub(crate) missing: Vec<External>,
    /// The extensions, in the order in which they are declared.
    pub(crate) extensions: Vec<Extension>,
    pub(crate) lists: Vec<Vec<TaskIndex>>,
}

impl Program {
    /// Gives the hash of the definition's text.
    #[must_use]
    pub fn hash(&self) -> ProgramHash {
        self.hash
    }

    /// Gives the workflow's names and version.
    #[must_use]
    pub fn workflow(&self) -> &WorkflowRef {
        &self.workflow
    }

    /// Gives the title, if the definition has one.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// Gives the summary, if the definition has one.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        self.summary.as_deref()
    }

    /// Lists the names of the secrets that the definition uses.
    #[must_use]
    pub fn secret_names(&self) -> &[String] {
        &self.secrets
    }

    /// Gives the JSON Schema of the input, if the definition has one inline.
    #[must_use]
    pub fn input_schema(&self) -> Option<&Value> {
        self.input.schema.as_ref().and_then(SchemaCheck::document)
    }

    /// Checks an input against the definition's input schema.
    ///
    /// # Errors
    /// Gives each violation as JSON pointer and message.
    pub fn check_input(&self, input: &Value) -> Result<(), Vec<(String, String)>> {
        match &self.input.schema {
            Some(schema) => schema.check(input),
            None => Ok(()),
        }
    }

    /// Checks what a task is given against its own input schema; `task` is its JSON
    /// pointer, with or without `#` and an activation.
    pub(crate) fn check_task_input(
        &self,
        task: &str,
        input: &Value,
    ) -> Result<(), Vec<(String, String)>> {
        let pointer = task.split('#').next().unwrap_or_default();
        let found = self.tasks.iter().find(|one| one.reference == pointer);
        match found.and_then(|task| task.input.schema.as_ref()) {
            Some(schema) => schema.check(input),
            None => Ok(()),
        }
    }

    /// Tells whether it stands for a durable function: code in place of tasks.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        let calls = |task: &TaskIndex| match &self.task(*task).kind {
            TaskKind::Call(call) => call.function == DURABLE_FUNCTION,
            _ => false,
        };
        matches!(self.list(self.root), [only] if calls(only))
    }

    /// Gives the JSON pointer of the first task.
    pub(crate) fn root_reference(&self) -> &str {
        let first = self.list(self.root).first();
        first.map_or("/", |task| &self.task(*task).reference)
    }

    pub(crate) fn task(&self, index: TaskIndex) -> &Task {
        &self.tasks[index.0 as usize]
    }

    pub(crate) fn list(&self, index: ListIndex) -> &[TaskIndex] {
        &self.lists[index.0 as usize]
    }
}

/// When the workflow starts by itself.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Each way in which it starts, with the word that the definition has for it.
    pub(crate) timings: Vec<(&'static str, Timing)>,
    /// The events of the timing `on`.
    pub(crate) on: Option<Strategy>,
    /// What is said beyond the standard.
    pub(crate) policy: DefinitionPolicy,
}

/// How data is checked and reshaped at a border: `input`, `output` or `export`.
#[derive(Debug, Default)]
pub(crate) struct DataFilter {
    /// Checked before `from` on input, after `as` on output and export.
    pub(crate) schema: Option<SchemaCheck>,
    /// `input.from`, `output.as` or `export.as`.
    pub(crate) transform: Option<Template>,
}

/// One task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) name: String,
    /// Where it stands in the definition, as JSON pointer: `/do/0/getPet`.
    pub(crate) reference: String,
    /// The task's own JSON, for `$task.definition`.
    pub(crate) definition: Arc<Value>,
    pub(crate) condition: Option<Expression>,
    pub(crate) input: DataFilter,
    pub(crate) output: DataFilter,
    pub(crate) export: DataFilter,
    pub(crate) timeout: Option<Timeout>,
    pub(crate) then: Flow,
    pub(crate) kind: TaskKind,
    /// The places of the extensions of this kind of task.
    pub(crate) extensions: Vec<u32>,
}

/// Tasks around tasks of a kind.
#[derive(Debug)]
pub(crate) struct Extension {
    /// Sees the task that is to be extended; absent: always.
    pub(crate) when: Option<Expression>,
    pub(crate) before: Option<ListIndex>,
    pub(crate) after: Option<ListIndex>,
}

/// Where to go after a task or a switch case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Flow {
    /// To the next task of the list; at its end, out of the list.
    Continue,
    /// Out of the current list, which then has ended.
    Exit,
    /// To the end of the whole workflow.
    End,
    /// To the task at this position of the same list.
    Jump(u32),
}

/// A length of time: written down or computed.
#[derive(Debug)]
pub(crate) enum Length {
    Literal(Span),
    /// An expression that gives an ISO 8601 text or a duration object.
    Computed(Expression),
}

#[derive(Debug)]
pub(crate) struct Timeout {
    pub(crate) after: Length,
}

/// What a task does.
#[derive(Debug)]
pub(crate) enum TaskKind {
    Do(ListIndex),
    Set(Template),
    Switch(Vec<Case>),
    For(For),
    /// Each task of the list is one branch.
    Fork {
        branches: ListIndex,
        compete: bool,
    },
    Try {
        body: ListIndex,
        catch: Catch,
    },
    /// Gives the error object.
    Raise(Template),
    Wait(Length),
    /// Gives the attributes of the `CloudEvent`.
    Emit(Template),
    Listen(Listen),
    Call(Call),
    /// A human task; gives its arguments.
    Approval(Template),
    /// A call of a function of the definition's `use.functions`: the arguments
    /// are the input of the one task in the list.
    CallDefined {
        body: ListIndex,
        arguments: Option<Template>,
    },
    RunWorkflow(RunWorkflow),
}

impl TaskKind {
    /// The word that history and UI use.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Do(_) => "do",
            Self::Set(_) => "set",
            Self::Switch(_) => "switch",
            Self::For(_) => "for",
            Self::Fork { .. } => "fork",
            Self::Try { .. } => "try",
            Self::Raise(_) => "raise",
            Self::Wait(_) => "wait",
            Self::Emit(_) => "emit",
            Self::Listen(_) => "listen",
            Self::Call(_) | Self::CallDefined { .. } => "call",
            Self::Approval(_) => "approval",
            Self::RunWorkflow(_) => "run",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Case {
    #[expect(
        dead_code,
        reason = "for the history of a switch, which does not show it yet"
    )]
    pub(crate) name: String,
    /// Absent: the default case.
    pub(crate) when: Option<Expression>,
    pub(crate) then: Flow,
}

#[derive(Debug)]
pub(crate) struct For {
    pub(crate) each: String,
    pub(crate) at: String,
    pub(crate) collection: Expression,
    pub(crate) condition: Option<Expression>,
    pub(crate) body: ListIndex,
}

#[derive(Debug)]
pub(crate) struct Catch {
    /// `errors.with`: each named property of the error must equal this.
    pub(crate) filter: Vec<(String, Value)>,
    /// The variable that holds the error; `error` unless named.
    pub(crate) variable: String,
    pub(crate) when: Option<Expression>,
    pub(crate) except_when: Option<Expression>,
    pub(crate) retry: Option<Retry>,
    pub(crate) body: Option<ListIndex>,
}

#[derive(Debug)]
pub(crate) struct Retry {
    pub(crate) when: Option<Expression>,
    pub(crate) except_when: Option<Expression>,
    pub(crate) delay: Option<Length>,
    pub(crate) backoff: Backoff,
    /// How many retries at most, after the first try.
    pub(crate) attempts_max: Option<u32>,
    /// The time limit of each try.
    pub(crate) attempt_duration: Option<Length>,
    /// The time limit of all tries together.
    pub(crate) duration: Option<Length>,
    pub(crate) jitter: Option<(Length, Length)>,
}

#[derive(Debug)]
pub(crate) enum Backoff {
    Constant,
    /// Adds the increment (or the delay, where there is none) per retry.
    Linear {
        increment: Option<Length>,
    },
    /// Multiplies the delay by the factor per retry, up to a bound.
    Exponential {
        factor: f64,
        delay_max: Option<Length>,
    },
}

#[derive(Debug)]
pub(crate) struct Listen {
    pub(crate) strategy: Strategy,
    pub(crate) read: ReadAs,
    pub(crate) foreach: Option<Foreach>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadAs {
    /// The event's data; as base64 where it is no JSON.
    Data,
    /// The whole event.
    Envelope,
}

#[derive(Debug)]
pub(crate) enum Strategy {
    One(EventFilter),
    Any {
        filters: Vec<EventFilter>,
        until: Option<Until>,
    },
    All(Vec<EventFilter>),
}

#[derive(Debug)]
pub(crate) enum Until {
    /// Stop once this holds for the events consumed so far.
    Condition(Expression),
    /// Stop once these events were consumed.
    Events(Box<Strategy>),
}

#[derive(Debug)]
pub(crate) struct EventFilter {
    /// Attribute name and what it must be; the cheap comparisons come first.
    pub(crate) with: Vec<(String, Wanted)>,
    pub(crate) correlate: Vec<(String, Correlate)>,
}

/// What an attribute of an event must be.
#[derive(Debug)]
pub(crate) enum Wanted {
    /// This value.
    Equal(Value),
    /// This text, or one that it matches as a regular expression.
    Pattern { text: String, pattern: Regex },
    /// What an expression over the attribute gives, if that is not simply true.
    Computed(Template),
}

#[derive(Debug)]
pub(crate) struct Correlate {
    /// Applied to the event.
    pub(crate) from: Expression,
    /// What it must give; where absent, the first event's value is expected of the rest.
    pub(crate) expect: Option<Template>,
}

#[derive(Debug)]
pub(crate) struct Foreach {
    pub(crate) item: String,
    pub(crate) at: String,
    pub(crate) body: Option<ListIndex>,
    pub(crate) output: DataFilter,
    pub(crate) export: DataFilter,
}

/// A call of something outside the definition.
#[derive(Debug)]
pub(crate) struct Call {
    /// `http`, `openapi`, `grpc`, `asyncapi`, `mcp`, `a2a`, `run/script`,
    /// `run/shell`, `run/container` or the name of a registered function.
    pub(crate) function: String,
    /// The whole `with`, references to authentication policies resolved.
    /// Evaluated when the effect starts, so that secrets never reach the state.
    pub(crate) arguments: Option<Template>,
    /// The names of the secrets that the arguments use.
    pub(crate) secrets: Vec<String>,
    /// Whether to wait for a process's end (`run.await`).
    pub(crate) awaited: bool,
    /// What goes over the list that the call gives (a subscription's `foreach`).
    pub(crate) foreach: Option<Foreach>,
}

impl Call {
    /// Calls a function without arguments.
    pub(crate) fn bare(function: &str) -> Self {
        Self {
            function: function.to_owned(),
            arguments: None,
            secrets: Vec::new(),
            awaited: true,
            foreach: None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct RunWorkflow {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Absent: the latest version at the time of the start.
    pub(crate) version: Option<String>,
    pub(crate) input: Option<Template>,
    pub(crate) awaited: bool,
}
