//! Reads Gherkin features of the kit into scenarios, and checks what came out.
#![expect(
    clippy::panic,
    reason = "what cannot be read fails the test and says where"
)]

use std::path::Path;

use gherkin::{Feature, GherkinEnv, Step, StepType};
use serde_json::Value;

use super::yaml;

/// One scenario of the kit.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// The feature's file name.
    pub(crate) file: String,
    pub(crate) name: String,
    /// The definition's text.
    pub(crate) definition: String,
    /// Absent: the scenario gives no input.
    pub(crate) input: Option<Value>,
    pub(crate) expectations: Vec<Expectation>,
}

/// What a scenario says about the outcome.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expectation {
    Completes,
    CompletesWithOutput(Value),
    Faults,
    /// The error has at least these properties.
    FaultsWithError(Value),
    Cancels,
    /// Property names, dotted where nested.
    OutputHasProperties(Vec<String>),
    OutputPropertyEquals(String, Value),
    OutputPropertyCount(String, usize),
    RunsFirst(String),
    RunsLast(String),
    /// The first task runs before the second one.
    RunsBefore(String, String),
    /// The first task runs after the second one.
    RunsAfter(String, String),
    TaskCompletes(String),
    TaskFaults(String),
    TaskCancels(String),
}

/// How an execution ended.
#[derive(Debug, Clone)]
pub(crate) enum Ended {
    Completed(Value),
    Faulted(Value),
    Cancelled,
}

/// What an execution did.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) ended: Ended,
    /// The tasks by name in the order in which they started, each with the state
    /// in which it ended: `completed`, `faulted` or `cancelled`.
    pub(crate) tasks: Vec<(String, String)>,
}

/// Reads every feature of a folder, in the order of the files' names.
pub(crate) fn read_all(folder: &Path) -> Vec<Scenario> {
    let entries = std::fs::read_dir(folder).expect("the kit's folder is readable");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("the kit's folder is readable").path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "feature"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no features in {}", folder.display());
    files.iter().flat_map(|file| read(file)).collect()
}

fn read(path: &Path) -> Vec<Scenario> {
    let mut text = std::fs::read_to_string(path).expect("a feature is readable");
    // Some of the kit's files end without a line end, which the parser wants.
    text.push('\n');
    let feature = Feature::parse(text, GherkinEnv::default())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let name = path.file_name().unwrap_or_default();
    let file = name.to_string_lossy().into_owned();
    let scenarios = feature.scenarios.iter();
    scenarios.map(|found| scenario(&file, found)).collect()
}

fn scenario(file: &str, found: &gherkin::Scenario) -> Scenario {
    let mut scenario = Scenario {
        file: file.to_owned(),
        name: found.name.clone(),
        definition: String::new(),
        input: None,
        expectations: Vec::new(),
    };
    for step in &found.steps {
        match (step.ty, step.value.as_str()) {
            (StepType::Given, "a workflow with definition:") => {
                scenario.definition = document(step);
            }
            (StepType::Given, "given the workflow input is:") => scenario.input = Some(data(step)),
            (StepType::When, "the workflow is executed") => {}
            (StepType::Then, text) => {
                let expectation = expectation(text, step);
                scenario.expectations.push(expectation.unwrap_or_else(|| {
                    panic!("{file}, {}: unknown expectation: {text}", found.name)
                }));
            }
            (_, text) => panic!("{file}, {}: unknown step: {text}", found.name),
        }
    }
    scenario
}

/// Reads the text of a step that says what should be.
fn expectation(text: &str, step: &Step) -> Option<Expectation> {
    if let Some(rest) = text.strip_prefix("the workflow output should have ") {
        return output_expectation(rest, step);
    }
    let (subject, verb) = text.split_once(" should ")?;
    if subject == "the workflow" {
        return Some(match verb {
            "complete" => Expectation::Completes,
            "complete with output:" => Expectation::CompletesWithOutput(data(step)),
            "fault" => Expectation::Faults,
            "fault with error:" => Expectation::FaultsWithError(data(step)),
            "cancel" => Expectation::Cancels,
            _ => return None,
        });
    }
    let task = subject.trim_matches('\'').to_owned();
    let other = |prefix: &str| {
        let name = verb.strip_prefix(prefix)?;
        Some(name.trim_matches('\'').to_owned())
    };
    Some(match verb {
        "run first" => Expectation::RunsFirst(task),
        "run last" => Expectation::RunsLast(task),
        "complete" => Expectation::TaskCompletes(task),
        "fault" => Expectation::TaskFaults(task),
        "cancel" | "be cancelled" => Expectation::TaskCancels(task),
        _ => match (other("run before "), other("run after ")) {
            (Some(later), _) => Expectation::RunsBefore(task, later),
            (_, Some(earlier)) => Expectation::RunsAfter(task, earlier),
            (None, None) => return None,
        },
    })
}

fn output_expectation(rest: &str, step: &Step) -> Option<Expectation> {
    if let Some(names) = rest.strip_prefix("properties ") {
        let names = names.split(',').map(|name| name.trim().trim_matches('\''));
        let names = names.map(str::to_owned).collect();
        return Some(Expectation::OutputHasProperties(names));
    }
    let (name, rest) = rest.strip_prefix("a '")?.split_once("' property ")?;
    if rest == "with value:" {
        return Some(Expectation::OutputPropertyEquals(
            name.to_owned(),
            data(step),
        ));
    }
    let count = rest.strip_prefix("containing ")?.strip_suffix(" items")?;
    let count = count.parse().ok()?;
    Some(Expectation::OutputPropertyCount(name.to_owned(), count))
}

/// Gives a step's doc string without its media type and indentation.
fn document(step: &Step) -> String {
    let text = step.docstring().expect("the step has a doc string");
    let (_, body) = text.split_once('\n').unwrap_or(("", text));
    let lines = || body.lines().filter(|line| !line.trim().is_empty());
    let indent = |line: &str| line.len() - line.trim_start().len();
    let common = lines().map(indent).min().unwrap_or(0);
    let dedented = body.lines().map(|line| line.get(common..).unwrap_or(""));
    let mut out = dedented.collect::<Vec<_>>().join("\n");
    out.push('\n');
    out
}

fn data(step: &Step) -> Value {
    yaml::parse(&document(step))
}

impl Expectation {
    /// Compares an outcome with this.
    ///
    /// # Errors
    /// Says what differs.
    pub(crate) fn check(&self, outcome: &Outcome) -> Result<(), String> {
        let met = match (self, &outcome.ended) {
            (Self::Completes, Ended::Completed(_))
            | (Self::Faults, Ended::Faulted(_))
            | (Self::Cancels, Ended::Cancelled) => true,
            (Self::CompletesWithOutput(expected), Ended::Completed(output)) => {
                equal(expected, output)
            }
            (Self::FaultsWithError(expected), Ended::Faulted(error)) => within(expected, error),
            (Self::OutputHasProperties(names), Ended::Completed(output)) => {
                let missing = names.iter().find(|name| property(output, name).is_none());
                missing.is_none()
            }
            (Self::OutputPropertyEquals(name, expected), Ended::Completed(output)) => {
                property(output, name).is_some_and(|found| equal(expected, found))
            }
            (Self::OutputPropertyCount(name, count), Ended::Completed(output)) => {
                let items = property(output, name).and_then(Value::as_array);
                items.is_some_and(|items| items.len() == *count)
            }
            _ => self.is_met_by_tasks(&outcome.tasks),
        };
        if met {
            Ok(())
        } else {
            Err(format!("expected {self:?}, but got {outcome:?}"))
        }
    }

    fn is_met_by_tasks(&self, tasks: &[(String, String)]) -> bool {
        let first = |name: &String| tasks.iter().position(|(known, _)| known == name);
        let last = |name: &String| tasks.iter().rposition(|(known, _)| known == name);
        let before = |earlier: &String, later: &String| match (first(earlier), last(later)) {
            (Some(earlier), Some(later)) => earlier < later,
            _ => false,
        };
        let ended = |name: &String, state: &str| {
            last(name)
                .and_then(|place| tasks.get(place))
                .is_some_and(|(_, ended)| ended == state)
        };
        match self {
            Self::RunsFirst(name) => first(name) == Some(0),
            Self::RunsLast(name) => last(name).is_some_and(|place| place + 1 == tasks.len()),
            Self::RunsBefore(earlier, later) | Self::RunsAfter(later, earlier) => {
                before(earlier, later)
            }
            Self::TaskCompletes(name) => ended(name, "completed"),
            Self::TaskFaults(name) => ended(name, "faulted"),
            Self::TaskCancels(name) => ended(name, "cancelled"),
            _ => false,
        }
    }
}

/// Finds a property by its dotted name.
fn property<'v>(value: &'v Value, name: &str) -> Option<&'v Value> {
    name.split('.')
        .try_fold(value, |place, part| place.get(part))
}

/// Compares with numbers by value, so that 1 equals 1.0.
fn equal(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Number(left), Value::Number(right)) => {
            left == right || left.as_f64() == right.as_f64()
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(l, r)| equal(l, r))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len() && within(expected, actual)
        }
        _ => expected == actual,
    }
}

/// Tells whether each expected property is there with its value.
fn within(expected: &Value, actual: &Value) -> bool {
    match expected {
        Value::Object(entries) => entries.iter().all(|(key, expected)| {
            let found = actual.get(key);
            found.is_some_and(|found| equal(expected, found))
        }),
        other => equal(other, actual),
    }
}
