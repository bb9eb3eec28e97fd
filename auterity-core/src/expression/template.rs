//! Values with expressions inside.

use serde_json::{Map, Value};

use super::budget::Budget;
use super::compile::{Expression, expression_text};
use super::error::{CompileError, EvaluateError};
use super::meter::Session;
use super::variables::Variables;

/// How a template tells expressions from plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// Only a text of the form `${ … }` is an expression.
    #[default]
    Strict,
    /// Also a text that is valid as an expression and mentions the input or a
    /// variable; it stands for itself where its evaluation fails.
    Loose,
}

/// A value whose texts may be expressions, compiled.
#[derive(Debug, Clone)]
pub enum Template {
    /// No expression inside.
    Literal(Value),
    /// One expression, whose result takes its place with its own type.
    Expression(Expression),
    /// An array with an expression somewhere inside.
    List(Vec<Template>),
    /// An object with an expression somewhere inside; keys are plain.
    Object(Vec<(String, Template)>),
}

impl Template {
    /// Compiles a value; `variables` are the names in scope, without `$`.
    ///
    /// # Errors
    /// Gives all texts that look like expressions and are not valid, each with
    /// its JSON pointer inside the value. The offset counts from the text's start.
    pub fn compile(
        value: &Value,
        variables: &[String],
        mode: Mode,
    ) -> Result<Self, Vec<(String, CompileError)>> {
        let mut mistakes = Vec::new();
        let template = build(value, variables, mode, &mut String::new(), &mut mistakes);
        if mistakes.is_empty() {
            Ok(template)
        } else {
            Err(mistakes)
        }
    }

    /// Gives the value with each expression replaced by its result.
    ///
    /// # Errors
    /// The first expression that fails, or the budget, which covers the whole
    /// template.
    pub fn evaluate(
        &self,
        input: &Value,
        variables: &Variables,
        budget: &Budget,
    ) -> Result<Value, EvaluateError> {
        let _session = Session::begin(budget, variables.now());
        self.fill(input, variables, budget)
    }

    /// Tells whether an expression inside mentions a variable.
    #[must_use]
    pub fn uses(&self, variable: &str) -> bool {
        match self {
            Self::Literal(_) => false,
            Self::Expression(expression) => expression.uses(variable),
            Self::List(items) => items.iter().any(|item| item.uses(variable)),
            Self::Object(entries) => entries.iter().any(|(_, item)| item.uses(variable)),
        }
    }

    /// Tells whether there is no expression inside.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    fn fill(
        &self,
        input: &Value,
        variables: &Variables,
        budget: &Budget,
    ) -> Result<Value, EvaluateError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Expression(expression) => expression.evaluate(input, variables, budget),
            Self::List(items) => items
                .iter()
                .map(|item| item.fill(input, variables, budget))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            Self::Object(entries) => {
                let mut filled = Map::with_capacity(entries.len());
                for (key, item) in entries {
                    filled.insert(key.clone(), item.fill(input, variables, budget)?);
                }
                Ok(Value::Object(filled))
            }
        }
    }
}

fn build(
    value: &Value,
    variables: &[String],
    mode: Mode,
    pointer: &mut String,
    mistakes: &mut Vec<(String, CompileError)>,
) -> Template {
    match value {
        Value::String(text) => match text_template(text, variables, mode) {
            Ok(template) => template,
            Err(mistake) => {
                mistakes.push((pointer.clone(), mistake));
                Template::Literal(Value::Null)
            }
        },
        Value::Array(items) => {
            let mut built = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                let child = |pointer: &mut String, mistakes: &mut Vec<_>| {
                    build(item, variables, mode, pointer, mistakes)
                };
                built.push(within(pointer, &index.to_string(), mistakes, child));
            }
            if built.iter().all(Template::is_literal) {
                Template::Literal(value.clone())
            } else {
                Template::List(built)
            }
        }
        Value::Object(entries) => {
            let mut built = Vec::with_capacity(entries.len());
            for (key, item) in entries {
                let child = |pointer: &mut String, mistakes: &mut Vec<_>| {
                    build(item, variables, mode, pointer, mistakes)
                };
                built.push((key.clone(), within(pointer, key, mistakes, child)));
            }
            if built.iter().all(|(_, item)| item.is_literal()) {
                Template::Literal(value.clone())
            } else {
                Template::Object(built)
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Template::Literal(value.clone()),
    }
}

/// Calls `child` with the pointer of one member of the current value.
fn within<R>(
    pointer: &mut String,
    member: &str,
    mistakes: &mut Vec<(String, CompileError)>,
    child: impl FnOnce(&mut String, &mut Vec<(String, CompileError)>) -> R,
) -> R {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(&member.replace('~', "~0").replace('/', "~1"));
    let result = child(pointer, mistakes);
    pointer.truncate(length);
    result
}

fn text_template(text: &str, variables: &[String], mode: Mode) -> Result<Template, CompileError> {
    if expression_text(text).is_some() {
        return Expression::compile(text, variables).map(Template::Expression);
    }
    if text.trim_start().starts_with("${") {
        let message = "a text that begins with ${ is an expression and has to end with }";
        let hint = "to have the text itself, write it inside of one: ${ \"…\" }";
        return Err(CompileError::new(message, 0).with_hint(hint));
    }
    let loose = match mode {
        Mode::Strict => None,
        Mode::Loose => Expression::compile_loose(text, variables),
    };
    Ok(match loose {
        Some(expression) => Template::Expression(expression),
        None => Template::Literal(Value::String(text.to_owned())),
    })
}
