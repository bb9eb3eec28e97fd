//! Task records as the journal keeps them: without what the row or the record itself
//! says already. Most of a journal would otherwise be names and times.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{EffectResult, Event, Problem, TaskRecord, TaskState};

/// Places stand for the states.
const STATES: [TaskState; 6] = [
    TaskState::Started,
    TaskState::Completed,
    TaskState::Faulted,
    TaskState::Cancelled,
    TaskState::Skipped,
    TaskState::Retrying,
];

/// A record as an array: state, pointer, kind, the activation's path without the pointer
/// that it begins with, microseconds from the row's time to the record's and from there
/// back to the task's beginning, attempt, whether announced, and the rest.
#[derive(Serialize, Deserialize)]
struct Brief<'r>(
    usize,
    #[serde(borrow)] Cow<'r, str>,
    #[serde(borrow)] Cow<'r, str>,
    #[serde(borrow)] Cow<'r, str>,
    i64,
    i64,
    u32,
    u8,
    Rest<'r>,
);

/// What only some records have.
#[derive(Serialize, Deserialize)]
struct Rest<'r> {
    /// The name, unless it is the last part of the pointer.
    #[serde(rename = "n", borrow, default, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'r, str>>,
    /// Whether the output is what the row's event gave.
    #[serde(rename = "g", default, skip_serializing_if = "std::ops::Not::not")]
    given: bool,
    #[serde(
        rename = "o",
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    output: Option<Cow<'r, Value>>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    error: Option<Cow<'r, Problem>>,
}

/// Writes the records that followed from an event at a time.
///
/// # Errors
/// What the JSON writer says.
pub(crate) fn write(
    records: &[TaskRecord],
    event: &Event,
    at: Timestamp,
) -> Result<String, serde_json::Error> {
    let given = given(event);
    let brief: Vec<Brief<'_>> = records
        .iter()
        .map(|record| shorten(record, given, at))
        .collect();
    serde_json::to_string(&brief)
}

/// Reads the records of a row whose event is given as its JSON text.
///
/// # Errors
/// What the JSON reader says; or the text was written by something else.
pub(crate) fn read(
    text: &str,
    event: &str,
    at: Timestamp,
) -> Result<Vec<TaskRecord>, serde_json::Error> {
    let brief: Vec<Brief<'_>> = serde_json::from_str(text)?;
    let given = if brief.iter().any(|Brief(.., rest)| rest.given) {
        given(&serde_json::from_str(event)?).cloned()
    } else {
        None
    };
    brief
        .into_iter()
        .map(|brief| lengthen(brief, given.as_ref(), at))
        .collect()
}

/// What the event gave a task.
fn given(event: &Event) -> Option<&Value> {
    match event.cause() {
        Event::EffectEnded {
            result: EffectResult::Value(value),
            ..
        }
        | Event::ChildEnded {
            result: EffectResult::Value(value),
            ..
        } => Some(value),
        Event::HumanTaskCompleted { answer, .. } => Some(answer),
        _ => None,
    }
}

fn shorten<'r>(record: &'r TaskRecord, given: Option<&Value>, at: Timestamp) -> Brief<'r> {
    let path = record.path.strip_prefix(&record.task);
    let path = path.filter(|rest| rest.starts_with('#'));
    let is_given = given.is_some() && record.output.as_ref() == given;
    let name = (record.name != last_part(&record.task)).then_some(Cow::Borrowed(&*record.name));
    Brief(
        STATES
            .iter()
            .position(|state| *state == record.state)
            .unwrap_or(STATES.len()),
        Cow::Borrowed(&record.task),
        Cow::Borrowed(&record.kind),
        Cow::Borrowed(path.unwrap_or(&record.path)),
        record.at.as_microsecond() - at.as_microsecond(),
        record.at.as_microsecond() - record.started_at.as_microsecond(),
        record.attempt,
        u8::from(record.announced),
        Rest {
            name,
            given: is_given,
            output: record
                .output
                .as_ref()
                .filter(|_| !is_given)
                .map(Cow::Borrowed),
            error: record.error.as_ref().map(Cow::Borrowed),
        },
    )
}

fn lengthen(
    brief: Brief<'_>,
    given: Option<&Value>,
    row_at: Timestamp,
) -> Result<TaskRecord, serde_json::Error> {
    let Brief(state, task, kind, path, at, began, attempt, announced, rest) = brief;
    let state = STATES.get(state);
    let state = state.ok_or_else(|| serde_json::Error::custom("no such state"))?;
    let moved = |from: Timestamp, by: i64| {
        from.checked_add(SignedDuration::from_micros(by))
            .map_err(serde_json::Error::custom)
    };
    let at = moved(row_at, at)?;
    let path = if path.starts_with('#') {
        format!("{task}{path}")
    } else {
        path.into_owned()
    };
    let output = if rest.given {
        given.cloned()
    } else {
        rest.output.map(Cow::into_owned)
    };
    Ok(TaskRecord {
        name: rest
            .name
            .map_or_else(|| last_part(&task).into_owned(), Cow::into_owned),
        kind: kind.into_owned(),
        path,
        state: *state,
        at,
        started_at: moved(at, began.saturating_neg())?,
        announced: announced != 0,
        attempt,
        output,
        error: rest.error.map(Cow::into_owned),
        task: task.into_owned(),
    })
}

/// The last part of a JSON pointer, unescaped.
fn last_part(pointer: &str) -> Cow<'_, str> {
    let part = pointer.rsplit('/').next().unwrap_or_default();
    if part.contains('~') {
        Cow::Owned(part.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(part)
    }
}

/// A null is an output, too.
fn present<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'static, Value>>, D::Error> {
    Value::deserialize(deserializer).map(|value| Some(Cow::Owned(value)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::interpreter::ProblemKind;

    fn micros() -> impl Strategy<Value = Timestamp> {
        (0..4_000_000_000_000_000_i64)
            .prop_map(|at| Timestamp::from_microsecond(at).expect("in range"))
    }

    fn values() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(|number| json!(number)),
            ".{0,12}".prop_map(|text| json!({ "text": text })),
        ]
    }

    prop_compose! {
        fn records()(
            parts in prop::collection::vec("[a-z/~#]{0,6}", 0..4),
            name in prop::option::of(".{0,8}"),
            path in prop::option::of("/[a-z]{0,6}"),
            state in 0..STATES.len(),
            (at, started_at) in (micros(), micros()),
            (announced, attempt) in (any::<bool>(), any::<u32>()),
            output in prop::option::of(values()),
            fails in any::<bool>(),
        ) -> TaskRecord {
            let escaped = |part: &String| format!("/{}", part.replace('~', "~0").replace('/', "~1"));
            let task: String = parts.iter().map(escaped).collect();
            let error = fails.then(|| Problem::new(ProblemKind::Runtime, "it broke").at(&task));
            TaskRecord {
                name: name.or_else(|| parts.last().cloned()).unwrap_or_default(),
                kind: "call".to_owned(),
                path: path.unwrap_or_else(|| format!("{task}#7")),
                state: STATES[state],
                at,
                started_at,
                announced,
                attempt,
                output,
                error,
                task,
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_is_read_again(
            records in prop::collection::vec(records(), 0..4), at in micros(), value in values(),
        ) {
            let event = Event::EffectEnded {
                effect: 1,
                result: EffectResult::Value(Arc::new(value)),
            };
            let text = write(&records, &event, at).expect("it is written");
            let event = serde_json::to_string(&event).expect("it is written");
            prop_assert_eq!(records, read(&text, &event, at).expect("it is read"));
        }
    }

    #[test]
    fn little_is_kept_of_an_ordinary_call() {
        let at = Timestamp::UNIX_EPOCH;
        let record = TaskRecord {
            task: "/do/0/first".to_owned(),
            name: "first".to_owned(),
            kind: "call".to_owned(),
            path: "/do/0/first#1".to_owned(),
            state: TaskState::Completed,
            at,
            started_at: at,
            announced: true,
            attempt: 1,
            output: Some(json!({"n": 1})),
            error: None,
        };
        let event = Event::EffectEnded {
            effect: 1,
            result: EffectResult::Value(Arc::new(json!({"n": 1}))),
        };
        let text = write(&[record], &event, at).expect("it is written");
        assert_eq!(
            text,
            r##"[[1,"/do/0/first","call","#1",0,0,1,1,{"g":true}]]"##
        );
    }
}
