//! Tasks.

use serde_json::{Map, Value};

use super::call::Call;
use super::data::{Export, Input, Output};
use super::event::{Emit, Listen, SubscriptionIterator};
use super::mistake::{Place, did_you_mean};
use super::parse::{Node, NodeValue};
use super::process::Run;
use super::record::{Closed, Fields, Open, Part, Reader, record};
use super::retry::RetryPolicy;
use super::text::UriOrExpression;
use super::timeout::{Duration, Referenced, Timeout};
use super::union::{Named, ObjectOrText};

/// Tasks in their order, each with its name.
pub(crate) type TaskList = Vec<Named<Task>>;

/// One task.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Task {
    pub(crate) condition: Option<String>,
    pub(crate) input: Option<Input>,
    pub(crate) output: Option<Output>,
    pub(crate) export: Option<Export>,
    pub(crate) timeout: Option<Referenced<Timeout>>,
    pub(crate) then: Option<String>,
    pub(crate) metadata: Option<Map<String, Value>>,
    pub(crate) kind: TaskKind,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TaskKind {
    Call(Call),
    Do(TaskList),
    Emit(Box<Emit>),
    For {
        each: For,
        condition: Option<String>,
        tasks: TaskList,
    },
    Fork(Fork),
    Listen {
        listen: Box<Listen>,
        foreach: Option<Box<SubscriptionIterator>>,
    },
    Raise(Box<Raise>),
    Run(Run),
    Set(ObjectOrText),
    Switch(Vec<Named<Case>>),
    Try {
        tasks: TaskList,
        catch: Box<Catch>,
    },
    Wait(Duration),
    /// Stands for a task with mistakes; no definition that is given out has one.
    Unreadable,
}

record! {
    For: Closed, "for" {
        optional each: String = "each",
        required collection: String = "in",
        optional at: String = "at",
    }
}

record! {
    Fork: Closed, "fork" {
        lenient branches: TaskList = "branches",
        optional compete: bool = "compete",
    }
}

record! {
    Raise: Closed, "raise" {
        required error: Referenced<ErrorDefinition> = "error",
    }
}

record! {
    /// An error that is raised.
    ErrorDefinition: Closed, "an error" {
        required kind: UriOrExpression = "type",
        required status: i64 = "status",
        optional instance: String = "instance",
        optional title: String = "title",
        optional detail: String = "detail",
    }
}

record! {
    SwitchCase: Closed, "a case" {
        optional when: String = "when",
        required then: String = "then",
    }
}

/// A case of a switch.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Case {
    Readable(SwitchCase),
    /// Stands for a case with mistakes.
    Unreadable,
}

impl Part for Case {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        SwitchCase::read(node, reader).map(Self::Readable)
    }

    fn write(&self) -> Value {
        match self {
            Self::Readable(case) => case.write(),
            Self::Unreadable => Value::Null,
        }
    }

    fn unreadable() -> Option<Self> {
        Some(Self::Unreadable)
    }
}

record! {
    Catch: Closed, "catch" {
        optional errors: CatchErrors = "errors",
        optional variable: String = "as",
        optional when: String = "when",
        optional except_when: String = "exceptWhen",
        optional retry: Referenced<RetryPolicy> = "retry",
        optional tasks: TaskList = "do",
    }
}

record! {
    CatchErrors: Open, "the errors to catch" {
        optional with: ErrorFilter = "with",
    }
}

record! {
    /// What a caught error must be like.
    ErrorFilter: Open, "the error filter" {
        optional kind: String = "type",
        optional status: i64 = "status",
        optional instance: String = "instance",
        optional title: String = "title",
        optional details: String = "details",
    }
}

/// The property by which a task's kind is known; `do` comes last, since a `for`
/// task has it as well.
const KINDS: [&str; 12] = [
    "call", "emit", "for", "fork", "listen", "raise", "run", "set", "switch", "try", "wait", "do",
];

const COMMON: [&str; 7] = [
    "if", "input", "output", "export", "timeout", "then", "metadata",
];

impl Part for Task {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "a task")?;
        let task = Self {
            condition: fields.optional("if"),
            input: fields.optional("input"),
            output: fields.optional("output"),
            export: fields.optional("export"),
            timeout: fields.optional("timeout"),
            then: fields.optional("then"),
            metadata: fields.optional("metadata"),
            kind: TaskKind::Unreadable,
        };
        let kind = kind_of(node, &mut fields);
        let Some(kind) = kind else {
            return Some(task);
        };
        fields.rename(described(kind));
        let kind = match kind {
            "call" => Call::take(&mut fields).map(TaskKind::Call),
            "emit" => fields.optional("emit").map(TaskKind::Emit),
            "for" => take_for(&mut fields),
            "fork" => fields.optional("fork").map(TaskKind::Fork),
            "listen" => take_listen(&mut fields),
            "raise" => fields.optional("raise").map(TaskKind::Raise),
            "run" => fields.optional("run").map(TaskKind::Run),
            "set" => take_set(node, &mut fields),
            "switch" => fields.optional("switch").map(TaskKind::Switch),
            "try" => Some(take_try(&mut fields)),
            "wait" => fields.optional("wait").map(TaskKind::Wait),
            _ => fields.optional("do").map(TaskKind::Do),
        };
        fields.close();
        let kind = kind.unwrap_or(TaskKind::Unreadable);
        Some(Self { kind, ..task })
    }

    fn write(&self) -> Value {
        let mut object = Map::new();
        put(&mut object, "if", self.condition.as_ref());
        put(&mut object, "input", self.input.as_ref());
        put(&mut object, "timeout", self.timeout.as_ref());
        self.kind.put(&mut object);
        put(&mut object, "output", self.output.as_ref());
        put(&mut object, "export", self.export.as_ref());
        put(&mut object, "then", self.then.as_ref());
        put(&mut object, "metadata", self.metadata.as_ref());
        Value::Object(object)
    }

    fn unreadable() -> Option<Self> {
        Some(Self {
            condition: None,
            input: None,
            output: None,
            export: None,
            timeout: None,
            then: None,
            metadata: None,
            kind: TaskKind::Unreadable,
        })
    }
}

fn put<T: Part>(object: &mut Map<String, Value>, key: &str, part: Option<&T>) {
    if let Some(part) = part {
        object.insert(key.to_owned(), part.write());
    }
}

fn described(kind: &str) -> &'static str {
    match kind {
        "call" => "a call task",
        "emit" => "an emit task",
        "for" => "a for task",
        "fork" => "a fork task",
        "listen" => "a listen task",
        "raise" => "a raise task",
        "run" => "a run task",
        "set" => "a set task",
        "switch" => "a switch task",
        "try" => "a try task",
        "wait" => "a wait task",
        _ => "a do task",
    }
}

/// Finds what kind of task it is; reports none or several.
fn kind_of(node: &Node, fields: &mut Fields<'_, '_>) -> Option<&'static str> {
    let mut kinds: Vec<&'static str> = KINDS
        .into_iter()
        .filter(|kind| node.get(kind).is_some())
        .collect();
    if kinds.contains(&"for") {
        kinds.retain(|kind| *kind != "do");
    }
    match kinds.as_slice() {
        [] => {
            report_no_kind(node, fields);
            None
        }
        [kind] => Some(kind),
        [kind, other, ..] => {
            let message = format!("a task cannot be both \"{kind}\" and \"{other}\"");
            fields.reader.within(other, |reader| {
                let hint = "make two tasks of it";
                reader.report_at("several_task_kinds", Place::Key, message, hint);
            });
            None
        }
    }
}

fn report_no_kind(node: &Node, fields: &mut Fields<'_, '_>) {
    let entries = node.entries().unwrap_or_default();
    let unknown = entries.iter().map(|entry| entry.key.as_str());
    let unknown: Vec<&str> = unknown.filter(|key| !COMMON.contains(key)).collect();
    let near = unknown.iter().find_map(|key| {
        let near = did_you_mean(key, KINDS)?;
        Some((*key, near))
    });
    match near {
        Some((key, near)) => {
            let message = format!("a task has no property \"{key}\"");
            let hint = format!("did you mean \"{near}\"?");
            fields.reader.within(key, |reader| {
                reader.report_at("unknown_property", Place::Key, message, &hint);
            });
        }
        None => {
            let message = "the task does not say what it does".to_owned();
            let hint = format!("add one of {}", KINDS.join(", "));
            fields
                .reader
                .report_at("missing_task_kind", Place::Key, message, &hint);
        }
    }
}

fn take_for(fields: &mut Fields<'_, '_>) -> Option<TaskKind> {
    let each = fields.optional("for");
    let condition = fields.optional("while");
    let tasks = fields.lenient("do");
    Some(TaskKind::For {
        each: each?,
        condition,
        tasks,
    })
}

fn take_listen(fields: &mut Fields<'_, '_>) -> Option<TaskKind> {
    let listen = fields.optional("listen");
    let foreach = fields.optional("foreach");
    Some(TaskKind::Listen {
        listen: listen?,
        foreach,
    })
}

fn take_set(node: &Node, fields: &mut Fields<'_, '_>) -> Option<TaskKind> {
    let set = fields.optional("set")?;
    let is_empty =
        |node: &Node| matches!(&node.value, NodeValue::Object(entries) if entries.is_empty());
    if node.get("set").is_some_and(is_empty) {
        fields.reader.within("set", |reader| {
            let message = "a set task sets nothing".to_owned();
            reader.report("empty_object", message, "name at least one value to set");
        });
    }
    Some(TaskKind::Set(set))
}

fn take_try(fields: &mut Fields<'_, '_>) -> TaskKind {
    let tasks = fields.lenient("try");
    let catch = fields.required("catch");
    let nothing = Catch {
        errors: None,
        variable: None,
        when: None,
        except_when: None,
        retry: None,
        tasks: None,
        rest: Closed,
    };
    let catch = Box::new(catch.unwrap_or(nothing));
    TaskKind::Try { tasks, catch }
}

impl TaskKind {
    fn put(&self, object: &mut Map<String, Value>) {
        match self {
            Self::Call(call) => call.put(object),
            Self::Do(tasks) => put(object, "do", Some(tasks)),
            Self::Emit(emit) => put(object, "emit", Some(emit)),
            Self::For {
                each,
                condition,
                tasks,
            } => {
                put(object, "for", Some(each));
                put(object, "while", condition.as_ref());
                put(object, "do", Some(tasks));
            }
            Self::Fork(fork) => put(object, "fork", Some(fork)),
            Self::Listen { listen, foreach } => {
                put(object, "listen", Some(listen));
                put(object, "foreach", foreach.as_ref());
            }
            Self::Raise(raise) => put(object, "raise", Some(raise)),
            Self::Run(run) => put(object, "run", Some(run)),
            Self::Set(set) => put(object, "set", Some(set)),
            Self::Switch(cases) => put(object, "switch", Some(cases)),
            Self::Try { tasks, catch } => {
                put(object, "try", Some(tasks));
                put(object, "catch", Some(catch));
            }
            Self::Wait(duration) => put(object, "wait", Some(duration)),
            Self::Unreadable => {}
        }
    }
}
