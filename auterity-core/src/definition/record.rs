//! Reading typed records from nodes and writing them back.
//!
//! One table per object of the standard's schema gives the struct, its reader
//! and its writer, so that the three cannot disagree. Reading goes on after a
//! mistake: an optional part that cannot be read counts as absent, so that all
//! mistakes of a definition are found together.

use serde_json::{Map, Value};

use super::mistake::{Finding, Place, did_you_mean, pointer_push, suggestion};
use super::parse::{Entry, Node, NodeValue};

/// Something that a definition consists of.
pub(crate) trait Part: Sized {
    /// Reads it; `None` means that at least one mistake was reported.
    fn read(node: &Node, reader: &mut Reader) -> Option<Self>;
    /// Writes it as JSON.
    fn write(&self) -> Value;
    /// Gives what stands for a member of a list that cannot be read, so that the
    /// others keep their places; without it, the whole list counts as unreadable.
    fn unreadable() -> Option<Self> {
        None
    }
}

/// Where reading stands, and what was found wrong so far.
#[derive(Debug)]
pub(crate) struct Reader {
    pointer: String,
    findings: Vec<Finding>,
    findings_max: usize,
}

impl Reader {
    pub(crate) fn new(findings_max: usize) -> Self {
        Self {
            pointer: String::new(),
            findings: Vec::new(),
            findings_max,
        }
    }

    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }

    /// Tells whether no more mistakes are taken.
    fn is_full(&self) -> bool {
        self.findings_max <= self.findings.len()
    }

    /// Reads a member of the current value.
    pub(crate) fn within<R>(&mut self, segment: &str, read: impl FnOnce(&mut Self) -> R) -> R {
        let length = self.pointer.len();
        pointer_push(&mut self.pointer, segment);
        let result = read(self);
        self.pointer.truncate(length);
        result
    }

    /// Reports a mistake at the current value.
    pub(crate) fn report(&mut self, code: &'static str, message: String, hint: &str) {
        self.report_at(code, Place::Value, message, hint);
    }

    pub(crate) fn report_at(
        &mut self,
        code: &'static str,
        place: Place,
        message: String,
        hint: &str,
    ) {
        if !self.is_full() {
            let mut finding = Finding::new(code, self.pointer.clone(), place, message);
            if !hint.is_empty() {
                finding = finding.with_hint(hint);
            }
            self.findings.push(finding);
        }
    }

    /// Reports a value of the wrong type.
    pub(crate) fn wrong_type(&mut self, expected: &str, node: &Node) {
        let hint = match node.value {
            NodeValue::Null => "give it a value, or remove it",
            NodeValue::Number(_) | NodeValue::Bool(_) if expected.starts_with("a text") => {
                "put it in quotes"
            }
            NodeValue::Text(_) if expected.contains("number") || expected.contains("boolean") => {
                "write it without quotes"
            }
            _ if expected.starts_with("a duration") => "write it as PT5S or { seconds: 5 }",
            NodeValue::Object(_) if expected.starts_with("a list") => {
                "start each member with a dash: `- name:`"
            }
            _ if expected.starts_with("a list") => {
                "write it as [a, b], or each member after a dash"
            }
            NodeValue::List(_) if expected.starts_with("an object") => {
                "write names and values without dashes: `name: value`"
            }
            _ if expected.starts_with("an object") => {
                "write it as `name: value`, or { name: value }"
            }
            _ => "give a value of that type",
        };
        let message = format!("expected {expected}, found {}", node.kind());
        self.report("wrong_type", message, hint);
    }

    /// Gives a text's content, or reports what else is there.
    pub(crate) fn text<'n>(&mut self, expected: &str, node: &'n Node) -> Option<&'n str> {
        match &node.value {
            NodeValue::Text(text) => Some(text),
            _ => {
                self.wrong_type(expected, node);
                None
            }
        }
    }

    /// Opens an object to take its properties.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &'static str,
    ) -> Option<Fields<'n, '_>> {
        match &node.value {
            NodeValue::Object(entries) => Some(Fields {
                entries,
                what,
                names: Vec::new(),
                reader: self,
            }),
            _ => {
                self.wrong_type(&format!("an object ({what})"), node);
                None
            }
        }
    }
}

/// An object whose properties are being taken.
#[derive(Debug)]
pub(crate) struct Fields<'n, 'r> {
    entries: &'n [Entry],
    what: &'static str,
    names: Vec<&'static str>,
    pub(crate) reader: &'r mut Reader,
}

impl<'n> Fields<'n, '_> {
    /// Says more exactly what the object is.
    pub(crate) fn rename(&mut self, what: &'static str) {
        self.what = what;
    }

    /// Gives a property's node without taking it.
    pub(crate) fn peek(&self, name: &str) -> Option<&'n Node> {
        let found = self.entries.iter().find(|entry| entry.key == name)?;
        Some(&found.node)
    }

    /// Takes a property that may be absent.
    pub(crate) fn optional<T: Part>(&mut self, name: &'static str) -> Option<T> {
        self.names.push(name);
        let node = self.peek(name)?;
        self.reader.within(name, |reader| T::read(node, reader))
    }

    /// Takes a property that must be there.
    pub(crate) fn required<T: Part>(&mut self, name: &'static str) -> Option<T> {
        if self.peek(name).is_none() {
            self.missing(name);
        }
        self.optional(name)
    }

    /// Takes a property that must be there, and goes on without it where it is not.
    pub(crate) fn lenient<T: Part + Default>(&mut self, name: &'static str) -> T {
        self.required(name).unwrap_or_default()
    }

    /// Reports that a property is missing.
    pub(crate) fn missing(&mut self, name: &str) {
        let what = self.what;
        // A property that was taken already is what it says.
        let unknown = self.entries.iter().map(|entry| entry.key.as_str());
        let unknown = unknown.filter(|key| !self.names.contains(key));
        let hint = match did_you_mean(name, unknown) {
            Some(near) => format!("there is \"{near}\"; is it misspelt?"),
            None => format!("add `{name}:`"),
        };
        let message = format!("{what} needs \"{name}\"");
        self.reader
            .report_at("missing_property", Place::Key, message, &hint);
    }

    /// Reports that none of several properties is there.
    pub(crate) fn missing_one_of(&mut self, names: &[&'static str]) {
        self.names.extend(names);
        let what = self.what;
        let near = self.entries.iter().find_map(|entry| {
            let near = did_you_mean(&entry.key, names.iter().copied())?;
            Some(format!("did you mean \"{near}\" by \"{}\"?", entry.key))
        });
        let hint = near.unwrap_or_else(|| format!("add `{}:`", names.first().unwrap_or(&"")));
        let message = format!("{what} needs one of these: {}", names.join(", "));
        self.reader
            .report_at("missing_property", Place::Key, message, &hint);
    }

    /// Ends an object that has no other properties than those taken.
    pub(crate) fn close(self) {
        for entry in self.entries {
            if self.names.contains(&entry.key.as_str()) || self.reader.is_full() {
                continue;
            }
            let hint = suggestion(&entry.key, self.names.iter().copied(), "other property");
            let message = format!("{} has no property \"{}\"", self.what, entry.key);
            self.reader.within(&entry.key, |reader| {
                reader.report_at("unknown_property", Place::Key, message, &hint);
            });
        }
    }

    /// Ends an object that may have other properties, and gives those.
    pub(crate) fn rest(self) -> Map<String, Value> {
        self.entries
            .iter()
            .filter(|entry| !self.names.contains(&entry.key.as_str()))
            .map(|entry| (entry.key.clone(), entry.node.to_value()))
            .collect()
    }
}

/// Says what an object may have beside its named properties.
pub(crate) trait Rest: Sized {
    fn take(fields: Fields<'_, '_>) -> Self;
    fn put(&self, object: &mut Map<String, Value>);
}

/// Nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

impl Rest for Closed {
    fn take(fields: Fields<'_, '_>) -> Self {
        fields.close();
        Self
    }

    fn put(&self, _object: &mut Map<String, Value>) {}
}

/// Anything else, which is kept.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Open(pub(crate) Map<String, Value>);

impl Rest for Open {
    fn take(fields: Fields<'_, '_>) -> Self {
        Self(fields.rest())
    }

    fn put(&self, object: &mut Map<String, Value>) {
        for (key, value) in &self.0 {
            object.insert(key.clone(), value.clone());
        }
    }
}

/// Makes a struct with reader and writer from a table of its properties.
///
/// `required` must be there, `optional` may be absent, and `lenient` must be
/// there but is replaced by its default when it is not, so that reading goes on.
macro_rules! record {
    (
        $(#[$doc:meta])*
        $name:ident: $rest:ty, $what:literal {
            $( $presence:ident $field:ident: $type:ty = $key:literal ),* $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct $name {
            $( pub(crate) $field: $crate::definition::record::record!(@type $presence $type), )*
            pub(crate) rest: $rest,
        }

        impl $crate::definition::record::Part for $name {
            fn read(
                node: &$crate::definition::parse::Node,
                reader: &mut $crate::definition::record::Reader,
            ) -> Option<Self> {
                let mut fields = reader.fields(node, $what)?;
                $( let $field = $crate::definition::record::record!(@read $presence fields $key); )*
                let rest = <$rest as $crate::definition::record::Rest>::take(fields);
                Some(Self {
                    $( $field: $crate::definition::record::record!(@unwrap $presence $field), )*
                    rest,
                })
            }

            fn write(&self) -> serde_json::Value {
                let mut object = serde_json::Map::new();
                $( $crate::definition::record::record!(
                    @write $presence object $key &self.$field
                ); )*
                $crate::definition::record::Rest::put(&self.rest, &mut object);
                serde_json::Value::Object(object)
            }
        }
    };
    (@type optional $type:ty) => { Option<$type> };
    (@type $presence:ident $type:ty) => { $type };
    (@read $presence:ident $fields:ident $key:literal) => { $fields.$presence($key) };
    (@unwrap optional $field:ident) => { $field };
    (@unwrap lenient $field:ident) => { $field };
    (@unwrap required $field:ident) => { $field? };
    (@write optional $object:ident $key:literal $value:expr) => {
        if let Some(value) = $value {
            $object.insert($key.to_owned(), $crate::definition::record::Part::write(value));
        }
    };
    (@write $presence:ident $object:ident $key:literal $value:expr) => {
        $object.insert($key.to_owned(), $crate::definition::record::Part::write($value));
    };
}
pub(crate) use record;

/// Makes an enum of fixed words with reader and writer.
macro_rules! words {
    (
        $(#[$doc:meta])*
        $name:ident, $what:literal { $( $variant:ident = $word:literal ),* $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $name {
            $( $variant, )*
        }

        impl $crate::definition::record::Part for $name {
            fn read(
                node: &$crate::definition::parse::Node,
                reader: &mut $crate::definition::record::Reader,
            ) -> Option<Self> {
                const KNOWN: &[&str] = &[$( $word ),*];
                let text = reader.text(concat!("a text (", $what, ")"), node)?;
                match text {
                    $( $word => Some(Self::$variant), )*
                    other => {
                        $crate::definition::record::bad_word(reader, $what, other, KNOWN);
                        None
                    }
                }
            }

            fn write(&self) -> serde_json::Value {
                let word = match self {
                    $( Self::$variant => $word, )*
                };
                serde_json::Value::String(word.to_owned())
            }
        }
    };
}
pub(crate) use words;

/// Reports a word that is not among the possible ones.
pub(crate) fn bad_word(reader: &mut Reader, what: &str, given: &str, known: &[&str]) {
    let message = format!("\"{given}\" is no {what}; possible: {}", known.join(", "));
    let hint = match did_you_mean(given, known.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "use one of the possible words".to_owned(),
    };
    reader.report("bad_value", message, &hint);
}
