//! The simple parts that records consist of: texts, numbers, lists, maps.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::parse::{Node, NodeValue};
use super::record::{Part, Reader};

impl Part for Value {
    fn read(node: &Node, _reader: &mut Reader) -> Option<Self> {
        Some(node.to_value())
    }

    fn write(&self) -> Value {
        self.clone()
    }
}

impl Part for Map<String, Value> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match node.to_value() {
            Value::Object(object) => Some(object),
            _ => {
                reader.wrong_type("an object", node);
                None
            }
        }
    }

    fn write(&self) -> Value {
        Value::Object(self.clone())
    }
}

impl Part for String {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        reader.text("a text", node).map(str::to_owned)
    }

    fn write(&self) -> Value {
        Value::String(self.clone())
    }

    fn unreadable() -> Option<Self> {
        Some(Self::new())
    }
}

impl Part for bool {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match node.value {
            NodeValue::Bool(value) => Some(value),
            _ => {
                reader.wrong_type("a boolean (true or false)", node);
                None
            }
        }
    }

    fn write(&self) -> Value {
        Value::Bool(*self)
    }
}

impl Part for i64 {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let number = match &node.value {
            NodeValue::Number(number) => number.as_i64(),
            _ => None,
        };
        if number.is_none() {
            reader.wrong_type("a whole number", node);
        }
        number
    }

    fn write(&self) -> Value {
        Value::from(*self)
    }
}

impl<T: Part> Part for Box<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        T::read(node, reader).map(Self::new)
    }

    fn write(&self) -> Value {
        (**self).write()
    }
}

/// A list, with something else in place of members that cannot be read.
impl<T: Part> Part for Vec<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let NodeValue::List(items) = &node.value else {
            reader.wrong_type("a list", node);
            return None;
        };
        let mut read = Self::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let item = reader.within(&index.to_string(), |reader| T::read(item, reader));
            read.extend(item.or_else(T::unreadable));
        }
        (read.len() == items.len()).then_some(read)
    }

    fn write(&self) -> Value {
        Value::Array(self.iter().map(Part::write).collect())
    }
}

/// Named members; one that cannot be read is left out.
impl<T: Part> Part for IndexMap<String, T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let NodeValue::Object(entries) = &node.value else {
            reader.wrong_type("an object of names and values", node);
            return None;
        };
        let mut read = Self::with_capacity(entries.len());
        for entry in entries {
            let value = reader.within(&entry.key, |reader| T::read(&entry.node, reader));
            if let Some(value) = value.or_else(T::unreadable) {
                read.insert(entry.key.clone(), value);
            }
        }
        Some(read)
    }

    fn write(&self) -> Value {
        let entries = self.iter().map(|(key, value)| (key.clone(), value.write()));
        Value::Object(entries.collect())
    }
}
