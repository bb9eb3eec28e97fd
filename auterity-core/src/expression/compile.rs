//! Expressions made ready for evaluation.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::budget::Budget;
use super::error::{CompileError, EvaluateError, EvaluateErrorKind};
use super::filter::{self, Filter};
use super::guard;
use super::meter::Session;
use super::needs::input_members;
use super::path::Path;
use super::syntax::{self, Names};
use super::variables::Variables;

/// A compiled expression; a clone shares the compiled form.
#[derive(Clone)]
pub struct Expression {
    inner: Arc<Inner>,
}

struct Inner {
    source: String,
    /// The variables that the source mentions, without `$`.
    mentioned: Vec<String>,
    /// Gives its own source where it fails.
    loose: bool,
    kind: Kind,
}

enum Kind {
    Path(Path),
    Filter(Filter),
}

impl Expression {
    /// Compiles a jq expression, bare or as `${ … }`; `variables` are the names
    /// in scope, without `$`.
    ///
    /// # Errors
    /// The source is no jq, too long or too deeply nested, or mentions a variable
    /// or function that does not exist here. The offset counts from the start of
    /// `source` as given.
    pub fn compile(source: &str, variables: &[String]) -> Result<Self, CompileError> {
        Self::build(source, variables, false)
    }

    /// Compiles a text of a loose template, unless it is better taken as text.
    pub(super) fn compile_loose(source: &str, variables: &[String]) -> Option<Self> {
        Self::build(source, variables, true).ok()
    }

    /// Gives the jq source, without `${` and `}`.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.inner.source
    }

    /// Gives null for no result, the result if there is one, or an array of them.
    ///
    /// # Errors
    /// The expression fails on this input, or needs more than the budget.
    pub fn evaluate(
        &self,
        input: &Value,
        variables: &Variables,
        budget: &Budget,
    ) -> Result<Value, EvaluateError> {
        let inner = &*self.inner;
        let _session = Session::begin(budget, variables.now());
        let result = match &inner.kind {
            Kind::Path(path) => match path.find(input, variables) {
                Ok(found) => filter::result(&found, &inner.source),
                Err(what) => Err(EvaluateError::failed(what, &inner.source)),
            },
            Kind::Filter(filter) => filter.evaluate(input, variables, &inner.source),
        };
        match result {
            Err(error) if inner.loose && error.kind() == EvaluateErrorKind::Failed => {
                Ok(Value::String(inner.source.clone()))
            }
            result => result,
        }
    }

    /// Tells whether the result is neither false nor null.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    pub fn holds(
        &self,
        input: &Value,
        variables: &Variables,
        budget: &Budget,
    ) -> Result<bool, EvaluateError> {
        let value = self.evaluate(input, variables, budget)?;
        Ok(!matches!(value, Value::Null | Value::Bool(false)))
    }

    /// Tells whether the source mentions a variable; the name has no `$`.
    #[must_use]
    pub fn uses(&self, variable: &str) -> bool {
        self.inner.mentioned.iter().any(|known| known == variable)
    }

    /// Gives the shared value inside of which a plain path leads to the result, and
    /// how many of its steps led there; none for any other expression.
    pub(crate) fn source_of(
        &self,
        input: &Arc<Value>,
        variables: &Variables,
    ) -> Option<(Arc<Value>, usize)> {
        match &self.inner.kind {
            Kind::Path(path) => path.source(input, variables),
            Kind::Filter(_) => None,
        }
    }

    /// Follows a plain path from where so many of its steps have led, without a copy;
    /// a result of any other expression is where it is.
    ///
    /// # Errors
    /// The path leads through a value of the wrong type.
    pub(crate) fn follow<'v>(
        &self,
        from: &'v Value,
        followed: usize,
    ) -> Result<Option<&'v Value>, EvaluateError> {
        match &self.inner.kind {
            Kind::Path(path) => path
                .follow(from, followed)
                .map_err(|what| EvaluateError::failed(what, &self.inner.source)),
            Kind::Filter(_) => Ok(Some(from)),
        }
    }

    fn build(given: &str, variables: &[String], loose: bool) -> Result<Self, CompileError> {
        let source = match expression_text(given) {
            Some(inner) => inner,
            None if loose => given,
            None => given.trim(),
        };
        let start = jaq_core::load::span(given, source).start;
        let (kind, mentioned) = compile(source, variables, loose).map_err(|mut mistake| {
            mistake.offset += start;
            mistake
        })?;
        let inner = Inner {
            source: source.to_owned(),
            mentioned,
            loose,
            kind,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Expression({})", self.inner.source)
    }
}

/// Two expressions are equal when they have the same source.
impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.inner.source == other.inner.source
    }
}

impl Eq for Expression {}

/// Gives what is between `${` and `}`, if the whole text is of that form.
pub(super) fn expression_text(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("${")?.strip_suffix('}')?;
    Some(inner.trim())
}

fn compile(
    source: &str,
    variables: &[String],
    loose: bool,
) -> Result<(Kind, Vec<String>), CompileError> {
    let tokens = syntax::tokens(source)?;
    let term = syntax::parse(source, &tokens)?;
    let path = Path::from_term(&term);
    let input = input_members(&term);
    let main = guard::definition(filter::main(term), &mut Vec::new());
    let names = Names::of(&main.body);
    if loose && !names.input && names.variables.is_empty() {
        // Words, numbers and dates are texts, even where jq could read them.
        return Err(CompileError::new("plain text", 0));
    }
    let mentioned = names
        .variables
        .keys()
        .map(|name| (*name).to_owned())
        .collect();
    let kind = match path {
        Some(path) => {
            filter::check_variables(source, &names, variables)?;
            Kind::Path(path)
        }
        None => Kind::Filter(Filter::compile(source, (main, input), &names, variables)?),
    };
    Ok((kind, mentioned))
}
