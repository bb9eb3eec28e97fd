//! What every adapter checks before it writes, so that all refuse the same.

use std::collections::HashSet;

use crate::store::{
    Amend, DefinitionRow, Entry, GATES_MAX, Gate, HumanTaskChange, HumanTaskUpdate, MessageKind,
    Next, ScheduleRow, Subscription,
};
use crate::{Error, ErrorKind};

/// Bytes of one JSON text: payload, state, input, output.
pub const TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Bytes of a name, a version, an idempotency key, or of an attribute's name or
/// value: these are parts of index keys, which databases bound.
pub const NAME_BYTES_MAX: usize = 1024;

/// Gives the reason why an entry cannot be taken, for each entry of a batch.
pub(crate) fn batch(fenced: bool, entries: &[Entry]) -> Vec<Option<String>> {
    let mut seen = HashSet::with_capacity(entries.len());
    entries
        .iter()
        .map(|entry| {
            if !seen.insert(entry.execution) {
                return Some("a batch holds at most one entry per execution".to_owned());
            }
            check_entry(fenced, entry).err()
        })
        .collect()
}

/// Checks a definition before it is put.
pub(crate) fn definition(row: &DefinitionRow) -> Result<(), Error> {
    let workflow = &row.workflow;
    let checked = name("the namespace", &workflow.namespace)
        .and_then(|()| name("the name", &workflow.name))
        .and_then(|()| name("the version", &workflow.version))
        .and_then(|()| text("the text", &row.text))
        .and_then(|()| text("the title", row.title.as_deref().unwrap_or_default()))
        .and_then(|()| text("the summary", row.summary.as_deref().unwrap_or_default()))
        .and_then(|()| match &row.externals {
            Some(externals) => text("what the text takes from elsewhere", externals),
            None => Ok(()),
        });
    checked.map_err(|reason| Error::new(ErrorKind::Invalid, reason))
}

/// Checks an amendment before it is written.
pub(crate) fn amend(amend: &Amend) -> Result<(), Error> {
    let workflow = &amend.workflow;
    let mut expected = amend.after;
    let checked = name("the version", &workflow.version)
        .and_then(|()| check_gates(&amend.gates))
        .and_then(|()| text("the state", &amend.snapshot.state))
        .and_then(|()| text("the input", amend.input.as_deref().unwrap_or_default()))
        .and_then(|()| {
            for event in &amend.events {
                expected += 1;
                number("a sequence number", event.sequence)?;
                if event.sequence != expected {
                    return Err("the events do not follow the last one".to_owned());
                }
                text("an event", &event.payload)?;
                text("the records of an event", &event.records)?;
            }
            for one in &amend.subscribe {
                number("an effect's number", one.effect)?;
                text("a filter", &one.condition)?;
            }
            check_human_tasks(&amend.human_tasks)?;
            for message in &amend.messages {
                text("a message", &message.payload)?;
            }
            Ok(())
        });
    checked.map_err(|reason| Error::new(ErrorKind::Invalid, reason))
}

/// Checks a schedule before it is put.
pub(crate) fn schedule(row: &ScheduleRow) -> Result<(), Error> {
    let spec = &row.spec;
    let checked = name("the name", &row.name)
        .and_then(|()| name("the key", &row.key))
        .and_then(|()| name("the namespace", &spec.namespace))
        .and_then(|()| name("the workflow", &spec.workflow))
        .and_then(|()| name("the version", spec.version.as_deref().unwrap_or_default()));
    checked.map_err(|reason| Error::new(ErrorKind::Invalid, reason))
}

/// Checks what somebody does with a human task before it is written.
pub(crate) fn human_task(update: &HumanTaskUpdate) -> Result<(), Error> {
    let answer = update.answer.as_deref().unwrap_or_default();
    let details = update.note.details.as_deref().unwrap_or_default();
    let message = update.message.as_ref();
    let payload = message.map_or("", |message| &*message.payload);
    let checked = number("a revision", update.revision)
        .and_then(|()| text("the answer", answer))
        .and_then(|()| text("a note", details))
        .and_then(|()| text("a message", payload))
        .and_then(|()| check_audiences(&update.audiences));
    checked.map_err(|reason| Error::new(ErrorKind::Invalid, reason))
}

/// Gives the bytes that an entry brings, roughly.
pub(crate) fn entry_bytes(entry: &Entry) -> usize {
    let events = entry
        .events
        .iter()
        .map(|event| event.payload.len() + event.records.len() + 64);
    let messages = entry.messages.iter().map(|message| message.payload.len());
    let asks = entry.human_tasks.iter();
    let asks = asks.filter_map(|change| change.ask.as_ref().map(|ask| ask.details.len()));
    let subscribed = entry.subscribe.iter().map(|one| one.condition.len());
    let start = entry.start.as_ref().map_or(0, |start| start.input.len());
    let state = entry.snapshot.as_ref().map_or(0, |kept| kept.state.len());
    let end = match &entry.next {
        Next::Ended(ended) => {
            let length = |text: &Option<std::sync::Arc<str>>| text.as_ref().map_or(0, |t| t.len());
            length(&ended.output) + length(&ended.error)
        }
        _ => 0,
    };
    let parts: usize = events.chain(messages).chain(subscribed).chain(asks).sum();
    parts + start + state + end
}

/// Gives the event type as far as it can be an index key. Without one the
/// subscription is offered every event of the tenant, and its filter decides.
pub(crate) fn event_type_key(subscription: &Subscription) -> Option<&str> {
    subscription
        .event_type
        .as_deref()
        .filter(|word| word.len() <= NAME_BYTES_MAX && !word.as_bytes().contains(&0))
}

/// Gives words that are for people only as databases take them.
pub(crate) fn without_nulls(words: &str) -> String {
    words.replace('\0', "\u{fffd}")
}

fn check_entry(fenced: bool, entry: &Entry) -> Result<(), String> {
    if !fenced && entry.start.is_none() {
        return Err("only a worker with a lease appends to an execution".to_owned());
    }
    check_start(entry)?;
    check_events(entry)?;
    if let Some(snapshot) = &entry.snapshot {
        number("the snapshot's sequence number", snapshot.sequence)?;
        text("the state", &snapshot.state)?;
    }
    for one in &entry.subscribe {
        check_subscription(entry, one)?;
    }
    for effect in &entry.unsubscribe {
        number("an effect's number", *effect)?;
    }
    check_human_tasks(&entry.human_tasks)?;
    for message in &entry.messages {
        if message.tenant != entry.tenant {
            return Err("a message does not leave its tenant".to_owned());
        }
        number("an effect's number", message.effect.unwrap_or(0))?;
        text("a message", &message.payload)?;
        debug_assert!(MessageKind::from_word(message.kind.as_str()).is_some());
    }
    match &entry.next {
        Next::Owned if !fenced => Err("only a worker with a lease owns executions".to_owned()),
        Next::Ended(ended) if !ended.status.is_ended() => {
            Err("an execution ends completed, faulted or cancelled".to_owned())
        }
        Next::Ended(ended) => {
            let output = ended.output.as_deref().unwrap_or_default();
            let error = ended.error.as_deref().unwrap_or_default();
            text("the output", output)?;
            text("the error", error)
        }
        Next::Owned | Next::Queued | Next::Parked { .. } => Ok(()),
    }
}

fn check_start(entry: &Entry) -> Result<(), String> {
    let Some(start) = &entry.start else {
        return Ok(());
    };
    name("the namespace", &start.workflow.namespace)?;
    name("the name", &start.workflow.name)?;
    name("the version", &start.workflow.version)?;
    text("the input", &start.input)?;
    let key = start.idempotency_key.as_deref().unwrap_or_default();
    name("the idempotency key", key)?;
    for (attribute, value) in &start.attributes {
        name("the name of an attribute", attribute)?;
        name("the value of an attribute", value)?;
    }
    if !start.gates.is_empty() && entry.next != Next::Queued {
        return Err("only a start that queues has gates".to_owned());
    }
    check_gates(&start.gates)?;
    let effect = start.parent.and_then(|parent| parent.effect);
    number("an effect's number", effect.unwrap_or(0))
}

fn check_gates(gates: &[Gate]) -> Result<(), String> {
    if GATES_MAX < gates.len() {
        return Err(format!("an execution passes at most {GATES_MAX} gates"));
    }
    for gate in gates {
        name("the name of a rule", &gate.rule)?;
        name("the value of a gate", &gate.value)?;
    }
    Ok(())
}

fn check_events(entry: &Entry) -> Result<(), String> {
    let mut expected = None;
    for event in &entry.events {
        number("a sequence number", event.sequence)?;
        let follows = expected.is_none_or(|expected| expected == event.sequence);
        if event.sequence == 0 || !follows {
            return Err("sequence numbers start at 1 and have no gaps".to_owned());
        }
        expected = Some(event.sequence + 1);
        text("an event", &event.payload)?;
        text("the records of an event", &event.records)?;
    }
    Ok(())
}

fn check_human_tasks(changes: &[HumanTaskChange]) -> Result<(), String> {
    let mut seen = HashSet::with_capacity(changes.len());
    for change in changes {
        if !seen.insert(change.id) {
            return Err("an entry changes a human task once at most".to_owned());
        }
        number("an effect's number", change.effect)?;
        check_audiences(&change.escalate)?;
        if let Some(ask) = &change.ask {
            name("the version", &ask.workflow.version)?;
            text("the title of a human task", &ask.title)?;
            text("what a human task says", &ask.details)?;
            check_audiences(&ask.audiences)?;
        }
    }
    Ok(())
}

fn check_audiences(audiences: &[String]) -> Result<(), String> {
    let mut audiences = audiences.iter();
    audiences.try_for_each(|audience| name("an audience", audience))
}

fn check_subscription(entry: &Entry, one: &Subscription) -> Result<(), String> {
    if one.tenant != entry.tenant || one.execution != entry.execution {
        return Err("an entry subscribes for its own execution only".to_owned());
    }
    number("an effect's number", one.effect)?;
    text("a filter", &one.condition)
}

fn number(what: &str, value: u64) -> Result<(), String> {
    match i64::try_from(value) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("{what} is too large")),
    }
}

fn name(what: &str, value: &str) -> Result<(), String> {
    if NAME_BYTES_MAX < value.len() {
        return Err(format!("{what} is longer than {NAME_BYTES_MAX} bytes"));
    }
    without_null(what, value)
}

fn text(what: &str, value: &str) -> Result<(), String> {
    if TEXT_BYTES_MAX < value.len() {
        return Err(format!("{what} is longer than {TEXT_BYTES_MAX} bytes"));
    }
    without_null(what, value)
}

/// Databases do not take the null character. JSON texts never hold it as such, only
/// escaped, which is fine.
fn without_null(what: &str, value: &str) -> Result<(), String> {
    if value.as_bytes().contains(&0) {
        return Err(format!("{what} holds a null character"));
    }
    Ok(())
}
