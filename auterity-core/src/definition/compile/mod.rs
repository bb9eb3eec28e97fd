//! From a definition to a program, with all checks that need more than the form.

mod approvals;
mod calls;
mod events;
mod expressions;
mod externals;
mod lists;
mod names;
mod reuse;
mod schedule;
mod subscription;
mod tasks;

pub(crate) use schedule::compile_events;

use std::fmt;
use std::sync::Arc;

use indexmap::IndexSet;
use serde_json::Value;

use self::externals::ExternalFunction;
use super::document::{Definition, EvaluateMode};
use super::externals::{External, Externals};
use super::identity::{ProgramHash, WorkflowRef};
use super::limits::Limits;
use super::mistake::{Finding, Mistake, Place};
use super::parse::{Node, Source};
use super::program::{self, ListIndex, Program};
use super::read::{Reading, finish, locate};
use crate::expression::Mode;

/// What a definition is compiled against.
#[derive(Default)]
pub struct CompileOptions<'a> {
    /// Bounds the text and what it expands to.
    pub limits: Limits,
    /// Tells whether a function is registered; without it, names are not checked.
    pub functions: Option<&'a dyn Fn(&str) -> bool>,
    /// Tells whether there is a durable function that the definition may stand for;
    /// without it, that is not checked.
    pub durable: Option<&'a dyn Fn(&WorkflowRef) -> bool>,
    /// What the definition takes from elsewhere. What is missing there is no mistake;
    /// the program says so.
    pub externals: Option<&'a Externals>,
}

impl fmt::Debug for CompileOptions<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CompileOptions")
            .field("limits", &self.limits)
            .field("functions", &self.functions.is_some())
            .field("durable", &self.durable.is_some())
            .field("externals", &self.externals)
            .finish()
    }
}

/// Makes a program of a definition's text, in YAML or JSON.
///
/// # Errors
/// Gives all mistakes, in the order of their places: those of
/// [`parse`](super::parse()), and those of jumps, references, names and expressions.
pub fn compile(text: &str, options: &CompileOptions<'_>) -> Result<Program, Vec<Mistake>> {
    let source = Source::new(text);
    let mut reading = Reading::new(text, &source, &options.limits);
    let mut program = None;
    if let (Some(tree), Some(definition)) = (&reading.tree, &reading.definition) {
        let mut compiler = Compiler::new(definition, tree, options);
        program = Some(compiler.program(ProgramHash::of_all(text, options.externals)));
        locate(compiler.findings, tree, &source, &mut reading.mistakes);
    }
    match program {
        Some(program) if reading.mistakes.is_empty() => Ok(program),
        _ => Err(finish(reading.mistakes, &options.limits)),
    }
}

struct Compiler<'a> {
    definition: &'a Definition,
    tree: &'a Node,
    options: &'a CompileOptions<'a>,
    mode: Mode,
    tasks: Vec<program::Task>,
    lists: Vec<Vec<program::TaskIndex>>,
    /// The variables in scope, without `$`.
    variables: Vec<String>,
    /// The list of each function under `use`, in their order.
    functions: Vec<ListIndex>,
    /// The function that is being compiled.
    function: Option<usize>,
    /// Which function calls which, and where.
    calls: Vec<(usize, usize, String)>,
    /// Names under `use` that are referred to, as pointers.
    used: IndexSet<String>,
    /// The secrets that are declared.
    secrets: IndexSet<&'a str>,
    /// Functions of catalogs that were met.
    externals: Vec<ExternalFunction>,
    /// What is kept elsewhere and not there yet.
    missing: Vec<External>,
    /// Whether the tasks of an extension are being compiled, which none extends.
    extending: bool,
    extensions: Vec<program::Extension>,
    /// How long the expressions so far were together.
    expressions_bytes: usize,
    /// How many tasks were met so far.
    tasks_met: usize,
    findings: Vec<Finding>,
}

impl<'a> Compiler<'a> {
    fn new(definition: &'a Definition, tree: &'a Node, options: &'a CompileOptions<'a>) -> Self {
        let evaluate = definition.root.evaluate.as_ref();
        let mode = match evaluate.and_then(|evaluate| evaluate.mode) {
            Some(EvaluateMode::Loose) => Mode::Loose,
            Some(EvaluateMode::Strict) | None => Mode::Strict,
        };
        let reusable = definition.root.reusable.as_ref();
        let secrets = reusable.and_then(|reusable| reusable.secrets.as_ref());
        Self {
            definition,
            tree,
            options,
            mode,
            tasks: Vec::new(),
            lists: Vec::new(),
            variables: Vec::new(),
            functions: Vec::new(),
            function: None,
            calls: Vec::new(),
            used: IndexSet::new(),
            secrets: secrets.into_iter().flatten().map(String::as_str).collect(),
            externals: Vec::new(),
            missing: Vec::new(),
            extending: false,
            extensions: Vec::new(),
            expressions_bytes: 0,
            tasks_met: 0,
            findings: Vec::new(),
        }
    }

    fn program(&mut self, hash: ProgramHash) -> Program {
        let root = &self.definition.root;
        let document = &root.document;
        self.variables = ["context", "input", "workflow", "runtime"]
            .map(str::to_owned)
            .to_vec();
        let input = self.input(root.input.as_ref(), "");
        let output = self.output(root.output.as_ref(), "");
        let timeout = self.timeout(root.timeout.as_ref(), "");
        self.variables.push("task".to_owned());
        let schedule = self.schedule();
        self.functions();
        let tasks = self.list(&root.tasks, "/do");
        self.unused();
        let secrets = root
            .reusable
            .as_ref()
            .and_then(|reusable| reusable.secrets.clone());
        Program {
            hash,
            workflow: WorkflowRef {
                namespace: document.namespace.0.clone(),
                name: document.name.0.clone(),
                version: document.version.0.clone(),
            },
            title: document.title.clone(),
            summary: document.summary.clone(),
            definition: Arc::new(self.tree.to_value()),
            input,
            output,
            timeout,
            schedule,
            secrets: secrets.unwrap_or_default(),
            root: tasks,
            tasks: std::mem::take(&mut self.tasks),
            extensions: std::mem::take(&mut self.extensions),
            missing: std::mem::take(&mut self.missing),
            lists: std::mem::take(&mut self.lists),
        }
    }

    /// Reports a mistake.
    fn report(&mut self, finding: Finding) {
        if self.findings.len() < self.options.limits.mistakes_max {
            self.findings.push(finding);
        }
    }

    /// Reports something that is valid but cannot be executed yet.
    fn unsupported(&mut self, pointer: &str, place: Place, what: &str) {
        let message = format!("{what} cannot be executed by this engine yet");
        let finding = Finding::new("unsupported_feature", pointer, place, message)
            .with_hint("remove it; support will follow");
        self.report(finding);
    }

    /// Compiles something with more variables in scope.
    fn with_variables<R>(&mut self, names: &[&str], compile: impl FnOnce(&mut Self) -> R) -> R {
        let before = self.variables.len();
        self.variables
            .extend(names.iter().map(|name| (*name).to_owned()));
        let result = compile(self);
        self.variables.truncate(before);
        result
    }

    /// Gives a part of the document as JSON.
    fn part(&self, pointer: &str) -> Arc<Value> {
        Arc::new(self.find(pointer).map_or(Value::Null, Node::to_value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{CompileOptions, Program, compile};
    use crate::definition::program::{Flow, Length, Task, TaskKind};

    const HEADER: &str = "document: { dsl: 1.0.3, namespace: n, name: n, version: 1.0.0 }\n";

    fn program(rest: &str) -> Program {
        let text = format!("{HEADER}{rest}");
        compile(&text, &CompileOptions::default()).unwrap_or_else(|mistakes| {
            panic!("{mistakes:?} in {text}");
        })
    }

    fn find<'p>(program: &'p Program, name: &str) -> &'p Task {
        let found = program.tasks.iter().find(|task| task.name == name);
        found.expect("a task of that name")
    }

    #[test]
    fn references_are_places_in_the_document() {
        let program = program(
            "do:
  - first: { do: [{ inner: { set: { x: 1 } } }] }
  - loop: { for: { in: .x }, do: [{ markProcessed: { set: { x: 1 } } }] }
  - together: { fork: { branches: [{ b0: { wait: PT1S } }, { b1: { wait: PT1S } }] } }
  - careful: { try: [{ risky: { wait: PT1S } }], catch: { do: [{ mend: { wait: PT1S } }] } }
  - hear: { listen: { to: { any: [] } }, foreach: { do: [{ each/one: { wait: PT1S } }] } }
",
        );
        let table = [
            ("first", "/do/0/first"),
            ("inner", "/do/0/first/do/0/inner"),
            ("markProcessed", "/do/1/loop/do/0/markProcessed"),
            ("b1", "/do/2/together/fork/branches/1/b1"),
            ("risky", "/do/3/careful/try/0/risky"),
            ("mend", "/do/3/careful/catch/do/0/mend"),
            ("each/one", "/do/4/hear/foreach/do/0/each~1one"),
        ];
        for (name, reference) in table {
            let task = find(&program, name);
            assert_eq!(task.reference, reference);
            assert_eq!(
                program.definition.pointer(reference),
                Some(&*task.definition),
                "{name}"
            );
        }
        assert_eq!(program.list(program.root).len(), 5);
    }

    #[test]
    fn jumps_lead_to_places_of_the_same_list() {
        let program = program(
            "do:
  - a: { set: { x: 1 }, then: c }
  - b: { set: { x: 1 }, then: exit }
  - c: { switch: [{ one: { when: .x, then: b } }, { two: { then: end } }] }
",
        );
        assert_eq!(find(&program, "a").then, Flow::Jump(2));
        assert_eq!(find(&program, "b").then, Flow::Exit);
        match &find(&program, "c").kind {
            TaskKind::Switch(cases) => {
                let flows: Vec<Flow> = cases.iter().map(|case| case.then).collect();
                assert_eq!(flows, [Flow::Jump(1), Flow::End]);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn policies_are_resolved_into_arguments() {
        let program = program(
            "use:
  secrets: [my-store]
  authentications:
    store: { basic: { use: my-store } }
    whole: { oauth2: { use: my-store } }
do:
  - a: { call: http, with: { method: get, endpoint: { uri: https://e.com, authentication: { use: store } }, body: { authentication: { use: store } } } }
  - b: { call: openapi, with: { document: { endpoint: https://e.com }, operationId: o, authentication: { use: whole } } }
  - c: { call: http, with: { method: get, endpoint: { uri: https://e.com, authentication: { bearer: { use: my-store } } } } }
  - d: { run: { shell: { command: ls }, await: false, return: code } }
",
        );
        let arguments = |name: &str| match &find(&program, name).kind {
            TaskKind::Call(call) => format!("{:?}", call.arguments),
            other => panic!("{other:?}"),
        };
        let basic =
            "Object([(\"username\", Expression(Expression($secrets[\"my-store\"].username)))";
        assert!(arguments("a").contains(basic), "{}", arguments("a"));
        assert!(
            arguments("a").contains("(\"body\", Literal("),
            "a body is left alone"
        );
        assert!(
            arguments("b").contains("(\"oauth2\", Expression(Expression($secrets[\"my-store\"])))")
        );
        assert!(
            arguments("c")
                .contains("(\"token\", Expression(Expression($secrets[\"my-store\"].token)))")
        );
        match &find(&program, "d").kind {
            TaskKind::Call(call) => {
                assert_eq!(call.function, "run/shell");
                let expected = json!({ "shell": { "command": "ls" }, "return": "code" });
                assert_eq!(
                    format!("{:?}", call.arguments),
                    format!("Some(Literal({expected:?}))")
                );
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parts_under_use_are_resolved() {
        let program = program(
            "use:
  timeouts: { short: { after: { seconds: 5 } } }
  retries: { gently: { delay: PT2S, limit: { attempt: { count: 3 } }, backoff: { exponential: {} } } }
  errors: { refused: { type: https://e.com/refused, status: 403 } }
  functions: { log: { set: { logged: '${ .text }' } } }
timeout: short
do:
  - a: { try: [{ b: { raise: { error: refused } } }], catch: { retry: gently } }
  - c: { call: log, with: { text: x }, timeout: short }
",
        );
        let five = jiff::Span::new().seconds(5).fieldwise();
        assert!(matches!(&program.timeout, Some(timeout)
            if matches!(timeout.after, Length::Literal(span) if span == five)));
        match &find(&program, "a").kind {
            TaskKind::Try { catch, .. } => {
                let retry = catch.retry.as_ref().expect("a retry policy");
                assert_eq!(retry.attempts_max, Some(3));
                assert_eq!(catch.variable, "error");
            }
            other => panic!("{other:?}"),
        }
        match &find(&program, "c").kind {
            TaskKind::CallDefined { body, .. } => {
                let function = program.task(program.list(*body)[0]);
                assert_eq!(function.reference, "/use/functions/log");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn schemas_are_compiled_and_checked() {
        let program = program(
            "input: { schema: { document: { type: object, properties: { a: { type: string, pattern: '^x+$' } }, required: [a] } } }
do: [{ a: { set: { x: 1 } } }]
",
        );
        assert!(
            program
                .input_schema()
                .is_some_and(serde_json::Value::is_object)
        );
        assert!(program.check_input(&json!({ "a": "xx" })).is_ok());
        let violations = program
            .check_input(&json!({ "a": "canary" }))
            .expect_err("a violation");
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].0, "/a");
        assert!(
            !violations[0].1.contains("canary"),
            "a value never shows: {violations:?}"
        );
    }
}
