//! Between JSON values and jq's, both ways without loss.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::super::budget::Limit;
use super::super::meter;
use super::super::variables::Member;
use super::{Entries, Error, Number, Val, ValR};

/// Takes over a JSON value that lies so deep in the whole one; nested deeper than
/// the budget allows, it is cut off.
pub(in crate::expression) fn from_json(value: &Value, depth: usize) -> Val {
    meter::admit(0, depth);
    if meter::spent().is_some() {
        return Val::Null;
    }
    match value {
        Value::Null => Val::Null,
        Value::Bool(value) => Val::from(*value),
        Value::Number(number) => {
            meter::work(1);
            Val::Number(match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => Number::Int(value),
                (None, Some(value)) => Number::Large(value),
                (None, None) => Number::Float(number.as_f64().unwrap_or(f64::NAN)),
            })
        }
        Value::String(text) => Val::text(text.as_str()),
        Value::Array(items) => items
            .iter()
            .map(|item| from_json(item, depth + 1))
            .collect(),
        Value::Object(entries) => {
            let entries = entries.iter();
            Val::object(
                entries
                    .map(|(key, item)| entry(key, item, depth + 1))
                    .collect::<Entries>(),
            )
        }
    }
}

fn entry(key: &str, item: &Value, depth: usize) -> (Rc<str>, Val) {
    meter::handle(key.len());
    let key = if meter::allocate(key.len()) { key } else { "" };
    (Rc::from(key), from_json(item, depth))
}

/// Takes over those members of a JSON object that are wanted, or all of a value.
pub(in crate::expression) fn members_from_json(
    value: &Value,
    wanted: Option<&BTreeSet<String>>,
) -> Val {
    match (value, wanted) {
        (_, Some(wanted)) if wanted.is_empty() => Val::Null,
        (Value::Object(entries), Some(_)) => {
            let entries = entries.iter().map(|(key, value)| (key.as_str(), value));
            object_from_json(entries, wanted)
        }
        (value, _) => from_json(value, 0),
    }
}

/// Makes an object of those members that are wanted.
pub(in crate::expression) fn object_from_json<'v>(
    members: impl Iterator<Item = (&'v str, &'v Value)>,
    wanted: Option<&BTreeSet<String>>,
) -> Val {
    let members = members.filter(|(key, _)| wanted.is_none_or(|wanted| wanted.contains(*key)));
    Val::object(members.map(|(key, value)| entry(key, value, 1)).collect())
}

/// Gives a result as JSON, counting its size; none where it is too large.
pub(in crate::expression) fn to_json(value: &Val) -> Option<Value> {
    Some(match value {
        Val::Null => {
            meter::output(4).then_some(())?;
            Value::Null
        }
        Val::Bool(value) => {
            meter::output(5).then_some(())?;
            Value::Bool(*value)
        }
        Val::Number(number) => {
            meter::output(8).then_some(())?;
            json_number(*number)
        }
        Val::Text(text) => {
            meter::output(text.text.len() + 2).then_some(())?;
            Value::String(text.text.clone())
        }
        Val::List(list) => {
            meter::output(list.items.len() + 2).then_some(())?;
            Value::Array(list.items.iter().map(to_json).collect::<Option<_>>()?)
        }
        Val::Object(object) => {
            meter::output(2).then_some(())?;
            let mut entries = Map::with_capacity(object.entries.len());
            for (key, item) in &object.entries {
                meter::output(key.len() + 4).then_some(())?;
                entries.insert(key.as_ref().to_owned(), to_json(item)?);
            }
            Value::Object(entries)
        }
    })
}

/// Copies a JSON value as a result, with the same limits as [`to_json`].
pub(in crate::expression) fn copy(value: &Value, depth: usize) -> Option<Value> {
    meter::admit(0, depth);
    if meter::spent() == Some(Limit::Depth) {
        return None;
    }
    let size = match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.len() + 2,
        Value::Object(_) => 2,
    };
    meter::output(size).then_some(())?;
    Some(match value {
        Value::Array(items) => {
            let copies = items.iter().map(|item| copy(item, depth + 1));
            Value::Array(copies.collect::<Option<_>>()?)
        }
        Value::Object(entries) => {
            let mut copies = Map::with_capacity(entries.len());
            for (key, item) in entries {
                meter::output(key.len() + 4).then_some(())?;
                copies.insert(key.clone(), copy(item, depth + 1)?);
            }
            Value::Object(copies)
        }
        other => other.clone(),
    })
}

/// Copies an object that is not put together yet.
pub(in crate::expression) fn copy_members(members: &[Member]) -> Option<Value> {
    let mut copies = Map::with_capacity(members.len());
    for (key, item) in members {
        meter::output(key.len() + 4).then_some(())?;
        copies.insert((*key).to_owned(), copy(item, 1)?);
    }
    Some(Value::Object(copies))
}

/// Writes a value as JSON text; cut off where the budget ends.
pub(in crate::expression) fn text(value: &Val) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// Reads JSON text.
pub(in crate::expression) fn parse_json(text: &str) -> ValR {
    meter::handle(text.len().saturating_mul(4));
    if !meter::allocate(text.len().saturating_mul(4)) {
        return Err(super::spent_error());
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value) => Ok(from_json(&value, 0)),
        Err(_) => Err(Error::str("cannot parse the string as JSON")),
    }
}

fn write(value: &Val, out: &mut String) {
    meter::work(1);
    match value {
        Val::Null => out.push_str("null"),
        Val::Bool(true) => out.push_str("true"),
        Val::Bool(false) => out.push_str("false"),
        Val::Number(number) => out.push_str(&json_number(*number).to_string()),
        Val::Text(text) => write_text(&text.text, out),
        Val::List(list) => {
            out.push('[');
            for (index, item) in list.items.iter().enumerate() {
                if meter::spent().is_some() {
                    return;
                }
                if 0 < index {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Val::Object(object) => {
            out.push('{');
            for (index, (key, item)) in object.entries.iter().enumerate() {
                if meter::spent().is_some() {
                    return;
                }
                if 0 < index {
                    out.push(',');
                }
                write_text(key, out);
                out.push(':');
                write(item, out);
            }
            out.push('}');
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    // Looking for what to escape costs more than copying.
    meter::handle(text.len().saturating_mul(4));
    if !meter::allocate(text.len()) {
        return;
    }
    match serde_json::to_string(text) {
        Ok(quoted) => out.push_str(&quoted),
        // Writing a text into memory has no way to fail.
        Err(_) => meter::spend(Limit::Memory),
    }
}

/// JSON has no word for what is not a number or infinite; jq's choices.
fn json_number(number: Number) -> Value {
    match number {
        Number::Int(value) => Value::from(value),
        Number::Large(value) => Value::from(value),
        Number::Float(value) if value.is_nan() => Value::Null,
        Number::Float(value) => Value::from(value.clamp(f64::MIN, f64::MAX)),
    }
}
