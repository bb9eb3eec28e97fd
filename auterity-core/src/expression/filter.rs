//! Compiles and evaluates by jaq.

use std::fmt;
use std::sync::LazyLock;

use jaq_core::data::JustLut;
use jaq_core::load::parse::{Def, Term};
use jaq_core::load::{Arena, File, Loader, span};
use jaq_core::{Compiler, Ctx, Native, Vars};
use jaq_json::{Num, Val};
use serde_json::{Map, Number, Value};

use super::budget::{Budget, Limit};
use super::error::{CompileError, EvaluateError};
use super::syntax::Names;
use super::variables::Variables;

type Data = JustLut<Val>;

/// The definition that holds the expression; a name no one would choose.
const MAIN: &str = "__expression__";

/// Names that jq has and expressions must not use, with the reason.
const OFF: [(&str, &str); 12] = [
    (
        "env",
        "an expression cannot read the environment; pass the value as input or secret",
    ),
    ("input", "an expression has one input, which is `.`"),
    ("inputs", "an expression has one input, which is `.`"),
    ("input_filename", "an expression has no files"),
    (
        "debug",
        "an expression has no side effects; use a set task to keep a value",
    ),
    ("debug_empty", "an expression has no side effects"),
    ("stderr", "an expression has no side effects"),
    ("stderr_empty", "an expression has no side effects"),
    ("halt", "an expression cannot end the process; use `error`"),
    (
        "halt_error",
        "an expression cannot end the process; use `error`",
    ),
    (
        "localtime",
        "use gmtime: an expression does not know the machine's time zone",
    ),
    (
        "strflocaltime",
        "use strftime: an expression does not know the machine's time zone",
    ),
];

static PRELUDE: LazyLock<Vec<Def<&'static str>>> = LazyLock::new(|| {
    jaq_core::defs()
        .chain(jaq_std::defs())
        .chain(jaq_json::defs())
        .filter(|definition| !is_off(definition.name))
        .collect()
});

fn shorten<'s>(definition: Def<&'static str>) -> Def<&'s str> {
    definition
}

fn is_off(name: &str) -> bool {
    OFF.iter().any(|(off, _)| *off == name)
}

/// A filter compiled by jaq.
pub(super) struct Filter {
    compiled: jaq_core::compile::Filter<Native<Data>>,
    globals: Vec<String>,
}

impl fmt::Debug for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Filter").finish_non_exhaustive()
    }
}

/// Bounds the evaluations on this thread until it is dropped.
#[derive(Debug)]
pub(super) struct Session;

impl Session {
    pub(super) fn begin(_budget: &Budget) -> Self {
        Self
    }
}

/// Refuses variables that are not in scope.
pub(super) fn check_variables(
    source: &str,
    names: &Names<'_>,
    variables: &[String],
) -> Result<(), CompileError> {
    for name in &names.variables {
        if !variables.iter().any(|known| known == name) {
            return Err(unknown_variable(source, name, variables));
        }
    }
    Ok(())
}

fn unknown_variable(source: &str, name: &str, variables: &[String]) -> CompileError {
    let mistake = CompileError::new(format!("unknown variable ${name}"), offset(source, name));
    match (name, variables) {
        ("ENV", _) => mistake.with_hint("an expression cannot read the environment"),
        (_, []) => mistake.with_hint("no variable is in scope here"),
        _ => mistake.with_hint(format!("in scope here: ${}", variables.join(", $"))),
    }
}

/// Gives a name's place, if it is a slice of the source.
fn offset(source: &str, name: &str) -> usize {
    let begin = source.as_ptr() as usize;
    let at = name.as_ptr() as usize;
    if (begin..=begin + source.len()).contains(&at) {
        span(source, name).start
    } else {
        0
    }
}

impl Filter {
    pub(super) fn compile(
        source: &str,
        term: Term<&str>,
        names: &Names<'_>,
        variables: &[String],
    ) -> Result<Self, CompileError> {
        for (name, _) in &names.calls {
            if let Some((_, reason)) = OFF.iter().find(|(off, _)| off == name) {
                let mistake = CompileError::new(format!("{name} is off"), offset(source, name));
                return Err(mistake.with_hint(*reason));
            }
        }
        let globals: Vec<String> = variables.iter().map(|name| format!("${name}")).collect();
        let main = Def {
            name: MAIN,
            args: Vec::new(),
            body: term,
        };
        let arena = Arena::default();
        let loader = Loader::new(PRELUDE.iter().cloned().map(shorten).chain([main]));
        let file = File {
            code: MAIN,
            path: (),
        };
        let modules = loader
            .load(&arena, file)
            .map_err(|_| CompileError::new("not an expression", 0))?;
        let functions = jaq_core::funs()
            .chain(jaq_std::funs())
            .chain(jaq_json::funs())
            .filter(|(name, _, _)| !is_off(name))
            .map(|(name, arguments, run)| -> (&str, _, _) { (name, arguments, run) });
        let compiled = Compiler::default()
            .with_global_vars(globals.iter().map(String::as_str))
            .with_funs(functions)
            .compile(modules)
            .map_err(|mistakes| {
                let first = mistakes.into_iter().flat_map(|(_, found)| found).next();
                match first {
                    Some((name, jaq_core::compile::Undefined::Var)) => {
                        let name = name.strip_prefix('$').unwrap_or(name);
                        unknown_variable(source, name, variables)
                    }
                    Some((name, kind)) => CompileError::new(
                        format!("unknown {} {name}", kind.as_str()),
                        offset(source, name),
                    ),
                    None => CompileError::new("not an expression", 0),
                }
            })?;
        Ok(Self {
            compiled,
            globals: variables.to_vec(),
        })
    }

    pub(super) fn evaluate(
        &self,
        input: &Value,
        variables: &Variables,
        budget: &Budget,
        source: &str,
    ) -> Result<Value, EvaluateError> {
        let globals: Vec<Val> = self
            .globals
            .iter()
            .map(|name| variables.get(name).map_or(Val::Null, from_json))
            .collect();
        let context = Ctx::<Data>::new(&self.compiled.lut, Vars::new(globals));
        let mut left = budget.output_bytes_max;
        let mut results = Vec::new();
        for result in self.compiled.id.run((context, from_json(input))) {
            let value = result.map_err(|_| {
                EvaluateError::failed("the expression does not fit the data", source)
            })?;
            let value = to_json(&value).map_err(|what| EvaluateError::failed(what, source))?;
            charge(&value, &mut left).map_err(|()| EvaluateError::budget(Limit::Output, source))?;
            results.push(value);
        }
        Ok(match results.len() {
            0 | 1 => results.pop().unwrap_or_default(),
            _ => Value::Array(results),
        })
    }
}

/// Copies what a path found.
pub(super) fn copy(
    found: Option<&Value>,
    budget: &Budget,
    source: &str,
) -> Result<Value, EvaluateError> {
    let Some(value) = found else {
        return Ok(Value::Null);
    };
    charge(value, &mut budget.output_bytes_max.clone())
        .map_err(|()| EvaluateError::budget(Limit::Output, source))?;
    Ok(value.clone())
}

fn charge(value: &Value, left: &mut usize) -> Result<(), ()> {
    let own = match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => 2 + text.len(),
        Value::Array(items) => {
            for item in items {
                charge(item, left)?;
            }
            2 + items.len()
        }
        Value::Object(entries) => {
            for (key, item) in entries {
                charge(item, left)?;
                *left = left.checked_sub(key.len() + 4).ok_or(())?;
            }
            2
        }
    };
    *left = left.checked_sub(own).ok_or(())?;
    Ok(())
}

fn from_json(value: &Value) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Bool(value) => Val::Bool(*value),
        Value::Number(number) => Val::Num(match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Num::from_integral(number),
            (None, Some(number)) => Num::from_integral(number),
            (None, None) => Num::Float(number.as_f64().unwrap_or(f64::NAN)),
        }),
        Value::String(text) => Val::utf8_str(text.clone()),
        Value::Array(items) => items.iter().map(from_json).collect(),
        Value::Object(entries) => Val::obj(
            entries
                .iter()
                .map(|(key, item)| (Val::utf8_str(key.clone()), from_json(item)))
                .collect(),
        ),
    }
}

fn to_json(value: &Val) -> Result<Value, &'static str> {
    Ok(match value {
        Val::Null => Value::Null,
        Val::Bool(value) => Value::Bool(*value),
        Val::Num(number) => {
            let text = number.to_string();
            match (text.parse::<i64>(), text.parse::<u64>()) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                _ => text
                    .parse()
                    .ok()
                    .and_then(Number::from_f64)
                    .map_or(Value::Null, Value::Number),
            }
        }
        Val::BStr(_) => return Err("a byte string is not JSON"),
        Val::TStr(text) => Value::String(String::from_utf8_lossy(text).into_owned()),
        Val::Arr(items) => Value::Array(items.iter().map(to_json).collect::<Result<_, _>>()?),
        Val::Obj(entries) => {
            let mut object = Map::new();
            for (key, item) in entries.iter() {
                let Val::TStr(key) = key else {
                    return Err("an object key is not a string");
                };
                object.insert(String::from_utf8_lossy(key).into_owned(), to_json(item)?);
            }
            Value::Object(object)
        }
    })
}
