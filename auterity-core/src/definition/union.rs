//! Values that have one of several forms.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::mistake::Place;
use super::parse::{Node, NodeValue};
use super::record::{Fields, Part, Reader};
use super::text::RuntimeExpression;

/// Finds the one property that is there; reports none or several.
pub(crate) fn one_of(fields: &mut Fields<'_, '_>, names: &[&'static str]) -> Option<&'static str> {
    let mut found = names
        .iter()
        .copied()
        .filter(|name| fields.peek(name).is_some());
    let Some(first) = found.next() else {
        fields.missing_one_of(names);
        return None;
    };
    let Some(second) = found.next() else {
        return Some(first);
    };
    let message = format!("\"{first}\" and \"{second}\" exclude each other");
    fields.reader.within(second, |reader| {
        reader.report_at("contradiction", Place::Key, message, "keep one of them");
    });
    None
}

/// An object, or a text that is an expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ObjectOrText {
    Object(Map<String, Value>),
    Text(String),
}

impl Part for ObjectOrText {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match node.to_value() {
            Value::Object(object) => Some(Self::Object(object)),
            Value::String(text) => Some(Self::Text(text)),
            _ => {
                reader.wrong_type("an object or a text with an expression", node);
                None
            }
        }
    }

    fn write(&self) -> Value {
        match self {
            Self::Object(object) => Value::Object(object.clone()),
            Self::Text(text) => Value::String(text.clone()),
        }
    }
}

/// Named texts, or an expression that gives them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TextsOrExpression {
    Texts(IndexMap<String, String>),
    Expression(RuntimeExpression),
}

impl Part for TextsOrExpression {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            NodeValue::Text(_) => RuntimeExpression::read(node, reader).map(Self::Expression),
            NodeValue::Object(_) => IndexMap::read(node, reader).map(Self::Texts),
            _ => {
                reader.wrong_type("an object of texts or an expression", node);
                None
            }
        }
    }

    fn write(&self) -> Value {
        match self {
            Self::Texts(texts) => texts.write(),
            Self::Expression(expression) => expression.write(),
        }
    }
}

/// A member of a list that is an object with one property: its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named<T> {
    pub(crate) name: String,
    pub(crate) value: T,
}

impl<T: Part> Part for Named<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let NodeValue::Object(entries) = &node.value else {
            reader.wrong_type("an object with one name and its value", node);
            return None;
        };
        let Some(first) = entries.first() else {
            let message = "the member of the list has no name".to_owned();
            reader.report(
                "missing_name",
                message,
                "write it as `- name:` with the content below",
            );
            return None;
        };
        if let Some(second) = entries.get(1) {
            let message = format!(
                "the member \"{}\" of the list has a second property \"{}\"",
                first.key, second.key
            );
            let hint = "indent it deeper if it belongs to the first, or give it its own dash";
            reader.within(&second.key, |reader| {
                reader.report_at("several_names", Place::Key, message, hint);
            });
        }
        let value = reader.within(&first.key, |reader| T::read(&first.node, reader));
        let value = value.or_else(T::unreadable)?;
        Some(Self {
            name: first.key.clone(),
            value,
        })
    }

    fn write(&self) -> Value {
        let mut object = Map::new();
        object.insert(self.name.clone(), self.value.write());
        Value::Object(object)
    }

    fn unreadable() -> Option<Self> {
        let value = T::unreadable()?;
        Some(Self {
            name: String::new(),
            value,
        })
    }
}
