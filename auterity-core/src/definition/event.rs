//! Events: what is emitted, and what is waited for.

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::data::{Export, Output};
use super::parse::{Node, NodeValue};
use super::record::{Closed, Open, Part, Reader, record, words};
use super::task::TaskList;
use super::text::{TimeOrExpression, UriOrExpression};
use super::union::one_of;

record! {
    /// The attributes of an event, all optional: what a filter asks for.
    EventProperties: Open, "the event's attributes" {
        optional id: String = "id",
        optional source: UriOrExpression = "source",
        optional kind: String = "type",
        optional time: TimeOrExpression = "time",
        optional subject: String = "subject",
        optional datacontenttype: String = "datacontenttype",
        optional dataschema: UriOrExpression = "dataschema",
        optional data: Value = "data",
    }
}

record! {
    /// The attributes of an event that is emitted.
    EmitProperties: Open, "an event that is emitted" {
        optional id: String = "id",
        required source: UriOrExpression = "source",
        required kind: String = "type",
        optional time: TimeOrExpression = "time",
        optional subject: String = "subject",
        optional datacontenttype: String = "datacontenttype",
        optional dataschema: UriOrExpression = "dataschema",
        optional data: Value = "data",
    }
}

record! {
    /// What an emit task does.
    Emit: Closed, "emit" {
        required event: EmitEvent = "event",
    }
}

record! {
    /// The event that is emitted.
    EmitEvent: Open, "the event" {
        required with: EmitProperties = "with",
    }
}

record! {
    /// Selects events.
    EventFilter: Closed, "an event filter" {
        required with: EventProperties = "with",
        optional correlate: IndexMap<String, Correlation> = "correlate",
    }
}

record! {
    /// Links events to data.
    Correlation: Open, "a correlation" {
        required from: String = "from",
        optional expect: String = "expect",
    }
}

record! {
    /// What a listen task does.
    Listen: Closed, "listen" {
        required to: Strategy = "to",
        optional read: ReadAs = "read",
    }
}

words! {
    /// What of an event is given on.
    ReadAs, "way to read an event" {
        Data = "data",
        Envelope = "envelope",
        Raw = "raw",
    }
}

record! {
    /// What is done with each event.
    SubscriptionIterator: Closed, "foreach" {
        optional item: String = "item",
        optional at: String = "at",
        optional tasks: TaskList = "do",
        optional output: Output = "output",
        optional export: Export = "export",
    }
}

/// Which events are waited for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Strategy {
    All(Vec<EventFilter>),
    Any {
        filters: Vec<EventFilter>,
        until: Option<Until>,
    },
    One(Box<EventFilter>),
}

/// When to stop waiting for any event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Until {
    Condition(String),
    Events(Box<Strategy>),
}

impl Part for Strategy {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        let mut fields = reader.fields(node, "the choice of events")?;
        let strategy = match one_of(&mut fields, &["one", "any", "all"]) {
            Some("one") => fields.optional("one").map(Self::One),
            Some("all") => fields.optional("all").map(Self::All),
            Some(_) => {
                let filters = fields.optional("any");
                let until = fields.optional("until");
                filters.map(|filters| Self::Any { filters, until })
            }
            None => return None,
        };
        fields.close();
        strategy
    }

    fn write(&self) -> Value {
        let mut object = Map::new();
        match self {
            Self::All(filters) => {
                object.insert("all".to_owned(), filters.write());
            }
            Self::Any { filters, until } => {
                object.insert("any".to_owned(), filters.write());
                if let Some(until) = until {
                    object.insert("until".to_owned(), until.write());
                }
            }
            Self::One(filter) => {
                object.insert("one".to_owned(), filter.write());
            }
        }
        Value::Object(object)
    }
}

impl Part for Until {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.value {
            NodeValue::Text(condition) => Some(Self::Condition(condition.clone())),
            NodeValue::Object(_) => {
                let strategy = Strategy::read(node, reader)?;
                if let Strategy::Any { until: Some(_), .. } = strategy {
                    let message = "\"until\" cannot have an \"until\" of its own".to_owned();
                    reader.report("contradiction", message, "remove the inner one");
                    return None;
                }
                Some(Self::Events(Box::new(strategy)))
            }
            _ => {
                reader.wrong_type("an expression (text) or events (object)", node);
                None
            }
        }
    }

    fn write(&self) -> Value {
        match self {
            Self::Condition(condition) => Value::String(condition.clone()),
            Self::Events(strategy) => strategy.write(),
        }
    }
}
