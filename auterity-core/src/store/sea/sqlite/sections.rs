//! A journal batch as SQL: one text of few statements.
//!
//! Every statement that is sent alone costs two hops between threads, and every text
//! that differs is prepared anew; so a batch of any size is one text out of few. What
//! every entry brings (its owner to be checked, its events) stands as rows of
//! parameters, as many as the next power of two, and the rest stays null. What few
//! entries bring comes as one JSON parameter per statement, which has no sizes but
//! costs more per row.
//!
//! `OR ROLLBACK` because a violated key ends the whole batch anyway, and so SQLite
//! need not be able to take the one statement back.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::Arc;

use serde::{Serialize, Serializer};
use sqlx::sqlite::SqliteArguments;
use sqlx::types::Uuid;

use super::human_tasks::CHANGE;
use crate::ExecutionId;
use crate::store::sea::human_tasks;
use crate::store::sea::rows::{attributes, checksum, gates, micros, number};
use crate::store::{Ended, Entry, FaultSignature, Fence, InboxMessage, Next, Start, Status, check};

/// Refuses the batch if the lease is lost (`#01` name, `#02` id, `#03` epoch; see [`Script::add`]).
const FENCE: &str = "INSERT OR ROLLBACK INTO temp.guard SELECT 0 WHERE NOT EXISTS (
    SELECT 1 FROM worker WHERE name = #01 AND id = #02 AND epoch = #03);";

/// Refuses the batch if an execution is not the worker's.
const APPENDS: (&str, &str) = (
    "INSERT OR ROLLBACK INTO temp.guard SELECT 0 WHERE EXISTS (SELECT 1 FROM (VALUES ",
    ") AS a LEFT JOIN queue AS q ON q.tenant = a.column1 AND q.execution = a.column2
        WHERE a.column1 IS NOT NULL AND q.owner IS NOT #02);",
);

const JOURNAL: (&str, &str) = (
    "INSERT OR ROLLBACK INTO journal (tenant, execution, sequence, at, kind, payload, records)
        SELECT * FROM (VALUES ",
    ") WHERE column1 IS NOT NULL;",
);

const STARTS: &str =
    "INSERT OR ROLLBACK INTO execution (tenant, id, namespace, name, version, program, input,
        parent, parent_effect, idempotency_key, attributes, priority, started_at, status, output,
        error, ended_at)
    SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4,
        unhex(value ->> 5), value ->> 6, unhex(value ->> 7), value ->> 8, value ->> 9,
        value ->> 10, value ->> 11, value ->> 12, value ->> '$[13][0]', value ->> '$[13][1]',
        value ->> '$[13][2]', value ->> '$[13][3]'
    FROM json_each(#04);";

const QUEUED: &str =
    "INSERT OR ROLLBACK INTO queue (tenant, execution, owner, ready, held, due_at, priority,
        waiting_for, gates)
    SELECT unhex(value ->> 0), unhex(value ->> 1), CASE WHEN value ->> 2 THEN #02 END,
        value ->> 3 AND value ->> 7 IS NULL, value ->> 7 IS NOT NULL, value ->> 4, value ->> 5,
        value ->> 6, value ->> 7
    FROM json_each(#05);";

const ATTRIBUTES: &str =
    "INSERT OR ROLLBACK INTO attribute (tenant, execution, name, value, started_at)
    SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4
    FROM json_each(#06);";

const SNAPSHOTS: &str = "INSERT INTO snapshot (execution, sequence, format, state, checksum)
    SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4
    FROM json_each(#07) WHERE true
    ON CONFLICT (execution) DO UPDATE SET sequence = excluded.sequence,
        format = excluded.format, state = excluded.state, checksum = excluded.checksum;";

const SUBSCRIBE: &str = "INSERT INTO subscription (tenant, execution, effect, filter, event_type,
        event_key, condition, correlated_by, correlated_to)
    SELECT unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4,
        value ->> 5, value ->> 6, value ->> 7, value ->> 8
    FROM json_each(#08) WHERE true
    ON CONFLICT (execution, effect, filter) DO UPDATE SET event_type = excluded.event_type,
        event_key = excluded.event_key, condition = excluded.condition,
        correlated_by = excluded.correlated_by, correlated_to = excluded.correlated_to;";

const UNSUBSCRIBE: &str = "DELETE FROM subscription WHERE (execution, effect) IN (
    SELECT unhex(value ->> 0), value ->> 1 FROM json_each(#09));";

const CONSUMED: &str = "UPDATE inbox SET consumed = true
    FROM (SELECT unhex(value ->> 0) AS execution, unhex(value ->> 1) AS id FROM json_each(#10)) AS c
    WHERE inbox.id = c.id AND inbox.execution = c.execution;";

/// An unconsumed message makes the execution ready at once.
const PARKED: &str = "UPDATE queue SET owner = NULL,
        ready = p.ready OR p.message_at IS NOT NULL,
        due_at = CASE WHEN p.ready THEN queue.due_at
                      WHEN p.due IS NULL THEN p.message_at
                      WHEN p.message_at IS NULL THEN p.due
                      ELSE min(p.due, p.message_at) END,
        waiting_for = p.waiting
    FROM (
        SELECT unhex(value ->> 0) AS tenant, unhex(value ->> 1) AS execution, value ->> 2 AS ready,
            value ->> 3 AS due, value ->> 4 AS waiting,
            (SELECT min(at) FROM inbox
             WHERE inbox.execution = unhex(value ->> 1) AND NOT consumed) AS message_at
        FROM json_each(#11)
    ) AS p
    WHERE queue.tenant = p.tenant AND queue.execution = p.execution;";

const ENDS: &str =
    "UPDATE OR ROLLBACK execution SET status = d.status, output = d.output, error = d.error,
        ended_at = d.at
    FROM (SELECT unhex(value ->> 1) AS execution, value ->> 2 AS status, value ->> 3 AS output,
              value ->> 4 AS error, value ->> 5 AS at
          FROM json_each(#12)) AS d
    WHERE execution.id = d.execution;
    DELETE FROM queue WHERE (tenant, execution) IN (
        SELECT unhex(value ->> 0), unhex(value ->> 1) FROM json_each(#12));";

/// What goes with the end, by a plain list of executions.
const ENDED: &str =
    "DELETE FROM snapshot WHERE execution IN (SELECT unhex(value) FROM json_each(#13));
    DELETE FROM subscription WHERE execution IN (SELECT unhex(value) FROM json_each(#13));
    DELETE FROM inbox WHERE execution IN (SELECT unhex(value) FROM json_each(#13));";

/// The executions are there, with their ends, started in this batch or before.
const ABNORMAL: &str = "INSERT OR ROLLBACK INTO abnormal_end
        (tenant, execution, status, fault, started_at, ended_at)
    SELECT e.tenant, e.id, b.value ->> 1, b.value ->> 2, e.started_at, b.value ->> 3
    FROM json_each(#15) AS b JOIN execution AS e ON e.id = unhex(b.value ->> 0);";

/// Messages come last, because receivers may start, park or end in the same batch.
/// What is known already and what has no receiver is left out before it wakes anybody.
const MESSAGES: &str = "INSERT INTO temp.arrived (tenant, execution, id, kind, effect, payload, at)
    SELECT unhex(value ->> 0) AS tenant, unhex(value ->> 1) AS execution,
        unhex(value ->> 2) AS id, value ->> 3, value ->> 4, value ->> 5, value ->> 6
    FROM json_each(#14)
    WHERE EXISTS (SELECT 1 FROM queue
                  WHERE queue.tenant = unhex(value ->> 0) AND queue.execution = unhex(value ->> 1))
        AND NOT EXISTS (SELECT 1 FROM inbox WHERE inbox.id = unhex(value ->> 2))
    ORDER BY key
    ON CONFLICT (id) DO NOTHING;
    INSERT INTO inbox (tenant, execution, id, kind, effect, payload, at)
    SELECT tenant, execution, id, kind, effect, payload, at FROM temp.arrived ORDER BY rowid;
    UPDATE queue SET ready = true, due_at = min(coalesce(queue.due_at, woken.at), woken.at)
    FROM (SELECT tenant, execution, min(at) AS at FROM temp.arrived GROUP BY tenant, execution)
        AS woken
    WHERE queue.tenant = woken.tenant AND queue.execution = woken.execution
        AND queue.owner IS NULL AND NOT queue.ready AND NOT queue.held;
    DELETE FROM temp.arrived;";

/// Which entries are to be left out, for the batch whose guard or whose keys refused.
pub(super) const CAREFUL_APPENDS: &str = "SELECT unhex(a.value ->> 1)
    FROM json_each($1) AS a LEFT JOIN queue AS q
        ON q.tenant = unhex(a.value ->> 0) AND q.execution = unhex(a.value ->> 1)
    WHERE q.execution IS NULL OR q.owner IS NOT $2 OR EXISTS (
        SELECT 1 FROM journal AS j
        WHERE j.execution = unhex(a.value ->> 1) AND j.sequence = a.value ->> 2)";

/// Which starts are to be left out.
pub(super) const CAREFUL_STARTS: &str = "SELECT unhex(s.value ->> 1) FROM json_each($1) AS s
    WHERE EXISTS (SELECT 1 FROM execution WHERE id = unhex(s.value ->> 1))
        OR EXISTS (SELECT 1 FROM execution
                   WHERE tenant = unhex(s.value ->> 0) AND idempotency_key = s.value ->> 2)";

/// The tables of a connection that the statements above use.
pub(super) const TEMPORARY: &str = "
    CREATE TABLE temp.guard (ok INTEGER CONSTRAINT guard CHECK (ok));
    CREATE TABLE temp.arrived (tenant BLOB, execution BLOB, id BLOB PRIMARY KEY, kind TEXT,
                               effect INTEGER, payload TEXT, at INTEGER);";

/// JSON parameters: the places `#04` and on, after the three of the fence.
const SECTIONS: usize = 13;

/// Rows that one statement takes at most.
const ROWS_MAX: usize = 512;

/// A whole transaction.
pub(super) struct Script {
    text: String,
    /// Places of rows, which come before all others.
    rows: usize,
    sections: [Option<String>; SECTIONS],
    appends: Vec<(Uuid, Uuid)>,
    journal: Vec<JournalRow>,
}

/// A row of the journal. Texts are shared with the entry.
struct JournalRow {
    tenant: Uuid,
    execution: Uuid,
    sequence: i64,
    at: i64,
    kind: &'static str,
    payload: Arc<str>,
    records: Arc<str>,
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, SqliteArguments>;

/// An id as JSON: the hexadecimal digits that `unhex` reads.
struct Hex(Uuid);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; 32];
        serializer.serialize_str(self.0.simple().encode_lower(&mut buffer))
    }
}

impl Script {
    /// The transaction of a batch.
    pub(super) fn of(fence: Option<&Fence>, entries: &[&Entry]) -> Result<Self, serde_json::Error> {
        let script = Self::begin(appends(entries), journal(entries));
        Ok(script.append(fence, entries)?.commit())
    }

    /// The same for one entry, as a part of a transaction that is open already.
    pub(super) fn inside(fence: &Fence, entry: &Entry) -> Result<Self, serde_json::Error> {
        let entries = [entry];
        let script = Self::empty(appends(&entries), journal(&entries));
        script.append(Some(fence), &entries)
    }

    fn append(
        mut self,
        fence: Option<&Fence>,
        entries: &[&Entry],
    ) -> Result<Self, serde_json::Error> {
        let script = &mut self;
        if fence.is_some() {
            script.push(FENCE);
        }
        script.push_rows(APPENDS, 2, script.appends.len());
        let starts: Vec<_> = with_start(entries).map(start).collect();
        script.add(4, STARTS, &starts)?;
        let open: Vec<_> = with_start(entries).filter_map(queued).collect();
        script.add(5, QUEUED, &open)?;
        let found: Vec<_> = with_start(entries).flat_map(attribute_rows).collect();
        script.add(6, ATTRIBUTES, &found)?;
        script.push_rows(JOURNAL, 7, script.journal.len());
        script.add(7, SNAPSHOTS, &snapshots(entries))?;
        script.add(8, SUBSCRIBE, &subscribe(entries))?;
        let gone: Vec<_> = pairs(entries, |entry| entry.unsubscribe.iter().copied())
            .map(|(entry, effect)| (Hex(entry.execution.as_uuid()), effect))
            .collect();
        script.add(9, UNSUBSCRIBE, &gone)?;
        let consumed: Vec<_> = pairs(entries, |entry| entry.consumed.iter())
            .map(|(entry, id)| (Hex(entry.execution.as_uuid()), Hex(id.as_uuid())))
            .collect();
        script.add(10, CONSUMED, &consumed)?;
        let parked: Vec<_> = entries.iter().filter_map(|entry| parked(entry)).collect();
        script.add(11, PARKED, &parked)?;
        let ends: Vec<_> = entries.iter().filter_map(|entry| end(entry)).collect();
        script.add(12, ENDS, &ends)?;
        let ended: Vec<_> = entries.iter().filter_map(|entry| end_id(entry)).collect();
        script.add(13, ENDED, &ended)?;
        let abnormal: Vec<_> = entries.iter().filter_map(|entry| abnormal(entry)).collect();
        script.add(15, ABNORMAL, &abnormal)?;
        let sent: Vec<_> = pairs(entries, |entry| entry.messages.iter())
            .map(|(_, message)| message_row(message))
            .collect();
        script.add(14, MESSAGES, &sent)?;
        let people: Vec<_> = pairs(entries, |entry| entry.human_tasks.iter())
            .map(|(entry, change)| human_tasks::Row::of((entry.tenant, entry.execution), change))
            .collect();
        script.add(16, CHANGE, &people)?;
        Ok(self)
    }

    /// The transaction of messages that ride with no entry.
    pub(super) fn messages(messages: &[InboxMessage]) -> Result<Self, serde_json::Error> {
        let mut script = Self::begin(Vec::new(), Vec::new());
        let rows: Vec<_> = messages.iter().map(message_row).collect();
        script.add(14, MESSAGES, &rows)?;
        Ok(script.commit())
    }

    /// Gives the text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Binds the rows, the three places of the fence, and the JSON parameters.
    pub(super) fn bind<'q>(self, mut query: Query<'q>, fence: Option<&Fence>) -> Query<'q> {
        let places = padded(self.appends.len());
        for (tenant, execution) in &self.appends {
            query = query.bind(*tenant).bind(*execution);
        }
        for _ in 2 * self.appends.len()..2 * places {
            query = query.bind(None::<i64>);
        }
        let (rows, places) = (self.journal.len(), padded(self.journal.len()));
        for row in self.journal {
            query = query
                .bind(row.tenant)
                .bind(row.execution)
                .bind(row.sequence)
                .bind(row.at)
                .bind(row.kind)
                .bind(row.payload)
                .bind(row.records);
        }
        for _ in 7 * rows..7 * places {
            query = query.bind(None::<i64>);
        }
        query = query
            .bind(fence.map(|fence| fence.name.clone()))
            .bind(fence.map(|fence| fence.worker.as_uuid()))
            .bind(fence.map(|fence| fence.epoch));
        for section in self.sections {
            query = query.bind(section);
        }
        query
    }

    fn begin(appends: Vec<(Uuid, Uuid)>, journal: Vec<JournalRow>) -> Self {
        let mut script = Self::empty(appends, journal);
        script.text.push_str("BEGIN IMMEDIATE;");
        script
    }

    fn empty(appends: Vec<(Uuid, Uuid)>, journal: Vec<JournalRow>) -> Self {
        Self {
            text: String::new(),
            rows: 2 * padded(appends.len()) + 7 * padded(journal.len()),
            sections: Default::default(),
            appends,
            journal,
        }
    }

    fn commit(mut self) -> Self {
        self.text.push_str("COMMIT");
        self
    }

    /// Adds a statement with its rows as JSON at a place, unless it has none.
    fn add<R: Serialize>(
        &mut self,
        place: usize,
        text: &str,
        rows: &[R],
    ) -> Result<(), serde_json::Error> {
        if !rows.is_empty() {
            self.sections[place - 4] = Some(serde_json::to_string(rows)?);
            self.push(text);
        }
        Ok(())
    }

    /// Adds a text with its places: `#01` is the first one after the rows.
    ///
    /// The rows have no numbers, because SQLite looks a numbered place up in a list.
    fn push(&mut self, text: &str) {
        let mut parts = text.split('#');
        self.text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let (place, rest) = part.split_at_checked(2).unwrap_or((part, ""));
            let place = self.rows + place.parse().unwrap_or(0);
            // Writing into a text cannot fail.
            let _written = write!(self.text, "${place}{rest}").is_ok();
        }
    }

    /// Adds as many statements as the rows need.
    fn push_rows(&mut self, (head, tail): (&str, &str), columns: usize, rows: usize) {
        let row = format!("({}?)", "?,".repeat(columns - 1));
        let mut left = padded(rows);
        while 0 < left {
            self.push(head);
            for place in 0..left.min(ROWS_MAX) {
                self.text.push_str(if place == 0 { "" } else { "," });
                self.text.push_str(&row);
            }
            self.push(tail);
            left = left.saturating_sub(ROWS_MAX);
        }
    }
}

/// Gives the number of rows that statements have places for: full ones, and one of
/// the next power of two.
fn padded(rows: usize) -> usize {
    match rows % ROWS_MAX {
        0 => rows,
        rest => rows - rest + rest.next_power_of_two(),
    }
}

/// The rows for [`CAREFUL_APPENDS`].
pub(super) fn appends_json(entries: &[&Entry]) -> Result<String, serde_json::Error> {
    serde_json::to_string(&careful_appends(entries))
}

/// The rows for [`CAREFUL_STARTS`].
pub(super) fn starts_json(entries: &[&Entry]) -> Result<String, serde_json::Error> {
    let rows: Vec<_> = with_start(entries)
        .map(|(entry, start)| {
            let (tenant, execution) = ids(entry);
            (tenant, execution, &start.idempotency_key)
        })
        .collect();
    serde_json::to_string(&rows)
}

/// Gives the starts whose idempotency key an earlier start of the batch has.
pub(super) fn repeated_keys(entries: &[&Entry]) -> Vec<ExecutionId> {
    let mut seen = HashSet::new();
    with_start(entries)
        .filter_map(|(entry, start)| {
            let key = start.idempotency_key.as_ref()?;
            let first = seen.insert((entry.tenant, key));
            (!first).then_some(entry.execution)
        })
        .collect()
}

fn ids(entry: &Entry) -> (Hex, Hex) {
    (Hex(entry.tenant.as_uuid()), Hex(entry.execution.as_uuid()))
}

fn with_start<'e>(entries: &[&'e Entry]) -> impl Iterator<Item = (&'e Entry, &'e Start)> {
    entries
        .iter()
        .filter_map(|entry| Some((*entry, entry.start.as_deref()?)))
}

fn pairs<'e, I: Iterator>(
    entries: &[&'e Entry],
    of: impl Fn(&'e Entry) -> I,
) -> impl Iterator<Item = (&'e Entry, I::Item)> {
    entries
        .iter()
        .flat_map(move |entry| of(entry).map(move |item| (*entry, item)))
}

fn ended(entry: &Entry) -> Option<&Ended> {
    match &entry.next {
        Next::Ended(ended) => Some(ended),
        _ => None,
    }
}

fn appends(entries: &[&Entry]) -> Vec<(Uuid, Uuid)> {
    let going_on = entries.iter().filter(|entry| entry.start.is_none());
    going_on
        .map(|entry| (entry.tenant.as_uuid(), entry.execution.as_uuid()))
        .collect()
}

fn journal(entries: &[&Entry]) -> Vec<JournalRow> {
    pairs(entries, |entry| entry.events.iter())
        .map(|(entry, event)| JournalRow {
            tenant: entry.tenant.as_uuid(),
            execution: entry.execution.as_uuid(),
            sequence: number(event.sequence),
            at: micros(event.at),
            kind: event.kind,
            payload: Arc::clone(&event.payload),
            records: Arc::clone(&event.records),
        })
        .collect()
}

fn careful_appends(entries: &[&Entry]) -> Vec<impl Serialize> {
    let going_on = entries.iter().filter(|entry| entry.start.is_none());
    going_on
        .map(|entry| {
            let (tenant, execution) = ids(entry);
            (
                tenant,
                execution,
                entry.events.first().map(|event| event.sequence),
            )
        })
        .collect()
}

fn start<'e>((entry, start): (&'e Entry, &'e Start)) -> impl Serialize + use<'e> {
    let (tenant, execution) = ids(entry);
    let end = ended(entry);
    let workflow = &start.workflow;
    (
        tenant,
        execution,
        &workflow.namespace,
        &workflow.name,
        &workflow.version,
        start.program.to_string(),
        &start.input,
        start.parent.map(|parent| Hex(parent.execution.as_uuid())),
        start.parent.and_then(|parent| parent.effect),
        &start.idempotency_key,
        attributes(start),
        start.priority,
        micros(start.at),
        (
            end.map_or("active", |end| end.status.as_str()),
            end.and_then(|end| end.output.as_deref()),
            end.and_then(|end| end.error.as_deref()),
            end.map(|end| micros(end.at)),
        ),
    )
}

fn queued<'e>((entry, start): (&'e Entry, &'e Start)) -> Option<impl Serialize + use<'e>> {
    let (tenant, execution) = ids(entry);
    let (due, waiting) = match &entry.next {
        Next::Ended(_) => return None,
        Next::Parked { due, waiting_for } => (*due, waiting_for.as_deref()),
        Next::Owned | Next::Queued => (Some(start.at), None),
    };
    Some((
        tenant,
        execution,
        entry.next == Next::Owned,
        entry.next == Next::Queued,
        due.map(micros),
        start.priority,
        waiting.map(check::without_nulls),
        gates(&start.gates),
    ))
}

fn attribute_rows<'e>(
    (entry, start): (&'e Entry, &'e Start),
) -> impl Iterator<Item = impl Serialize + use<'e>> {
    start.attributes.iter().map(move |(name, value)| {
        let (tenant, execution) = ids(entry);
        (tenant, execution, name, value, micros(start.at))
    })
}

fn snapshots<'e>(entries: &[&'e Entry]) -> Vec<impl Serialize + use<'e>> {
    let going_on = entries.iter().filter(|entry| ended(entry).is_none());
    going_on
        .filter_map(|entry| {
            let snapshot = entry.snapshot.as_ref()?;
            Some((
                Hex(entry.execution.as_uuid()),
                snapshot.sequence,
                snapshot.format,
                &snapshot.state,
                checksum(snapshot),
            ))
        })
        .collect()
}

fn subscribe<'e>(entries: &[&'e Entry]) -> Vec<impl Serialize + use<'e>> {
    pairs(entries, |entry| entry.subscribe.iter())
        .map(|(entry, one)| {
            let (tenant, execution) = ids(entry);
            (
                tenant,
                execution,
                one.effect,
                one.filter,
                one.event_type.as_deref().map(check::without_nulls),
                check::event_type_key(one),
                &one.condition,
                one.correlation.map(|key| key.by),
                one.correlation.map(|key| key.to),
            )
        })
        .collect()
}

fn parked(entry: &Entry) -> Option<impl Serialize + use<'_>> {
    if entry.start.is_some() {
        return None;
    }
    let (due, waiting) = match &entry.next {
        Next::Queued => (None, None),
        Next::Parked { due, waiting_for } => (due.map(micros), waiting_for.as_deref()),
        Next::Owned | Next::Ended(_) => return None,
    };
    let (tenant, execution) = ids(entry);
    let ready = entry.next == Next::Queued;
    Some((
        tenant,
        execution,
        ready,
        due,
        waiting.map(check::without_nulls),
    ))
}

fn end(entry: &Entry) -> Option<impl Serialize + use<'_>> {
    if entry.start.is_some() {
        return None;
    }
    let (tenant, execution) = ids(entry);
    let end = ended(entry)?;
    Some((
        tenant,
        execution,
        end.status.as_str(),
        &end.output,
        &end.error,
        micros(end.at),
    ))
}

fn end_id(entry: &Entry) -> Option<Hex> {
    let lived = entry.start.is_none() && ended(entry).is_some();
    lived.then(|| Hex(entry.execution.as_uuid()))
}

fn abnormal(entry: &Entry) -> Option<impl Serialize + use<>> {
    let end = ended(entry).filter(|end| end.status != Status::Completed)?;
    Some((
        Hex(entry.execution.as_uuid()),
        end.status.as_str(),
        end.fault.map(FaultSignature::to_bits),
        micros(end.at),
    ))
}

fn message_row(message: &InboxMessage) -> impl Serialize + use<'_> {
    (
        Hex(message.tenant.as_uuid()),
        Hex(message.execution.as_uuid()),
        Hex(message.id.as_uuid()),
        message.kind.as_str(),
        message.effect.map(number),
        &message.payload,
        micros(message.at),
    )
}
