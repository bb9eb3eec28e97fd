//! Compiles and evaluates by jaq.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use jaq_core::compile::Undefined;
use jaq_core::load::parse::{Def, Term};
use jaq_core::load::{self, Arena, File, Loader, span};
use jaq_core::{Compiler, Ctx, Native, Vars};
use serde_json::Value;

use super::error::{CompileError, EvaluateError};
use super::guard;
use super::meter;
use super::natives::{self, Data};
use super::path::Found;
use super::syntax::{Members, Names};
use super::value::{Error, Val, copy, copy_members, members_from_json, object_from_json, to_json};
use super::variables::{Binding, Variables};

/// The definition that holds the expression; a name no one would choose.
const MAIN: &str = "__expression__";

/// Names that jq has and expressions must not use, with the reason.
const OFF: [(&str, &str); 14] = [
    (
        "env",
        "an expression cannot read the environment; pass the value as input or secret",
    ),
    ("input", "an expression has one input, which is `.`"),
    ("inputs", "an expression has one input, which is `.`"),
    ("input_filename", "an expression has no files"),
    ("import", "an expression has no modules"),
    ("include", "an expression has no modules"),
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

type Key = (&'static str, usize);

/// A definition of the standard library and what it calls.
struct Known {
    definition: Def<&'static str>,
    calls: BTreeSet<Key>,
}

/// The standard library, guarded; a definition only calls earlier ones and natives.
static LIBRARY: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let own = load::parse(include_str!("prelude.jq"), |parser| parser.defs()).unwrap_or_default();
    let key = |definition: &Def<&'static str>| (definition.name, definition.args.len());
    let native: BTreeSet<Key> = natives::all()
        .map(|(name, arguments, _)| (name, arguments.len()))
        .collect();
    let mut own_by_key: HashMap<Key, Def<&'static str>> = own
        .iter()
        .map(|definition| (key(definition), definition.clone()))
        .collect();
    let replaced = jaq_core::defs()
        .chain(jaq_std::defs())
        .filter(|definition| !is_off(definition.name) && !native.contains(&key(definition)))
        .map(|definition| own_by_key.remove(&key(&definition)).unwrap_or(definition))
        .collect::<Vec<_>>();
    let added = own
        .into_iter()
        .filter(|definition| own_by_key.contains_key(&key(definition)));
    replaced
        .into_iter()
        .chain(added)
        .map(|definition| {
            let definition = guard::definition(definition, &mut Vec::new());
            let calls = Names::of(&definition.body).calls;
            Known { definition, calls }
        })
        .collect()
});

fn is_off(name: &str) -> bool {
    OFF.iter().any(|(off, _)| *off == name)
}

/// Makes the definition whose body is the expression.
pub(super) fn main(body: Term<&str>) -> Def<&str> {
    Def {
        name: MAIN,
        args: Vec::new(),
        body,
    }
}

/// A filter compiled by jaq.
pub(super) struct Filter {
    compiled: jaq_core::compile::Filter<Native<Data>>,
    /// The variables it mentions, in the order in which jaq gets them, and what it
    /// wants of each.
    globals: Vec<(String, Members)>,
    /// What it wants of its input.
    input: Members,
}

impl fmt::Debug for Filter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Filter").finish_non_exhaustive()
    }
}

impl Filter {
    /// Compiles the guarded main definition of `source`.
    pub(super) fn compile(
        source: &str,
        (main, input): (Def<&str>, Members),
        names: &Names<'_>,
        variables: &[String],
    ) -> Result<Self, CompileError> {
        refuse_off(source, names)?;
        let needed = needed(names);
        let globals: Vec<(String, Members)> = variables
            .iter()
            .filter_map(|name| Some((name.clone(), names.variables.get(name.as_str())?.clone())))
            .collect();
        let dollars: Vec<String> = globals.iter().map(|(name, _)| format!("${name}")).collect();
        let library = LIBRARY
            .iter()
            .map(|known| &known.definition)
            .filter(|known| needed.contains(&(known.name, known.args.len())))
            .cloned()
            .map(shorten);
        let arena = Arena::default();
        let call = File {
            code: MAIN,
            path: (),
        };
        let modules = Loader::new(library.chain([main]))
            .load(&arena, call)
            .map_err(|_| CompileError::new("not an expression", 0))?;
        let functions = natives::all()
            .filter(|(name, arguments, _)| needed.contains(&(*name, arguments.len())))
            .map(|(name, arguments, native)| -> (&str, _, _) { (name, arguments, native) });
        let compiled = Compiler::default()
            .with_global_vars(dollars.iter().map(String::as_str))
            .with_funs(functions)
            .compile(modules)
            .map_err(|mistakes| {
                let mut all = mistakes.into_iter().flat_map(|(_, found)| found);
                match all.next() {
                    Some((name, kind)) => undefined(source, name, &kind, variables),
                    None => CompileError::new("not an expression", 0),
                }
            })?;
        Ok(Self {
            compiled,
            globals,
            input,
        })
    }

    /// Evaluates within the session of the meter that has begun.
    pub(super) fn evaluate(
        &self,
        input: &Value,
        variables: &Variables,
        source: &str,
    ) -> Result<Value, EvaluateError> {
        // The filters of jaq do not panic as far as known; this is the last belt.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.results(input, variables)));
        let results = match (meter::spent(), outcome) {
            (Some(limit), _) => return Err(EvaluateError::budget(limit, source)),
            (None, Ok(Ok(results))) => results,
            (None, Ok(Err(what))) => return Err(EvaluateError::failed(what, source)),
            (None, Err(_)) => {
                return Err(EvaluateError::failed("a fault of the interpreter", source));
            }
        };
        let mut results = results;
        Ok(match results.len() {
            0 | 1 => results.pop().unwrap_or_default(),
            _ => Value::Array(results),
        })
    }

    fn results(&self, input: &Value, variables: &Variables) -> Result<Vec<Value>, String> {
        let global = |(name, wanted): &(String, Members)| match variables.find(name) {
            None => Val::Null,
            Some(Binding::Whole(value)) => members_from_json(value, wanted.as_ref()),
            Some(Binding::Members(members)) => {
                let members = members.iter().map(|(name, value)| (*name, value.as_ref()));
                object_from_json(members, wanted.as_ref())
            }
        };
        let globals: Vec<Val> = self.globals.iter().map(global).collect();
        let context = Ctx::<Data>::new(&self.compiled.lut, Vars::new(globals));
        let input = members_from_json(input, self.input.as_ref());
        let mut results = Vec::new();
        for result in self.compiled.id.run((context, input)) {
            if meter::spent().is_some() {
                break;
            }
            match result {
                Ok(value) => match to_json(&value) {
                    Some(value) => results.push(value),
                    None => break,
                },
                Err(exception) => {
                    return Err(match exception.get_err() {
                        Ok(error) => describe(error),
                        Err(_) => "stopped".to_owned(),
                    });
                }
            }
        }
        Ok(results)
    }
}

/// Gives what a path found as a result.
pub(super) fn result(found: &Found<'_>, source: &str) -> Result<Value, EvaluateError> {
    let copied = match found {
        Found::Value(value) => copy(value, 0),
        Found::Members(members) => copy_members(members),
        Found::Nothing => Some(Value::Null),
    };
    match (copied, meter::spent()) {
        (Some(value), None) => Ok(value),
        (_, limit) => {
            let limit = limit.unwrap_or(super::budget::Limit::Output);
            Err(EvaluateError::budget(limit, source))
        }
    }
}

/// Refuses variables that are not in scope.
pub(super) fn check_variables(
    source: &str,
    names: &Names<'_>,
    variables: &[String],
) -> Result<(), CompileError> {
    let unknown = |name: &&&str| !variables.iter().any(|known| known == **name);
    match names.variables.keys().find(unknown) {
        Some(name) => Err(unknown_variable(source, name, variables)),
        None => Ok(()),
    }
}

fn shorten<'s>(definition: Def<&'static str>) -> Def<&'s str> {
    definition
}

/// Gives every definition and native that the names lead to.
fn needed(names: &Names<'_>) -> BTreeSet<(&'static str, usize)> {
    let mut needed = BTreeSet::new();
    let mut wanted: BTreeSet<(&str, usize)> = names.calls.clone();
    // The guard of the library's own definitions.
    wanted.insert((guard::CALL, 0));
    while let Some(next) = wanted.pop_first() {
        for known in LIBRARY.iter() {
            let key = (known.definition.name, known.definition.args.len());
            if key == next && needed.insert(key) {
                wanted.extend(known.calls.iter().filter(|call| !needed.contains(*call)));
            }
        }
        for key in NATIVE_KEYS.iter().filter(|key| **key == next) {
            needed.insert(*key);
        }
    }
    needed
}

static NATIVE_KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    natives::all()
        .map(|(name, arguments, _)| (name, arguments.len()))
        .collect()
});

fn refuse_off(source: &str, names: &Names<'_>) -> Result<(), CompileError> {
    for (name, _) in &names.calls {
        if let Some((_, reason)) = OFF.iter().find(|(off, _)| off == name) {
            let mistake = CompileError::new(format!("{name} is off"), offset(source, name));
            return Err(mistake.with_hint(*reason));
        }
        if *name == MAIN {
            return Err(undefined(source, name, &Undefined::Filter(0), &[]));
        }
    }
    Ok(())
}

fn undefined(source: &str, name: &str, kind: &Undefined, variables: &[String]) -> CompileError {
    let place = offset(source, name);
    match kind {
        Undefined::Var => {
            unknown_variable(source, name.strip_prefix('$').unwrap_or(name), variables)
        }
        Undefined::Filter(arity) => {
            let mistake = CompileError::new(format!("unknown function {name}/{arity}"), place);
            let library = LIBRARY.iter().map(|known| known.definition.name);
            let mut names = library.chain(NATIVE_KEYS.iter().map(|(name, _)| *name));
            if names.any(|known| known == name) {
                mistake.with_hint("it exists with another number of arguments")
            } else {
                mistake
            }
        }
        other => CompileError::new(format!("unknown {} {name}", other.as_str()), place),
    }
}

fn unknown_variable(source: &str, name: &str, variables: &[String]) -> CompileError {
    // The name's slice begins after the `$`.
    let place = offset(source, name).saturating_sub(1);
    let mistake = CompileError::new(format!("unknown variable ${name}"), place);
    match (name, variables) {
        ("ENV", _) => mistake.with_hint("an expression cannot read the environment"),
        (_, []) => mistake.with_hint("no variable is in scope here"),
        _ => mistake.with_hint(format!("in scope here: ${}", variables.join(", $"))),
    }
}

/// Gives a name's place, if it is a slice of the source.
fn offset(source: &str, name: &str) -> usize {
    let begin = source.as_ptr().addr();
    let at = name.as_ptr().addr();
    if (begin..=begin + source.len()).contains(&at) {
        span(source, name).start
    } else {
        0
    }
}

/// Says what jq's error says, without any value of the data.
fn describe(error: Error) -> String {
    match error.into_val() {
        Val::Text(text) if text.public => text.text.clone(),
        other => format!(
            "the expression raised an error with a {} as value",
            other.type_name()
        ),
    }
}
