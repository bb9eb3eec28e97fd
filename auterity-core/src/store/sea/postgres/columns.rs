//! A journal batch as columns: what the server-side function takes.

use std::sync::LazyLock;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::types::Uuid;

use crate::store::sea::rows::{attributes, checksum, gates, micros, number};
use crate::store::{Entry, InboxMessage, Next, Status, check};

pub(super) type PgQuery<'q> = Query<'q, sqlx::Postgres, PgArguments>;

/// Parameters of the function: four about the call and the worker, then the columns.
const PARAMETERS: usize = 76;

/// The call of the function.
pub(super) static APPEND: LazyLock<String> = LazyLock::new(|| {
    let places: Vec<String> = (1..=PARAMETERS).map(|place| format!("${place}")).collect();
    format!("SELECT journal_append({})", places.join(", "))
});

/// Makes a set of columns that are bound in the order in which they stand.
macro_rules! columns {
    (@bind $name:ident <$life:lifetime> $($field:ident)+) => {
        impl<$life> $name<$life> {
            fn bind(self, query: PgQuery<$life>) -> PgQuery<$life> {
                query $(.bind(self.$field))+
            }
        }
    };
    (@bind $name:ident $($field:ident)+) => {
        impl $name {
            fn bind(self, query: PgQuery<'_>) -> PgQuery<'_> {
                query $(.bind(self.$field))+
            }
        }
    };
    ($($(#[$meta:meta])* $name:ident $(<$life:lifetime>)? { $($field:ident: $kind:ty,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Default)]
        struct $name $(<$life>)? {
            $($field: Vec<$kind>,)+
        }

        columns!(@bind $name $(<$life>)? $($field)+);
    )+};
}

columns! {
    Starts<'e> {
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
    Attributes<'e> {
        execution: Uuid,
        tenant: Uuid,
        name: &'e str,
        value: &'e str,
        at: i64,
    }
    /// Entries for executions that are there already.
    Appends {
        tenant: Uuid,
        execution: Uuid,
        sequence: Option<i64>,
    }
    Journal<'e> {
        tenant: Uuid,
        execution: Uuid,
        sequence: i64,
        at: i64,
        kind: &'e str,
        payload: &'e str,
        records: &'e str,
    }
    /// Back into the queue: parked, or ready for any worker.
    Parked {
        tenant: Uuid,
        execution: Uuid,
        ready: bool,
        due: Option<i64>,
        waiting: Option<String>,
    }
    Ends<'e> {
        tenant: Uuid,
        execution: Uuid,
        status: &'e str,
        output: Option<&'e str>,
        error: Option<&'e str>,
        at: i64,
    }
    Snapshots<'e> {
        execution: Uuid,
        sequence: i64,
        format: i32,
        state: &'e str,
        checksum: i64,
    }
    Subscribe<'e> {
        tenant: Uuid,
        execution: Uuid,
        effect: i64,
        filter: i64,
        event_type: Option<String>,
        event_key: Option<&'e str>,
        condition: &'e str,
    }
    Unsubscribe {
        execution: Uuid,
        effect: i64,
    }
    Consumed {
        execution: Uuid,
        id: Uuid,
    }
    Senders {
        execution: Uuid,
    }
    Messages<'e> {
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
    senders: Senders,
    messages: Messages<'e>,
}

impl<'e> Batch<'e> {
    pub(super) fn of(entries: &[&'e Entry]) -> Self {
        let mut batch = Self::default();
        for entry in entries {
            batch.add(entry);
        }
        batch
    }

    pub(super) fn bind(self, query: PgQuery<'e>) -> PgQuery<'e> {
        let query = self.starts.bind(query);
        let query = self.attributes.bind(query);
        let query = self.appends.bind(query);
        let query = self.journal.bind(query);
        let query = self.parked.bind(query);
        let query = self.ends.bind(query);
        let query = self.snapshots.bind(query);
        let query = self.subscribe.bind(query);
        let query = self.unsubscribe.bind(query);
        let query = self.consumed.bind(query);
        let query = self.senders.bind(query);
        self.messages.bind(query)
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
            self.senders.execution.push(execution);
            add_message(&mut self.messages, message);
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
            gates: gates(&start.gates),
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
}

/// Binds the columns of messages that ride with no entry.
pub(super) fn bind_messages<'q>(messages: &'q [InboxMessage], query: PgQuery<'q>) -> PgQuery<'q> {
    let mut columns = Messages::default();
    for message in messages {
        add_message(&mut columns, message);
    }
    columns.bind(query)
}

fn add_message<'e>(columns: &mut Messages<'e>, message: &'e InboxMessage) {
    push!(columns,
        id: message.id.as_uuid(),
        tenant: message.tenant.as_uuid(),
        execution: message.execution.as_uuid(),
        kind: message.kind.as_str(),
        effect: message.effect.map(number),
        payload: &message.payload,
        at: micros(message.at),
    );
}
