//! Between rows and records.

use std::sync::Arc;

use jiff::Timestamp;
use sea_orm::{QueryResult, TryGetable};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::types::Uuid;

use crate::definition::{ProgramHash, WorkflowRef};
use crate::interpreter::Event;
use crate::store::{
    Correlation, DefinitionRow, EventRow, ExecutionRow, Gate, InboxMessage, MessageKind, Snapshot,
    Start, Status, Subscription,
};
use crate::{Error, ErrorKind, ExecutionId, InboxId, TenantId};

pub(super) fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}

pub(super) fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Gives what is kept beside a snapshot to see whether it is what was written: the
/// first eight bytes of a SHA-256.
pub(super) fn checksum(snapshot: &Snapshot) -> i64 {
    let mut digest = Sha256::new();
    digest.update(snapshot.sequence.to_be_bytes());
    digest.update(snapshot.format.to_be_bytes());
    digest.update(snapshot.state.as_bytes());
    let mut first = [0_u8; 8];
    first.copy_from_slice(&digest.finalize()[..8]);
    i64::from_be_bytes(first)
}

/// Gives the attributes as one JSON object, if there are any.
pub(super) fn attributes(start: &Start) -> Option<String> {
    if start.attributes.is_empty() {
        return None;
    }
    // A map of texts can always be written.
    serde_json::to_string(&start.attributes).ok()
}

/// Gives the gates as one JSON list, if there are any.
pub(super) fn gates(gates: &[Gate]) -> Option<String> {
    let row = |gate: &Gate| {
        json!({
            "rule": gate.rule,
            "value": gate.value,
            "not_before": gate.not_before.map(micros),
            "since": gate.since.map(micros),
        })
    };
    let rows: Vec<_> = gates.iter().map(row).collect();
    (!rows.is_empty()).then(|| Value::from(rows).to_string())
}

pub(super) fn corrupt(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a row cannot be read: {what}"))
}

pub(super) fn get<T: TryGetable>(row: &QueryResult, column: &str) -> Result<T, Error> {
    row.try_get("", column)
        .map_err(|error| corrupt(column).with_source(error.to_string()))
}

pub(super) fn time(row: &QueryResult, column: &str) -> Result<Timestamp, Error> {
    from_micros(get(row, column)?)
}

pub(super) fn from_micros(value: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(value).map_err(|_| corrupt("a time out of range"))
}

pub(super) fn text(row: &QueryResult, column: &str) -> Result<Arc<str>, Error> {
    get::<String>(row, column).map(Arc::from)
}

pub(super) fn text_or_none(row: &QueryResult, column: &str) -> Result<Option<Arc<str>>, Error> {
    Ok(get::<Option<String>>(row, column)?.map(Arc::from))
}

pub(super) fn tenant(row: &QueryResult) -> Result<TenantId, Error> {
    get::<Uuid>(row, "tenant").map(TenantId::from_uuid)
}

pub(super) fn execution(row: &QueryResult, column: &str) -> Result<ExecutionId, Error> {
    get::<Uuid>(row, column).map(ExecutionId::from_uuid)
}

pub(super) fn effect(row: &QueryResult, column: &str) -> Result<Option<u64>, Error> {
    Ok(get::<Option<i64>>(row, column)?.and_then(|value| u64::try_from(value).ok()))
}

pub(super) fn sequence(row: &QueryResult) -> Result<u64, Error> {
    u64::try_from(get::<i64>(row, "sequence")?).map_err(|_| corrupt("sequence"))
}

pub(super) fn hash(row: &QueryResult, column: &str) -> Result<ProgramHash, Error> {
    let bytes: Vec<u8> = get(row, column)?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| corrupt(column))?;
    Ok(ProgramHash::from_bytes(bytes))
}

pub(super) fn workflow(row: &QueryResult) -> Result<WorkflowRef, Error> {
    Ok(WorkflowRef {
        namespace: get(row, "namespace")?,
        name: get(row, "name")?,
        version: get(row, "version")?,
    })
}

pub(super) fn definition(row: &QueryResult) -> Result<DefinitionRow, Error> {
    Ok(DefinitionRow {
        workflow: workflow(row)?,
        hash: hash(row, "hash")?,
        title: get(row, "title")?,
        summary: get(row, "summary")?,
        text: text(row, "body")?,
        externals: get::<Option<String>>(row, "externals")?.map(Arc::from),
        created_at: time(row, "created_at")?,
    })
}

pub(super) fn event(row: &QueryResult) -> Result<EventRow, Error> {
    let kind: String = get(row, "kind")?;
    Ok(EventRow {
        sequence: sequence(row)?,
        at: time(row, "at")?,
        kind: Event::known_kind(&kind).ok_or_else(|| corrupt("kind"))?,
        payload: text(row, "payload")?,
        records: text(row, "records")?,
    })
}

/// Reads a snapshot, unless it is not what was written.
pub(super) fn snapshot(row: &QueryResult) -> Result<Option<Snapshot>, Error> {
    let snapshot = Snapshot {
        sequence: sequence(row)?,
        format: u16::try_from(get::<i32>(row, "format")?).map_err(|_| corrupt("format"))?,
        state: text(row, "state")?,
    };
    let sound = checksum(&snapshot) == get::<i64>(row, "checksum")?;
    Ok(sound.then_some(snapshot))
}

pub(super) fn message(row: &QueryResult) -> Result<InboxMessage, Error> {
    let kind: String = get(row, "kind")?;
    Ok(InboxMessage {
        id: InboxId::from_uuid(get(row, "id")?),
        tenant: tenant(row)?,
        execution: execution(row, "execution")?,
        kind: MessageKind::from_word(&kind).ok_or_else(|| corrupt("kind"))?,
        effect: effect(row, "effect")?,
        payload: text(row, "payload")?,
        at: time(row, "at")?,
    })
}

pub(super) fn subscription(row: &QueryResult) -> Result<Subscription, Error> {
    Ok(Subscription {
        tenant: tenant(row)?,
        execution: execution(row, "execution")?,
        effect: effect(row, "effect")?.ok_or_else(|| corrupt("effect"))?,
        filter: u32::try_from(get::<i64>(row, "filter")?).map_err(|_| corrupt("filter"))?,
        event_type: get(row, "event_type")?,
        condition: text(row, "condition")?,
        correlation: get::<Option<i64>>(row, "correlated_by")?
            .zip(get(row, "correlated_to")?)
            .map(|(by, to)| Correlation { by, to }),
    })
}

/// Reads an execution; payloads only if the row has them.
pub(super) fn execution_row(row: &QueryResult, payloads: bool) -> Result<ExecutionRow, Error> {
    let status: String = get(row, "status")?;
    let status = match status.as_str() {
        // Where an active execution stands is known by its queue row.
        "active" => get::<Option<String>>(row, "state")?.unwrap_or_else(|| "running".to_owned()),
        _ => status,
    };
    let status: Status = status.parse().map_err(|_| corrupt("status"))?;
    let attributes = match get::<Option<String>>(row, "attributes")? {
        Some(text) => serde_json::from_str(&text).map_err(|_| corrupt("attributes"))?,
        None => std::collections::BTreeMap::new(),
    };
    let ended_at: Option<i64> = get(row, "ended_at")?;
    let parent: Option<Uuid> = get(row, "parent")?;
    Ok(ExecutionRow {
        id: execution(row, "id")?,
        workflow: workflow(row)?,
        program: hash(row, "program")?,
        status,
        started_at: time(row, "started_at")?,
        ended_at: ended_at.map(from_micros).transpose()?,
        waiting_for: get(row, "waiting_for")?,
        input: if payloads {
            Some(text(row, "input")?)
        } else {
            None
        },
        output: if payloads {
            text_or_none(row, "output")?
        } else {
            None
        },
        error: if payloads {
            text_or_none(row, "error")?
        } else {
            None
        },
        parent: parent.map(ExecutionId::from_uuid),
        attributes,
        priority: get(row, "priority")?,
    })
}
