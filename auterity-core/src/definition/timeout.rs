//! Lengths of time and time-outs.

use serde_json::{Map, Value};

use super::parse::{Node, NodeValue};
use super::record::{Closed, Part, Reader, record};
use super::text::is_expression;
use crate::expression::duration;

/// A length of time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Duration {
    /// An object of units.
    Units(DurationUnits),
    /// An ISO 8601 duration.
    Iso(String),
    /// An expression that gives one of the former.
    Expression(String),
}

record! {
    /// A length of time as numbers of units.
    DurationUnits: Closed, "a duration" {
        optional days: i64 = "days",
        optional hours: i64 = "hours",
        optional minutes: i64 = "minutes",
        optional seconds: i64 = "seconds",
        optional milliseconds: i64 = "milliseconds",
    }
}

record! {
    /// A time limit.
    Timeout: Closed, "a timeout" {
        required after: Duration = "after",
    }
}

/// A part that is written in place, or the name of one under `use`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Referenced<T> {
    Name(String),
    Inline(T),
}

impl<T: Part> Part for Referenced<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            NodeValue::Text(name) => Some(Self::Name(name.clone())),
            _ => T::read(node, reader).map(Self::Inline),
        }
    }

    fn write(&self) -> Value {
        match self {
            Self::Name(name) => Value::String(name.clone()),
            Self::Inline(part) => part.write(),
        }
    }
}

impl Part for Duration {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        const HINT: &str = "write an ISO 8601 duration such as PT30S, an object such as { seconds: 30 }, or an expression";
        let duration = match &node.value {
            NodeValue::Text(text) if is_expression(text) => {
                return Some(Self::Expression(text.clone()));
            }
            NodeValue::Text(text) => Self::Iso(text.clone()),
            NodeValue::Object(_) => Self::Units(DurationUnits::read(node, reader)?),
            _ => {
                reader.wrong_type("a duration (ISO 8601 text, object or expression)", node);
                return None;
            }
        };
        match duration::from_value(&duration.write()) {
            Ok(_) => Some(duration),
            Err(error) => {
                // A unit of the wrong type was reported as such already.
                let incomplete = duration.write() == Value::Object(Map::new());
                let has_units = node.entries().is_some_and(|entries| !entries.is_empty());
                if !(incomplete && has_units) {
                    reader.report("bad_duration", error.to_string(), HINT);
                }
                None
            }
        }
    }

    fn write(&self) -> Value {
        match self {
            Self::Units(units) => units.write(),
            Self::Iso(text) | Self::Expression(text) => Value::String(text.clone()),
        }
    }
}
