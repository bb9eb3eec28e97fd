//! The tree of nodes.

use serde_json::{Map, Number, Value};

use super::source::Span;

/// A value of the text.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: NodeValue,
    pub(crate) span: Span,
}

#[derive(Debug, Clone)]
pub(crate) enum NodeValue {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

impl Node {
    /// Says in words what the value is.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            NodeValue::Null => "nothing (null)",
            NodeValue::Bool(_) => "a boolean",
            NodeValue::Number(number) if number.is_f64() => "a number with a fraction",
            NodeValue::Number(_) => "a whole number",
            NodeValue::Text(_) => "a text",
            NodeValue::List(_) => "a list",
            NodeValue::Object(_) => "an object",
        }
    }

    pub(crate) fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            NodeValue::Object(entries) => Some(entries),
            _ => None,
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let found = self.entries()?.iter().find(|entry| entry.key == key)?;
        Some(&found.node)
    }

    /// Gives the value as JSON.
    pub(crate) fn to_value(&self) -> Value {
        match &self.value {
            NodeValue::Null => Value::Null,
            NodeValue::Bool(value) => Value::Bool(*value),
            NodeValue::Number(number) => Value::Number(number.clone()),
            NodeValue::Text(text) => Value::String(text.clone()),
            NodeValue::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            NodeValue::Object(entries) => {
                let mut object = Map::with_capacity(entries.len());
                for entry in entries {
                    object.insert(entry.key.clone(), entry.node.to_value());
                }
                Value::Object(object)
            }
        }
    }

    /// Finds the node at a JSON pointer.
    pub(crate) fn find(&self, pointer: &str) -> Option<&Self> {
        self.find_with_key(pointer).map(|(node, _)| node)
    }

    /// Finds the node at a JSON pointer and its key, if it is a member of an object.
    pub(crate) fn find_with_key(&self, pointer: &str) -> Option<(&Self, Option<Span>)> {
        let mut node = self;
        let mut key = None;
        for segment in pointer.split('/').skip(1) {
            match &node.value {
                NodeValue::Object(entries) => {
                    let name = segment.replace("~1", "/").replace("~0", "~");
                    let entry = entries.iter().find(|entry| entry.key == name)?;
                    key = Some(entry.key_span);
                    node = &entry.node;
                }
                NodeValue::List(items) => {
                    key = None;
                    node = items.get(segment.parse::<usize>().ok()?)?;
                }
                _ => return None,
            }
        }
        Some((node, key))
    }
}
