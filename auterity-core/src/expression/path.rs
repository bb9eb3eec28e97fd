//! Expressions that are only a path, answered without jq.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::Term;
use jaq_core::path::{Opt, Part};
use serde_json::Value;

use super::variables::Variables;

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
    ) -> Result<Option<&'v Value>, String> {
        let mut place = match &self.variable {
            None => input,
            Some(name) => match variables.get(name) {
                Some(value) => value,
                None => return Ok(None),
            },
        };
        for part in &self.parts {
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
        Term::Str(None, pieces) => {
            let mut key = String::new();
            for piece in pieces {
                match piece {
                    StrPart::Str(text) => key.push_str(text),
                    StrPart::Char(character) => key.push(*character),
                    StrPart::Term(_) => return None,
                }
            }
            Some(Step::Key(key))
        }
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
