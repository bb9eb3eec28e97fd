//! Reads the YAML of doc strings: one document, no anchors, the core schema.
#![expect(
    clippy::panic,
    reason = "what cannot be read fails the test and says where"
)]

use std::borrow::Cow;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

type Events<'s> = std::vec::IntoIter<Event<'s>>;

/// Reads a YAML document as JSON.
pub(crate) fn parse(text: &str) -> Value {
    let events: Vec<Event<'_>> = Parser::new_from_str(text)
        .map(|event| event.expect("the kit's YAML is valid").0)
        .filter(|event| {
            !matches!(
                event,
                Event::Nothing
                    | Event::StreamStart
                    | Event::StreamEnd
                    | Event::DocumentStart(_)
                    | Event::DocumentEnd
            )
        })
        .collect();
    let mut events = events.into_iter();
    let first = events.next().expect("the document is not empty");
    value(first, &mut events)
}

fn value(event: Event<'_>, events: &mut Events<'_>) -> Value {
    match event {
        Event::Scalar(text, ScalarStyle::Plain, _, _) => plain(text),
        Event::Scalar(text, _, _, _) => Value::String(text.into_owned()),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match events.next().expect("the sequence ends") {
                    Event::SequenceEnd => break Value::Array(items),
                    event => items.push(value(event, events)),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut entries = Map::new();
            loop {
                match events.next().expect("the mapping ends") {
                    Event::MappingEnd => break Value::Object(entries),
                    Event::Scalar(key, ..) => {
                        let event = events.next().expect("a key has a value");
                        entries.insert(key.into_owned(), value(event, events));
                    }
                    other => panic!("the kit has no such key: {other:?}"),
                }
            }
        }
        other => panic!("the kit has no such YAML: {other:?}"),
    }
}

fn plain(text: Cow<'_, str>) -> Value {
    match (&*text, text.parse::<i64>(), text.parse::<f64>()) {
        ("" | "~" | "null", _, _) => Value::Null,
        ("true", _, _) => Value::Bool(true),
        ("false", _, _) => Value::Bool(false),
        (_, Ok(integer), _) => Value::from(integer),
        (digits, _, Ok(float)) if digits.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            Value::from(float)
        }
        _ => Value::String(text.into_owned()),
    }
}

#[test]
fn documents_are_read() {
    let text = "a: 1\nb: [x, 'y: z', 2.5, true, ~]\nc:\n  d: \"1\"\n  e: 1.0.0\n";
    let expected = serde_json::json!({
        "a": 1, "b": ["x", "y: z", 2.5, true, null], "c": {"d": "1", "e": "1.0.0"},
    });
    assert_eq!(parse(text), expected);
    assert_eq!(parse("1\n"), serde_json::json!(1));
}
