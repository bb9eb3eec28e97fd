//! PostgreSQL's own way: one call of a server-side function per batch and per beat.
//!
//! A call is one round trip that commits by itself, so no transaction stays open
//! when a worker freezes or a future is dropped half way.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use sqlx::query::Query;
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, Postgres as Database, Row};
use tokio::sync::Mutex;

use super::SeaOptions;
use super::batch::{Refusal, refusal};
use super::migration;
use super::rows::{checksum, micros, number};
use crate::store::{Claim, ClaimRequest, Entry, Fence, InboxMessage, Next};
use crate::{Error, ErrorKind, ExecutionId, TenantId, WorkerId};

/// Serialises migrations of several processes (an arbitrary constant).
const MIGRATION_LOCK: i64 = 0x6175_7465_7269_7479;

/// How long opening waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Postgres {
    /// For the journal alone, so that nothing queues before it.
    journal: PgPool,
    pool: PgPool,
    schema: String,
    listener: Mutex<Option<PgListener>>,
}

impl Postgres {
    pub(super) async fn open(url: &str, options: &SeaOptions) -> Result<(Self, PgPool), Error> {
        let wrong = |error| {
            Error::new(ErrorKind::Invalid, "the PostgreSQL URL cannot be read").with_source(error)
        };
        let timeout = options.statement_timeout.as_millis().max(1).to_string();
        let connect = PgConnectOptions::from_str(url).map_err(wrong)?.options([
            ("search_path", options.schema.as_str()),
            ("statement_timeout", timeout.as_str()),
        ]);
        let pool = PgPoolOptions::new()
            .min_connections(options.connections_min)
            .max_connections(options.connections_max)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_with(connect.clone())
            .await
            .map_err(unavailable)?;
        // One for the worker's batches, one for starts without a worker.
        let journal = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(CONNECT_TIMEOUT)
            .test_before_acquire(false)
            .connect_lazy_with(connect);
        let schema = options.schema.clone();
        let hot = Self {
            journal,
            pool: pool.clone(),
            schema,
            listener: Mutex::new(None),
        };
        Ok((hot, pool))
    }

    pub(super) async fn close(&self) {
        self.journal.close().await;
        self.pool.close().await;
    }

    pub(super) async fn migrate(&self) -> Result<(), Error> {
        let pool = self.pool.clone();
        let schema = self.schema.clone();
        // In a routine of its own: a transaction must not be cut half way.
        let work = crate::Routines::new().spawn("migrate", async move {
            let mut transaction = pool.begin().await?;
            sqlx::query("SELECT pg_advisory_xact_lock($1)")
                .bind(MIGRATION_LOCK)
                .execute(&mut *transaction)
                .await?;
            // The schema's name was checked to be a plain word.
            let create = format!("CREATE SCHEMA IF NOT EXISTS {schema}");
            sqlx::raw_sql(AssertSqlSafe(create))
                .execute(&mut *transaction)
                .await?;
            sqlx::raw_sql(migration::TABLE)
                .execute(&mut *transaction)
                .await?;
            let row = sqlx::query("SELECT coalesce(max(version), 0)::bigint FROM migration")
                .fetch_one(&mut *transaction)
                .await?;
            let done = usize::try_from(row.get::<i64, _>(0)).unwrap_or(0);
            for (place, text) in migration::POSTGRES.iter().enumerate().skip(done) {
                sqlx::raw_sql(*text).execute(&mut *transaction).await?;
                sqlx::query("INSERT INTO migration (version) VALUES ($1)")
                    .bind(i32::try_from(place + 1).unwrap_or(i32::MAX))
                    .execute(&mut *transaction)
                    .await?;
            }
            transaction.commit().await
        });
        let ended = work.await.map_err(|error| {
            Error::new(ErrorKind::Internal, "the migration was cut off").with_source(error)
        })?;
        ended.map_err(unavailable)
    }

    pub(super) async fn register(
        &self,
        name: &str,
        id: WorkerId,
        lease: SignedDuration,
    ) -> Result<Fence, Error> {
        let row = sqlx::query("SELECT worker_register($1, $2, $3)")
            .bind(name)
            .bind(id.as_uuid())
            .bind(lease_micros(lease))
            .fetch_one(&self.pool)
            .await
            .map_err(unavailable)?;
        Ok(Fence {
            worker: id,
            name: name.to_owned(),
            epoch: row.get(0),
        })
    }

    pub(super) async fn beat(
        &self,
        fence: &Fence,
        request: ClaimRequest,
    ) -> Result<Vec<Claim>, Error> {
        let rows = sqlx::query("SELECT tenant, execution FROM worker_beat($1, $2, $3, $4, $5)")
            .bind(fence.worker.as_uuid())
            .bind(fence.epoch)
            .bind(lease_micros(request.lease))
            .bind(micros(request.now))
            .bind(i32::try_from(request.limit).unwrap_or(i32::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(|error| match refusal(error) {
                Refusal::Other(error) => error,
                other => Error::new(ErrorKind::Internal, format!("the claim failed: {other:?}")),
            })?;
        Ok(rows
            .iter()
            .map(|row| Claim {
                tenant: TenantId::from_uuid(row.get(0)),
                execution: ExecutionId::from_uuid(row.get(1)),
            })
            .collect())
    }

    pub(super) async fn release(&self, fence: &Fence) -> Result<(), Error> {
        sqlx::query(
            "SELECT worker_retire(ARRAY(SELECT id FROM worker WHERE id = $1 AND epoch = $2))",
        )
        .bind(fence.worker.as_uuid())
        .bind(fence.epoch)
        .execute(&self.pool)
        .await
        .map(|_| ())
        .map_err(unavailable)
    }

    pub(super) async fn inbox_put(&self, messages: &[InboxMessage]) -> Result<(), Error> {
        if messages.is_empty() {
            return Ok(());
        }
        let columns = Messages::of(messages);
        let query = sqlx::query("SELECT inbox_put($1, $2, $3, $4, $5, $6, $7)");
        columns
            .bind(query)
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(unavailable)
    }

    pub(super) async fn append(
        &self,
        fence: Option<&Fence>,
        entries: &[Entry],
    ) -> Result<(), Refusal> {
        let batch = Batch::of(entries);
        let query = sqlx::query(APPEND)
            .bind(fence.map(|fence| fence.worker.as_uuid()))
            .bind(fence.map(|fence| fence.epoch));
        batch
            .bind(query)
            .execute(&self.journal)
            .await
            .map(|_| ())
            .map_err(refusal)
    }

    fn channel(&self) -> String {
        format!("{}_due", self.schema)
    }

    pub(super) async fn wake_send(&self) -> Result<(), Error> {
        sqlx::query("SELECT pg_notify($1, '')")
            .bind(self.channel())
            .execute(&self.pool)
            .await
            .map(|_| ())
            .map_err(unavailable)
    }

    pub(super) async fn wake_wait(&self) -> Result<(), Error> {
        let mut kept = self.listener.lock().await;
        let mut listener = match kept.take() {
            Some(listener) => listener,
            None => {
                let mut listener = PgListener::connect_with(&self.pool)
                    .await
                    .map_err(unavailable)?;
                listener
                    .listen(&self.channel())
                    .await
                    .map_err(unavailable)?;
                listener
            }
        };
        listener.recv().await.map_err(unavailable)?;
        *kept = Some(listener);
        Ok(())
    }
}

fn lease_micros(lease: SignedDuration) -> i64 {
    i64::try_from(lease.as_micros()).unwrap_or(i64::MAX)
}

fn unavailable(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the database did not answer").with_source(error)
}

const APPEND: &str = "SELECT journal_append(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20,
    $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38,
    $39, $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52)";

type Text = Arc<str>;
type PgQuery<'q> = Query<'q, Database, PgArguments>;

/// A batch as columns, in the order of the function's parameters.
#[derive(Default)]
struct Batch<'e> {
    starts: Starts<'e>,
    journal: Journal<'e>,
    parked: (Vec<Uuid>, Vec<Option<i64>>, Vec<Option<&'e str>>),
    ended: Ends<'e>,
    snapshots: Snapshots<'e>,
    subscribe: Subscriptions<'e>,
    unsubscribe: (Vec<Uuid>, Vec<i64>),
    consumed: Vec<Uuid>,
    messages: Messages<'e>,
}

#[derive(Default)]
struct Starts<'e> {
    execution: Vec<Uuid>,
    tenant: Vec<Uuid>,
    namespace: Vec<&'e str>,
    name: Vec<&'e str>,
    version: Vec<&'e str>,
    program: Vec<&'e [u8]>,
    input: Vec<&'e str>,
    parent: Vec<Option<Uuid>>,
    parent_effect: Vec<Option<i64>>,
    key: Vec<Option<&'e str>>,
    attributes: Vec<Option<String>>,
    priority: Vec<i32>,
    at: Vec<i64>,
    owned: Vec<bool>,
}

#[derive(Default)]
struct Journal<'e> {
    execution: Vec<Uuid>,
    sequence: Vec<i64>,
    tenant: Vec<Uuid>,
    at: Vec<i64>,
    kind: Vec<&'e str>,
    payload: Vec<&'e str>,
    records: Vec<&'e str>,
}

#[derive(Default)]
struct Ends<'e> {
    execution: Vec<Uuid>,
    status: Vec<&'e str>,
    output: Vec<Option<&'e str>>,
    error: Vec<Option<&'e str>>,
    at: Vec<i64>,
}

#[derive(Default)]
struct Snapshots<'e> {
    execution: Vec<Uuid>,
    sequence: Vec<i64>,
    format: Vec<i32>,
    state: Vec<&'e str>,
    checksum: Vec<i64>,
}

#[derive(Default)]
struct Subscriptions<'e> {
    execution: Vec<Uuid>,
    effect: Vec<i64>,
    filter: Vec<i32>,
    tenant: Vec<Uuid>,
    event_type: Vec<Option<&'e str>>,
    condition: Vec<&'e str>,
}

#[derive(Default)]
struct Messages<'e> {
    id: Vec<Uuid>,
    execution: Vec<Uuid>,
    tenant: Vec<Uuid>,
    kind: Vec<&'static str>,
    effect: Vec<Option<i64>>,
    payload: Vec<&'e str>,
    at: Vec<i64>,
}

fn optional(text: Option<&Text>) -> Option<&str> {
    text.map(AsRef::as_ref)
}

impl<'e> Batch<'e> {
    fn of(entries: &'e [Entry]) -> Self {
        let mut batch = Self::default();
        for entry in entries {
            batch.add(entry);
        }
        batch
    }

    fn add(&mut self, entry: &'e Entry) {
        let id = entry.execution.as_uuid();
        self.starts.add(entry);
        for event in &entry.events {
            self.journal.execution.push(id);
            self.journal.sequence.push(number(event.sequence));
            self.journal.tenant.push(entry.tenant.as_uuid());
            self.journal.at.push(micros(event.at));
            self.journal.kind.push(event.kind);
            self.journal.payload.push(&event.payload);
            self.journal.records.push(&event.records);
        }
        if let Some(snapshot) = &entry.snapshot {
            self.snapshots.execution.push(id);
            self.snapshots.sequence.push(number(snapshot.sequence));
            self.snapshots.format.push(i32::from(snapshot.format));
            self.snapshots.state.push(&snapshot.state);
            self.snapshots.checksum.push(checksum(&snapshot.state));
        }
        for subscription in &entry.subscribe {
            self.subscribe.execution.push(id);
            self.subscribe.effect.push(number(subscription.effect));
            self.subscribe
                .filter
                .push(i32::try_from(subscription.filter).unwrap_or(i32::MAX));
            self.subscribe.tenant.push(entry.tenant.as_uuid());
            self.subscribe
                .event_type
                .push(subscription.event_type.as_deref());
            self.subscribe.condition.push(&subscription.condition);
        }
        for effect in &entry.unsubscribe {
            self.unsubscribe.0.push(id);
            self.unsubscribe.1.push(number(*effect));
        }
        self.consumed
            .extend(entry.consumed.iter().map(|id| id.as_uuid()));
        for message in &entry.messages {
            self.messages.add(message);
        }
        match &entry.next {
            Next::Owned | Next::Queued => {}
            Next::Parked { due, waiting_for } => {
                self.parked.0.push(id);
                self.parked.1.push(due.map(micros));
                self.parked.2.push(waiting_for.as_deref());
            }
            Next::Ended(ended) => {
                self.ended.execution.push(id);
                self.ended.status.push(ended.status.as_str());
                self.ended.output.push(optional(ended.output.as_ref()));
                self.ended.error.push(optional(ended.error.as_ref()));
                self.ended.at.push(micros(ended.at));
            }
        }
    }

    fn bind<'q>(self, query: PgQuery<'q>) -> PgQuery<'q>
    where
        'e: 'q,
    {
        let Self {
            starts,
            journal,
            parked,
            ended,
            snapshots,
            subscribe,
            ..
        } = self;
        let query = starts.bind(query);
        let query = query
            .bind(journal.execution)
            .bind(journal.sequence)
            .bind(journal.tenant)
            .bind(journal.at)
            .bind(journal.kind)
            .bind(journal.payload)
            .bind(journal.records)
            .bind(parked.0)
            .bind(parked.1)
            .bind(parked.2)
            .bind(ended.execution)
            .bind(ended.status)
            .bind(ended.output)
            .bind(ended.error)
            .bind(ended.at)
            .bind(snapshots.execution)
            .bind(snapshots.sequence)
            .bind(snapshots.format)
            .bind(snapshots.state)
            .bind(snapshots.checksum)
            .bind(subscribe.execution)
            .bind(subscribe.effect)
            .bind(subscribe.filter)
            .bind(subscribe.tenant)
            .bind(subscribe.event_type)
            .bind(subscribe.condition)
            .bind(self.unsubscribe.0)
            .bind(self.unsubscribe.1)
            .bind(self.consumed);
        self.messages.bind(query)
    }
}

impl<'e> Starts<'e> {
    fn add(&mut self, entry: &'e Entry) {
        let Some(start) = &entry.start else { return };
        self.execution.push(entry.execution.as_uuid());
        self.tenant.push(entry.tenant.as_uuid());
        self.namespace.push(&start.workflow.namespace);
        self.name.push(&start.workflow.name);
        self.version.push(&start.workflow.version);
        self.program.push(start.program.as_bytes());
        self.input.push(&start.input);
        self.parent
            .push(start.parent.map(|parent| parent.execution.as_uuid()));
        self.parent_effect
            .push(start.parent.and_then(|parent| parent.effect).map(number));
        self.key.push(start.idempotency_key.as_deref());
        self.attributes.push(super::sqlite::attributes(start));
        self.priority.push(start.priority);
        self.at.push(micros(start.at));
        self.owned.push(entry.next == Next::Owned);
    }

    fn bind<'q>(self, query: PgQuery<'q>) -> PgQuery<'q>
    where
        'e: 'q,
    {
        query
            .bind(self.execution)
            .bind(self.tenant)
            .bind(self.namespace)
            .bind(self.name)
            .bind(self.version)
            .bind(self.program)
            .bind(self.input)
            .bind(self.parent)
            .bind(self.parent_effect)
            .bind(self.key)
            .bind(self.attributes)
            .bind(self.priority)
            .bind(self.at)
            .bind(self.owned)
    }
}

impl<'e> Messages<'e> {
    fn of(messages: &'e [InboxMessage]) -> Self {
        let mut columns = Self::default();
        for message in messages {
            columns.add(message);
        }
        columns
    }

    fn add(&mut self, message: &'e InboxMessage) {
        self.id.push(message.id.as_uuid());
        self.execution.push(message.execution.as_uuid());
        self.tenant.push(message.tenant.as_uuid());
        self.kind.push(message.kind.as_str());
        self.effect.push(message.effect.map(number));
        self.payload.push(&message.payload);
        self.at.push(micros(message.at));
    }

    fn bind<'q>(self, query: PgQuery<'q>) -> PgQuery<'q>
    where
        'e: 'q,
    {
        query
            .bind(self.id)
            .bind(self.execution)
            .bind(self.tenant)
            .bind(self.kind)
            .bind(self.effect)
            .bind(self.payload)
            .bind(self.at)
    }
}
