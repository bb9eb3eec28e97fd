//! A journal batch as columns: what the server-side function takes.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::query::Query;
use sqlx::types::Uuid;
use sqlx::{Postgres, Type};

use crate::store::sea::rows::{attributes, checksum, micros, number};
use crate::store::{Entry, InboxMessage, Next, Status, check};

pub(super) type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

/// The call of the function: four parameters about the call and the worker, then one
/// for each kind of columns.
pub(super) const APPEND: &str =
    "SELECT journal_append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";

/// Writes one column of a composite value: its type, its length, its value.
fn encode_column<'q, C>(column: &C, buffer: &mut PgArgumentBuffer) -> Result<(), BoxDynError>
where
    C: Encode<'q, Postgres> + Type<Postgres>,
{
    let kind = C::type_info()
        .oid()
        .ok_or("columns are of built-in types")?;
    buffer.extend(kind.0.to_be_bytes());
    let place = buffer.len();
    buffer.extend([0; 4]);
    // Columns are arrays, which are never null themselves.
    let _never_null: IsNull = column.encode_by_ref(buffer)?;
    let length = i32::try_from(buffer.len() - place - 4)?;
    buffer[place..place + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Makes a set of columns that are one parameter of the composite type named, with the
/// fields in the order in which they stand.
macro_rules! columns {
    ($($(#[$meta:meta])* $name:ident $(<$life:lifetime>)? = $type:literal {
        $($field:ident: $kind:ty,)+
    })+) => {$(
        $(#[$meta])*
        #[derive(Default)]
        struct $name $(<$life>)? {
            $($field: Vec<$kind>,)+
        }

        impl $(<$life>)? $name $(<$life>)? {
            /// Gives nothing if there is no row.
            fn filled(self) -> Option<Self> {
                (!self.execution.is_empty()).then_some(self)
            }
        }

        impl $(<$life>)? Type<Postgres> for $name $(<$life>)? {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_name($type)
            }
        }

        impl<'q $(, $life)?> Encode<'q, Postgres> for $name $(<$life>)? {
            fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
                let count = [$(stringify!($field)),+].len();
                buffer.extend(i32::try_from(count)?.to_be_bytes());
                $(encode_column(&self.$field, buffer)?;)+
                Ok(IsNull::No)
            }
        }
    )+};
}

columns! {
    Starts<'e> = "start_columns" {
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
    }
    Attributes<'e> = "attribute_columns" {
        execution: Uuid,
        tenant: Uuid,
        name: &'e str,
        value: &'e str,
        at: i64,
    }
    /// Entries for executions that are there already.
    Appends = "append_columns" {
        tenant: Uuid,
        execution: Uuid,
        sequence: Option<i64>,
    }
    Journal<'e> = "journal_columns" {
        tenant: Uuid,
        execution: Uuid,
        sequence: i64,
        at: i64,
        kind: &'e str,
        payload: &'e str,
        records: &'e str,
    }
    /// Back into the queue: parked, or ready for any worker.
    Parked = "parked_columns" {
        tenant: Uuid,
        execution: Uuid,
        ready: bool,
        due: Option<i64>,
        waiting: Option<String>,
    }
    Ends<'e> = "end_columns" {
        tenant: Uuid,
        execution: Uuid,
        status: &'e str,
        output: Option<&'e str>,
        error: Option<&'e str>,
        at: i64,
    }
    Snapshots<'e> = "snapshot_columns" {
        execution: Uuid,
        sequence: i64,
        format: i32,
        state: &'e str,
        checksum: i64,
    }
    Subscribe<'e> = "subscribe_columns" {
        tenant: Uuid,
        execution: Uuid,
        effect: i64,
        filter: i64,
        event_type: Option<String>,
        event_key: Option<&'e str>,
        condition: &'e str,
    }
    Unsubscribe = "unsubscribe_columns" {
        execution: Uuid,
        effect: i64,
    }
    Consumed = "consumed_columns" {
        execution: Uuid,
        id: Uuid,
    }
    Messages<'e> = "message_columns" {
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

/// Pushes one row.
macro_rules! push {
    ($columns:expr, $($field:ident: $value:expr,)+) => {
        {
            $($columns.$field.push($value);)+
        }
    };
}

/// A batch.
#[derive(Default)]
pub(super) struct Batch<'e> {
    starts: Starts<'e>,
    attributes: Attributes<'e>,
    appends: Appends,
    journal: Journal<'e>,
    parked: Parked,
    ends: Ends<'e>,
    snapshots: Snapshots<'e>,
    subscribe: Subscribe<'e>,
    unsubscribe: Unsubscribe,
    consumed: Consumed,
    messages: Messages<'e>,
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

    pub(super) fn bind(self, query: PgQuery<'e>) -> PgQuery<'e> {
        query
            .bind(self.starts.filled())
            .bind(self.attributes.filled())
            .bind(self.appends.filled())
            .bind(self.journal.filled())
            .bind(self.parked.filled())
            .bind(self.ends.filled())
            .bind(self.snapshots.filled())
            .bind(self.subscribe.filled())
            .bind(self.unsubscribe.filled())
            .bind(self.consumed.filled())
            .bind(self.messages.filled())
    }

    fn add(&mut self, entry: &'e Entry) {
        let (tenant, execution) = (entry.tenant.as_uuid(), entry.execution.as_uuid());
        if entry.start.is_some() {
            self.add_start(entry);
        } else {
            push!(self.appends,
                tenant: tenant,
                execution: execution,
                sequence: entry.events.first().map(|event| number(event.sequence)),
            );
            self.add_next(entry);
        }
        for event in &entry.events {
            push!(self.journal,
                tenant: tenant,
                execution: execution,
                sequence: number(event.sequence),
                at: micros(event.at),
                kind: event.kind,
                payload: &event.payload,
                records: &event.records,
            );
        }
        if let Some(snapshot) = &entry.snapshot
            && !matches!(entry.next, Next::Ended(_))
        {
            push!(self.snapshots,
                execution: execution,
                sequence: number(snapshot.sequence),
                format: i32::from(snapshot.format),
                state: &snapshot.state,
                checksum: checksum(snapshot),
            );
        }
        for one in &entry.subscribe {
            push!(self.subscribe,
                tenant: tenant,
                execution: execution,
                effect: number(one.effect),
                filter: i64::from(one.filter),
                event_type: one.event_type.as_deref().map(check::without_nulls),
                event_key: check::event_type_key(one),
                condition: &one.condition,
            );
        }
        for effect in &entry.unsubscribe {
            push!(self.unsubscribe, execution: execution, effect: number(*effect),);
        }
        for id in &entry.consumed {
            push!(self.consumed, execution: execution, id: id.as_uuid(),);
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
        push!(self.starts,
            tenant: tenant,
            execution: execution,
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
        );
        for (name, value) in &start.attributes {
            push!(self.attributes,
                execution: execution,
                tenant: tenant,
                name: name,
                value: value,
                at: micros(start.at),
            );
        }
    }

    fn add_next(&mut self, entry: &'e Entry) {
        let (tenant, execution) = (entry.tenant.as_uuid(), entry.execution.as_uuid());
        match &entry.next {
            Next::Owned => {}
            Next::Queued => push!(self.parked,
                tenant: tenant,
                execution: execution,
                ready: true,
                due: None,
                waiting: None,
            ),
            Next::Parked { due, waiting_for } => push!(self.parked,
                tenant: tenant,
                execution: execution,
                ready: false,
                due: due.map(micros),
                waiting: waiting_for.as_deref().map(check::without_nulls),
            ),
            Next::Ended(ended) => push!(self.ends,
                tenant: tenant,
                execution: execution,
                status: ended.status.as_str(),
                output: ended.output.as_deref(),
                error: ended.error.as_deref(),
                at: micros(ended.at),
            ),
        }
    }

    fn add_message(&mut self, sender: Uuid, message: &'e InboxMessage) {
        push!(self.messages,
            sender: sender,
            id: message.id.as_uuid(),
            tenant: message.tenant.as_uuid(),
            execution: message.execution.as_uuid(),
            kind: message.kind.as_str(),
            effect: message.effect.map(number),
            payload: &message.payload,
            at: micros(message.at),
        );
    }
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
