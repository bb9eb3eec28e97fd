//! A journal batch as rows: what the server-side function takes.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::PgRecordEncoder;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgHasArrayType, PgTypeInfo};
use sqlx::query::Query;
use sqlx::types::Uuid;
use sqlx::{Postgres, Type};

use crate::store::human_tasks::escalated_note;
use crate::store::sea::human_tasks::close_word;
use crate::store::sea::rows::{attributes, checksum, gates, micros, number};
use crate::store::{Entry, FaultSignature, HumanTaskChange, InboxMessage, Next, Status, check};
use crate::{ExecutionId, TenantId};

pub(super) type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

/// The call of the function: six parameters about the call and the worker, then one
/// for each kind of row.
pub(super) const APPEND: &str = "SELECT journal_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)";

/// Makes a row that is a value of the composite type named, with the fields in the order
/// in which they stand.
macro_rules! rows {
    ($($(#[$meta:meta])* $name:ident $(<$life:lifetime>)? = $type:literal {
        $($field:ident: $kind:ty,)+
    })+) => {$(
        $(#[$meta])*
        pub(super) struct $name $(<$life>)? {
            $($field: $kind,)+
        }

        impl $(<$life>)? Type<Postgres> for $name $(<$life>)? {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_name($type)
            }
        }

        impl $(<$life>)? PgHasArrayType for $name $(<$life>)? {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::array_of($type)
            }
        }

        impl<'q $(, $life)?> Encode<'q, Postgres> for $name $(<$life>)? {
            fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let mut record = PgRecordEncoder::new(buffer);
                $(record.encode(&self.$field)?;)+
                record.finish();
                Ok(IsNull::No)
            }
        }
    )+};
}

rows! {
    Start<'e> = "start_row" {
        tenant: Uuid,
        execution: Uuid,
        namespace: &'e str,
        name: &'e str,
        version: &'e str,
        program: &'e [u8],
        input: &'e str,
        parent: Option<Uuid>,
        parent_effect: Option<i64>,
        key: Option<&'e str>,
        attributes: Option<String>,
        at: i64,
        status: &'e str,
        output: Option<&'e str>,
        error: Option<&'e str>,
        ended_at: Option<i64>,
        priority: i32,
        owned: bool,
        ready: bool,
        due: Option<i64>,
        waiting: Option<String>,
        gates: Option<String>,
    }
    Attribute<'e> = "attribute_row" {
        execution: Uuid,
        tenant: Uuid,
        name: &'e str,
        value: &'e str,
        at: i64,
    }
    /// Entries for executions that are there already.
    Append = "append_row" {
        tenant: Uuid,
        execution: Uuid,
        sequence: Option<i64>,
    }
    Event<'e> = "event_row" {
        tenant: Uuid,
        execution: Uuid,
        fresh: bool,
        sequence: i64,
        at: i64,
        kind: &'e str,
        payload: &'e str,
        records: &'e str,
    }
    /// Back into the queue: parked, or ready for any worker.
    Parked = "parked_row" {
        tenant: Uuid,
        execution: Uuid,
        ready: bool,
        due: Option<i64>,
        waiting: Option<String>,
    }
    End<'e> = "end_row" {
        tenant: Uuid,
        execution: Uuid,
        status: &'e str,
        output: Option<&'e str>,
        error: Option<&'e str>,
        at: i64,
    }
    Abnormal = "abnormal_row" {
        tenant: Uuid,
        execution: Uuid,
        status: &'static str,
        fault: Option<i64>,
        at: i64,
    }
    Kept<'e> = "snapshot_row" {
        tenant: Uuid,
        execution: Uuid,
        sequence: i64,
        format: i32,
        state: &'e str,
        checksum: i64,
    }
    Subscribe<'e> = "subscribe_row" {
        tenant: Uuid,
        execution: Uuid,
        effect: i64,
        filter: i64,
        event_type: Option<String>,
        event_key: Option<&'e str>,
        condition: &'e str,
        correlated_by: Option<i64>,
        correlated_to: Option<i64>,
    }
    Unsubscribe = "unsubscribe_row" {
        execution: Uuid,
        effect: i64,
    }
    Consumed = "consumed_row" {
        execution: Uuid,
        id: Uuid,
    }
    HumanTask<'e> = "human_task_row" {
        tenant: Uuid,
        execution: Uuid,
        id: Uuid,
        effect: i64,
        at: i64,
        asked: bool,
        namespace: Option<&'e str>,
        name: Option<&'e str>,
        version: Option<&'e str>,
        task: Option<&'e str>,
        title: Option<&'e str>,
        deadline: Option<i64>,
        details: Option<&'e str>,
        audiences: Option<String>,
        escalate: Option<String>,
        escalated: Option<String>,
        closed: Option<&'static str>,
    }
    Message<'e> = "message_row" {
        sender: Uuid,
        id: Uuid,
        tenant: Uuid,
        execution: Uuid,
        kind: &'e str,
        effect: Option<i64>,
        payload: &'e str,
        at: i64,
    }
}

impl<'e> HumanTask<'e> {
    pub(super) fn of(
        (tenant, execution): (TenantId, ExecutionId),
        change: &'e HumanTaskChange,
    ) -> Self {
        let ask = change.ask.as_deref();
        let lines = |audiences: &[String]| (!audiences.is_empty()).then(|| audiences.join("\n"));
        Self {
            tenant: tenant.as_uuid(),
            execution: execution.as_uuid(),
            id: change.id.as_uuid(),
            effect: number(change.effect),
            at: micros(change.at),
            asked: ask.is_some(),
            namespace: ask.map(|ask| &*ask.workflow.namespace),
            name: ask.map(|ask| &*ask.workflow.name),
            version: ask.map(|ask| &*ask.workflow.version),
            task: ask.map(|ask| &*ask.task),
            title: ask.map(|ask| &*ask.title),
            deadline: ask.and_then(|ask| ask.deadline).map(micros),
            details: ask.map(|ask| &*ask.details),
            audiences: ask.and_then(|ask| lines(&ask.audiences)),
            escalate: lines(&change.escalate),
            escalated: escalated_note(&change.escalate).map(|note| note.to_string()),
            closed: close_word(change.close),
        }
    }
}

/// A batch.
#[derive(Default)]
pub(super) struct Batch<'e> {
    starts: Vec<Start<'e>>,
    attributes: Vec<Attribute<'e>>,
    appends: Vec<Append>,
    events: Vec<Event<'e>>,
    parked: Vec<Parked>,
    ends: Vec<End<'e>>,
    abnormal: Vec<Abnormal>,
    snapshots: Vec<Kept<'e>>,
    subscribe: Vec<Subscribe<'e>>,
    unsubscribe: Vec<Unsubscribe>,
    consumed: Vec<Consumed>,
    messages: Vec<Message<'e>>,
    people: Vec<HumanTask<'e>>,
}

impl<'e> Batch<'e> {
    pub(super) fn of(entries: &[&'e Entry]) -> Self {
        // In the order in which rows are locked, see the function.
        let mut entries = entries.to_vec();
        entries.sort_unstable_by_key(|entry| (entry.tenant, entry.execution));
        let mut batch = Self::default();
        for entry in entries {
            batch.add(entry);
        }
        batch
    }

    /// Tells whether starts have idempotency keys.
    pub(super) fn is_keyed(&self) -> bool {
        self.starts.iter().any(|start| start.key.is_some())
    }

    /// Tells whether starts are for whoever claims them.
    pub(super) fn is_queueing(&self) -> bool {
        self.starts.iter().any(|start| start.ready)
    }

    /// Tells whether an entry without an event is to be left out if its execution is not
    /// the worker's: only a careful call sees that.
    pub(super) fn needs_care(&self) -> bool {
        self.appends.iter().any(|append| append.sequence.is_none())
    }

    pub(super) fn bind(self, query: PgQuery<'e>) -> PgQuery<'e> {
        query
            .bind(filled(self.starts))
            .bind(filled(self.attributes))
            .bind(filled(self.appends))
            .bind(filled(self.events))
            .bind(filled(self.parked))
            .bind(filled(self.ends))
            .bind(filled(self.abnormal))
            .bind(filled(self.snapshots))
            .bind(filled(self.subscribe))
            .bind(filled(self.unsubscribe))
            .bind(filled(self.consumed))
            .bind(filled(self.messages))
            .bind(filled(self.people))
    }

    fn add(&mut self, entry: &'e Entry) {
        let (tenant, execution) = (entry.tenant.as_uuid(), entry.execution.as_uuid());
        if entry.start.is_some() {
            self.add_start(entry);
        } else {
            self.appends.push(Append {
                tenant,
                execution,
                sequence: entry.events.first().map(|event| number(event.sequence)),
            });
            self.add_next(entry);
        }
        self.add_abnormal(entry);
        for event in &entry.events {
            self.events.push(Event {
                tenant,
                execution,
                fresh: entry.start.is_some(),
                sequence: number(event.sequence),
                at: micros(event.at),
                kind: event.kind,
                payload: &event.payload,
                records: &event.records,
            });
        }
        if let Some(snapshot) = &entry.snapshot
            && !matches!(entry.next, Next::Ended(_))
        {
            self.snapshots.push(Kept {
                tenant,
                execution,
                sequence: number(snapshot.sequence),
                format: i32::from(snapshot.format),
                state: &snapshot.state,
                checksum: checksum(snapshot),
            });
        }
        for one in &entry.subscribe {
            self.subscribe.push(Subscribe {
                tenant,
                execution,
                effect: number(one.effect),
                filter: i64::from(one.filter),
                event_type: one.event_type.as_deref().map(check::without_nulls),
                event_key: check::event_type_key(one),
                condition: &one.condition,
                correlated_by: one.correlation.map(|key| key.by),
                correlated_to: one.correlation.map(|key| key.to),
            });
        }
        for effect in &entry.unsubscribe {
            self.unsubscribe.push(Unsubscribe {
                execution,
                effect: number(*effect),
            });
        }
        for id in &entry.consumed {
            self.consumed.push(Consumed {
                execution,
                id: id.as_uuid(),
            });
        }
        for change in &entry.human_tasks {
            let ids = (entry.tenant, entry.execution);
            self.people.push(HumanTask::of(ids, change));
        }
        for message in &entry.messages {
            self.add_message(execution, message);
        }
    }

    fn add_start(&mut self, entry: &'e Entry) {
        let Some(start) = &entry.start else { return };
        let (tenant, execution) = (entry.tenant.as_uuid(), entry.execution.as_uuid());
        let ended = match &entry.next {
            Next::Ended(ended) => Some(ended),
            _ => None,
        };
        let (due, waiting) = match &entry.next {
            Next::Parked { due, waiting_for } => (*due, waiting_for.as_deref()),
            _ => (Some(start.at), None),
        };
        self.starts.push(Start {
            tenant,
            execution,
            namespace: &start.workflow.namespace,
            name: &start.workflow.name,
            version: &start.workflow.version,
            program: start.program.as_bytes(),
            input: &start.input,
            parent: start.parent.map(|parent| parent.execution.as_uuid()),
            parent_effect: start.parent.and_then(|parent| parent.effect).map(number),
            key: start.idempotency_key.as_deref(),
            attributes: attributes(start),
            at: micros(start.at),
            status: ended.map_or("active", |ended| Status::as_str(ended.status)),
            output: ended.and_then(|ended| ended.output.as_deref()),
            error: ended.and_then(|ended| ended.error.as_deref()),
            ended_at: ended.map(|ended| micros(ended.at)),
            priority: start.priority,
            owned: entry.next == Next::Owned,
            ready: entry.next == Next::Queued,
            due: due.map(micros),
            waiting: waiting.map(check::without_nulls),
            gates: gates(&start.gates),
        });
        for (name, value) in &start.attributes {
            self.attributes.push(Attribute {
                execution,
                tenant,
                name,
                value,
                at: micros(start.at),
            });
        }
    }

    fn add_next(&mut self, entry: &'e Entry) {
        let (tenant, execution) = (entry.tenant.as_uuid(), entry.execution.as_uuid());
        match &entry.next {
            Next::Owned => {}
            Next::Queued => self.parked.push(Parked {
                tenant,
                execution,
                ready: true,
                due: None,
                waiting: None,
            }),
            Next::Parked { due, waiting_for } => self.parked.push(Parked {
                tenant,
                execution,
                ready: false,
                due: due.map(micros),
                waiting: waiting_for.as_deref().map(check::without_nulls),
            }),
            Next::Ended(ended) => self.ends.push(End {
                tenant,
                execution,
                status: ended.status.as_str(),
                output: ended.output.as_deref(),
                error: ended.error.as_deref(),
                at: micros(ended.at),
            }),
        }
    }

    /// Adds an end that is no completion, of an execution that starts here, too.
    fn add_abnormal(&mut self, entry: &Entry) {
        if let Next::Ended(ended) = &entry.next
            && ended.status != Status::Completed
        {
            self.abnormal.push(Abnormal {
                tenant: entry.tenant.as_uuid(),
                execution: entry.execution.as_uuid(),
                status: ended.status.as_str(),
                fault: ended.fault.map(FaultSignature::to_bits),
                at: micros(ended.at),
            });
        }
    }

    fn add_message(&mut self, sender: Uuid, message: &'e InboxMessage) {
        self.messages.push(Message {
            sender,
            id: message.id.as_uuid(),
            tenant: message.tenant.as_uuid(),
            execution: message.execution.as_uuid(),
            kind: message.kind.as_str(),
            effect: message.effect.map(number),
            payload: &message.payload,
            at: micros(message.at),
        });
    }
}

/// Gives nothing for no rows.
fn filled<R>(rows: Vec<R>) -> Option<Vec<R>> {
    (!rows.is_empty()).then_some(rows)
}

/// The call that puts messages which ride with no entry.
pub(super) const INBOX_PUT: &str = "SELECT inbox_put($1, $2, $3, $4, $5, $6, $7)";

/// Binds the columns of messages that ride with no entry.
pub(super) fn bind_messages<'q>(messages: &'q [InboxMessage], query: PgQuery<'q>) -> PgQuery<'q> {
    let column = |of: fn(&InboxMessage) -> Uuid| messages.iter().map(of).collect::<Vec<_>>();
    query
        .bind(column(|message| message.id.as_uuid()))
        .bind(column(|message| message.tenant.as_uuid()))
        .bind(column(|message| message.execution.as_uuid()))
        .bind(
            messages
                .iter()
                .map(|message| message.kind.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(
            messages
                .iter()
                .map(|message| message.effect.map(number))
                .collect::<Vec<_>>(),
        )
        .bind(
            messages
                .iter()
                .map(|message| &*message.payload)
                .collect::<Vec<_>>(),
        )
        .bind(
            messages
                .iter()
                .map(|message| micros(message.at))
                .collect::<Vec<_>>(),
        )
}
