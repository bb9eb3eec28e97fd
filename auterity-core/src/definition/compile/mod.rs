//! From a definition to a program, with all checks that need more than the form.

mod calls;
mod events;
mod expressions;
mod lists;
mod names;
mod reuse;
mod tasks;

use std::fmt;
use std::sync::Arc;

use indexmap::IndexSet;
use serde_json::Value;

use super::document::{Definition, EvaluateMode};
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
}

impl fmt::Debug for CompileOptions<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CompileOptions")
            .field("limits", &self.limits)
            .field("functions", &self.functions.is_some())
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
        program = Some(compiler.program(ProgramHash::of(text)));
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
        self.schedule();
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
            secrets: secrets.unwrap_or_default(),
            root: tasks,
            tasks: std::mem::take(&mut self.tasks),
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
        Arc::new(self.tree.find(pointer).map_or(Value::Null, Node::to_value))
    }
}
