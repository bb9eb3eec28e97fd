//! Expressions that are only a path, answered without jq.

use std::sync::Arc;

use jaq_core::load::parse::Term;
use jaq_core::path::{Opt, Part};
use serde_json::Value;

use super::syntax::plain_text;
use super::variables::{Binding, Member, Variables};

/// A path from the input or a variable, such as `.a.b[0]` or `$context.user`.
#[derive(Debug)]
pub(super) struct Path {
    /// Absent: the input.
    variable: Option<String>,
    parts: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Key(String),
    Index(i64),
}

/// What a path leads to.
#[derive(Debug)]
pub(super) enum Found<'v> {
    Value(&'v Value),
    Members(&'v [Member]),
    Nothing,
}

impl Path {
    /// Reads a path off a parsed expression, if it is one.
    pub(super) fn from_term(term: &Term<&str>) -> Option<Self> {
        let mut parts = Vec::new();
        let variable = root(term, &mut parts)?;
        Some(Self { variable, parts })
    }

    /// Follows the path.
    ///
    /// # Errors
    /// Says which type could not be indexed with what.
    pub(super) fn find<'v>(
        &self,
        input: &'v Value,
        variables: &'v Variables,
    ) -> Result<Found<'v>, String> {
        let begun = match &self.variable {
            None => Some((input, 0)),
            Some(name) => match (variables.find(name), self.parts.first()) {
                (None, _) => None,
                (Some(Binding::Whole(value)), _) => Some((value.as_ref(), 0)),
                (Some(Binding::Members(members)), None) => return Ok(Found::Members(members)),
                (Some(Binding::Members(members)), Some(Step::Key(key))) => {
                    member(members, key).map(|value| (value.as_ref(), 1))
                }
                (Some(Binding::Members(_)), Some(Step::Index(_))) => {
                    return Err("cannot index object with number".to_owned());
                }
            },
        };
        let found = match begun {
            Some((value, followed)) => self.follow(value, followed)?,
            None => None,
        };
        Ok(found.map_or(Found::Nothing, Found::Value))
    }

    /// Gives the shared value in which the path begins, and how many steps led there.
    pub(super) fn source(
        &self,
        input: &Arc<Value>,
        variables: &Variables,
    ) -> Option<(Arc<Value>, usize)> {
        match &self.variable {
            None => Some((Arc::clone(input), 0)),
            Some(name) => match (variables.find(name)?, self.parts.first()) {
                (Binding::Whole(value), _) => Some((Arc::clone(value), 0)),
                (Binding::Members(members), Some(Step::Key(key))) => {
                    Some((Arc::clone(member(members, key)?), 1))
                }
                (Binding::Members(_), _) => None,
            },
        }
    }

    /// Follows the path from where so many steps have led.
    ///
    /// # Errors
    /// Says which type could not be indexed with what.
    pub(super) fn follow<'v>(
        &self,
        from: &'v Value,
        followed: usize,
    ) -> Result<Option<&'v Value>, String> {
        let mut place = from;
        for part in self.parts.iter().skip(followed) {
            let next = match (place, part) {
                (Value::Null, _) => return Ok(None),
                (Value::Object(entries), Step::Key(key)) => entries.get(key),
                // An array holds at most isize::MAX items.
                (Value::Array(items), Step::Index(index)) => match usize::try_from(*index) {
                    Ok(index) => items.get(index),
                    Err(_) => usize::try_from(index.unsigned_abs())
                        .ok()
                        .and_then(|back| items.len().checked_sub(back))
                        .and_then(|index| items.get(index)),
                },
                // jq looks an integer up among the keys and finds none.
                (other, Step::Key(key)) => {
                    return Err(format!("cannot index {} with \"{key}\"", type_name(other)));
                }
                (other, Step::Index(_)) => {
                    return Err(format!("cannot index {} with number", type_name(other)));
                }
            };
            match next {
                Some(value) => place = value,
                None => return Ok(None),
            }
        }
        Ok(Some(place))
    }
}

fn member<'v>(members: &'v [Member], key: &str) -> Option<&'v Arc<Value>> {
    let (_, value) = members.iter().find(|(name, _)| *name == key)?;
    Some(value)
}

/// Collects the parts of nested paths; gives the variable at the root.
#[expect(
    clippy::option_option,
    reason = "outer: is it a path at all; inner: from a variable or the input"
)]
fn root(term: &Term<&str>, parts: &mut Vec<Step>) -> Option<Option<String>> {
    match term {
        Term::Id => Some(None),
        Term::Var(name) => Some(Some(name.strip_prefix('$')?.to_owned())),
        Term::Path(inner, path) => {
            let variable = root(inner, parts)?;
            for (part, opt) in &path.0 {
                match (part, opt) {
                    (Part::Index(index), Opt::Essential) => parts.push(step(index)?),
                    _ => return None,
                }
            }
            Some(variable)
        }
        _ => None,
    }
}

fn step(index: &Term<&str>) -> Option<Step> {
    match index {
        Term::Str(..) => plain_text(index).map(Step::Key),
        Term::Num(digits) => digits.parse().ok().map(Step::Index),
        Term::Neg(inner) => match &**inner {
            Term::Num(digits) => digits.parse().ok().map(|index: i64| Step::Index(-index)),
            _ => None,
        },
        _ => None,
    }
}

/// Gives jq's word for a value's type.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
