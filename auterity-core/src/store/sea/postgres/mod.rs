//! PostgreSQL's own way: one call of a server-side function per batch and per beat.
//!
//! A call is one round trip that commits by itself, so no transaction stays open
//! when a worker freezes or a future is dropped half way.

mod amend;
mod flow;
mod human_tasks;
mod loading;
mod rows;
mod task_progress;

use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions, PgRow};
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use self::rows::{APPEND, Batch, INBOX_PUT, PgQuery, bind_messages};
use super::batch::{Refusal, refusal, unavailable};
use super::rows::{from_micros, micros};
use super::{SeaOptions, migration};
use crate::routines::Routines;
use crate::store::{Beat, Claim, ClaimRequest, Control, Entry, Fence, InboxMessage};
use crate::{Error, ErrorKind, ExecutionId, ScheduleId, TenantId, WorkerId};

/// Serialises migrations of several processes (an arbitrary constant).
const MIGRATION_LOCK: i64 = 0x6175_7465_7269_7479;

/// How long opening waits for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections for leases, claims and messages at most.
const HOT_CONNECTIONS_MAX: u32 = 4;

/// How much longer than the server's statement timeout a batch may take before the
/// connection counts as lost.
const NETWORK_PATIENCE: Duration = Duration::from_secs(5);

/// Settings of the connections that only call the functions of the hot path: its
/// statements are planned once, and along the indexes, whatever the tables' sizes
/// were at that moment.
pub(super) const HOT_SETTINGS: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

/// What only PostgreSQL does this way.
#[derive(Debug)]
pub(super) struct Postgres {
    /// The journal's connection, which nothing else uses, so that its statements stay
    /// prepared and nothing queues before it. Absent until needed and after a loss.
    journal: Mutex<Option<PgConnection>>,
    journal_options: PgConnectOptions,
    pub(super) journal_timeout: Duration,
    hot: PgPool,
    /// For functions that work in a transaction of their own.
    pub(super) functions: PgPool,
    read: PgPool,
    listening: PgPool,
    listener: Mutex<Option<PgListener>>,
    heard: watch::Sender<u64>,
    pub(super) schema: String,
}

/// How long a function's transaction waits for the lock of another one, in milliseconds:
/// it then gives way and is repeated. The other may belong to a process that is frozen.
const LOCK_PATIENCE: &str = "1500";

impl Postgres {
    pub(super) async fn open(url: &str, options: &SeaOptions) -> Result<(Self, PgPool), Error> {
        let wrong = |error| {
            Error::new(ErrorKind::Invalid, "the PostgreSQL URL cannot be read").with_source(error)
        };
        let limit = options.statement_timeout.as_millis().max(1).to_string();
        let connect = PgConnectOptions::from_str(url)
            .map_err(wrong)?
            .disable_statement_logging()
            .options([
                ("search_path", options.schema.as_str()),
                ("statement_timeout", limit.as_str()),
            ]);
        // The function sees the database as its role does, not the engine's schema.
        let plain = PgConnectOptions::from_str(url)
            .map_err(wrong)?
            .disable_statement_logging()
            .options([
                ("statement_timeout", limit.as_str()),
                ("idle_in_transaction_session_timeout", limit.as_str()),
                ("lock_timeout", LOCK_PATIENCE),
            ]);
        let pool = |most: u32| {
            PgPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(CONNECT_TIMEOUT)
        };
        let read = pool(options.connections_max.max(1))
            .min_connections(options.connections_min.min(options.connections_max))
            .connect_with(connect.clone())
            .await
            .map_err(unavailable)?;
        let patient = connect.clone().options([("statement_timeout", "0")]);
        let hot = connect.options(HOT_SETTINGS);
        let allowed = Duration::try_from(options.statement_timeout).unwrap_or_default();
        let postgres = Self {
            journal: Mutex::new(None),
            journal_options: hot.clone(),
            journal_timeout: allowed + NETWORK_PATIENCE,
            hot: pool(HOT_CONNECTIONS_MAX).connect_lazy_with(hot),
            functions: pool(options.transactions_max.max(1)).connect_lazy_with(plain),
            listening: pool(1).connect_lazy_with(patient),
            listener: Mutex::new(None),
            heard: watch::Sender::new(0),
            read: read.clone(),
            schema: options.schema.clone(),
        };
        Ok((postgres, read))
    }

    pub(super) async fn close(&self) {
        // Calling it marks the pool closed, which ends a wait that is under way; the
        // pool then waits for the listener's connection.
        let listening = self.listening.close();
        *self.listener.lock().await = None;
        listening.await;
        if let Some(connection) = self.journal.lock().await.take() {
            // The server notices by itself if the farewell does not reach it.
            let _said_goodbye = connection.close().await.is_ok();
        }
        self.hot.close().await;
        self.functions.close().await;
        self.read.close().await;
    }

    pub(super) async fn migrate(&self) -> Result<(), Error> {
        let pool = self.listening.clone();
        let schema = self.schema.clone();
        // In a routine of its own: a transaction must not be cut half way.
        let work = Routines::new().spawn("migrate", migrate(pool, schema));
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
        let query = sqlx::query("SELECT worker_register($1, $2, $3)")
            .bind(name)
            .bind(id.as_uuid())
            .bind(lease_micros(lease));
        let row = query.fetch_one(&self.hot).await.map_err(plain)?;
        Ok(Fence {
            worker: id,
            name: name.to_owned(),
            epoch: row.try_get(0).map_err(plain)?,
        })
    }

    pub(super) async fn beat(&self, fence: &Fence, request: ClaimRequest) -> Result<Beat, Error> {
        let query = "SELECT tenant, execution, look_at FROM worker_beat($1, $2, $3, $4, $5, $6)";
        let rows = sqlx::query(query)
            .bind(&fence.name)
            .bind(fence.worker.as_uuid())
            .bind(fence.epoch)
            .bind(lease_micros(request.lease))
            .bind(micros(request.now))
            .bind(i32::try_from(request.limit).unwrap_or(i32::MAX))
            .fetch_all(&self.hot)
            .await
            .map_err(plain)?;
        let mut beat = Beat::default();
        for row in &rows {
            let tenant: Option<Uuid> = row.try_get(0).map_err(plain)?;
            let execution: Option<Uuid> = row.try_get(1).map_err(plain)?;
            let look_at: Option<i64> = row.try_get(2).map_err(plain)?;
            if let Some((tenant, execution)) = tenant.zip(execution) {
                beat.claims.push(Claim {
                    tenant: TenantId::from_uuid(tenant),
                    execution: ExecutionId::from_uuid(execution),
                });
            }
            if let Some(at) = look_at {
                beat.look_at = Some(from_micros(at)?);
            }
        }
        Ok(beat)
    }

    pub(super) async fn release(&self, fence: &Fence) -> Result<(), Error> {
        let query = sqlx::query("SELECT worker_release($1, $2, $3)")
            .bind(&fence.name)
            .bind(fence.worker.as_uuid())
            .bind(fence.epoch);
        query.execute(&self.hot).await.map(|_| ()).map_err(plain)
    }

    pub(super) async fn inbox_put(&self, messages: &[InboxMessage]) -> Result<(), Error> {
        let query = sqlx::query(INBOX_PUT);
        let query = bind_messages(messages, query);
        query.execute(&self.hot).await.map(|_| ()).map_err(plain)
    }

    pub(super) async fn control_put(
        &self,
        message: &InboxMessage,
        control: Control,
    ) -> Result<bool, Error> {
        let query = sqlx::query("SELECT control_put($1, $2, $3, $4, $5, $6, $7, $8, $9)");
        let suspended = match control {
            Control::Tell => None,
            Control::Suspend => Some(true),
            Control::Resume | Control::End => Some(false),
        };
        let messages = std::slice::from_ref(message);
        let query = bind_messages(messages, query)
            .bind(suspended)
            .bind(control == Control::End);
        let row = query.fetch_one(&self.hot).await.map_err(plain)?;
        row.try_get(0).map_err(plain)
    }

    /// Executes one statement with texts as parameters, along the indexes; gives the ids
    /// in its first column.
    pub(super) async fn steps(
        &self,
        text: String,
        values: Vec<String>,
    ) -> Result<Vec<ScheduleId>, Error> {
        let query = values
            .into_iter()
            .fold(sqlx::query(AssertSqlSafe(text)), sqlx::query::Query::bind);
        let rows = query.fetch_all(&self.hot).await.map_err(plain)?;
        let ids = rows
            .iter()
            .map(|row| row.try_get(0).map(ScheduleId::from_uuid));
        ids.collect::<Result<_, _>>().map_err(plain)
    }

    /// Writes a batch; gives the executions whose entries were left out.
    pub(super) async fn append(
        &self,
        careful: bool,
        fence: Option<&Fence>,
        entries: &[&Entry],
    ) -> Result<Vec<ExecutionId>, Refusal> {
        skipped(&self.call(append_query(careful, fence, entries)).await?)
    }

    /// Calls a function on the journal's connection.
    ///
    /// The connection is out of its place meanwhile, so a call that is cut half way,
    /// or that failed in an unclear way, takes it along; the next call makes another.
    async fn call(&self, query: PgQuery<'_>) -> Result<PgRow, Refusal> {
        let mut place = self.journal.lock().await;
        let mut connection = match place.take() {
            Some(connection) => connection,
            None => timeout(CONNECT_TIMEOUT, self.journal_options.connect())
                .await
                .map_err(|_| Refusal::Other(silent()))?
                .map_err(refusal)?,
        };
        let called = timeout(self.journal_timeout, query.fetch_one(&mut connection))
            .await
            .map_err(|_| Refusal::Other(silent()))?;
        let usable = match &called {
            Ok(_) => true,
            // After these the server ends the connection.
            Err(sqlx::Error::Database(error)) => {
                error.code().is_none_or(|code| !code.starts_with("57P"))
            }
            Err(_) => false,
        };
        if usable {
            *place = Some(connection);
        }
        called.map_err(refusal)
    }

    pub(super) async fn wake_send(&self) -> Result<(), Error> {
        let query = sqlx::query("SELECT pg_notify($1, '')").bind(self.channel());
        query.execute(&self.hot).await.map(|_| ()).map_err(plain)
    }

    /// Waits for a word. One caller listens, the others wait for what it hears.
    pub(super) async fn wake_wait(&self) -> Result<(), Error> {
        let mut heard = self.heard.subscribe();
        tokio::select! {
            result = self.listen() => result,
            // The sender lives in `self`.
            changed = heard.changed() => changed.map_err(|_| silent()),
        }
    }

    async fn listen(&self) -> Result<(), Error> {
        let mut place = self.listener.lock().await;
        let listener = match place.as_mut() {
            Some(listener) => listener,
            None => {
                let mut listener = PgListener::connect_with(&self.listening)
                    .await
                    .map_err(unavailable)?;
                listener
                    .listen(&self.channel())
                    .await
                    .map_err(unavailable)?;
                place.insert(listener)
            }
        };
        match listener.recv().await {
            Ok(_) => {
                self.heard.send_modify(|count| *count += 1);
                Ok(())
            }
            Err(error) => {
                *place = None;
                Err(unavailable(error))
            }
        }
    }

    fn channel(&self) -> String {
        format!("{}_due", self.schema)
    }
}

/// Writes an entry on a connection, as a part of the transaction that is open there.
pub(super) async fn append_on(
    connection: &mut PgConnection,
    fence: &Fence,
    entry: &Entry,
) -> Result<Vec<ExecutionId>, Refusal> {
    let query = append_query(true, Some(fence), &[entry]);
    skipped(&query.fetch_one(connection).await.map_err(refusal)?)
}

fn append_query<'q>(careful: bool, fence: Option<&'q Fence>, entries: &[&'q Entry]) -> PgQuery<'q> {
    let batch = Batch::of(entries);
    let query = sqlx::query(APPEND)
        .bind(careful || batch.needs_care())
        .bind(batch.is_keyed())
        .bind(batch.is_queueing())
        .bind(fence.map(|fence| fence.name.as_str()))
        .bind(fence.map(|fence| fence.worker.as_uuid()))
        .bind(fence.map(|fence| fence.epoch));
    batch.bind(query)
}

fn skipped(row: &PgRow) -> Result<Vec<ExecutionId>, Refusal> {
    let skipped: Vec<Uuid> = row.try_get(0).map_err(refusal)?;
    Ok(skipped.into_iter().map(ExecutionId::from_uuid).collect())
}

async fn migrate(pool: PgPool, schema: String) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .execute(&mut *transaction)
        .await?;
    // The schema's name was checked to be a plain word.
    let create = format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\"");
    sqlx::raw_sql(AssertSqlSafe(create))
        .execute(&mut *transaction)
        .await?;
    sqlx::raw_sql(migration::TABLE)
        .execute(&mut *transaction)
        .await?;
    let row = sqlx::query("SELECT coalesce(max(version), 0)::bigint FROM migration")
        .fetch_one(&mut *transaction)
        .await?;
    let done = migration::next(row.try_get(0)?, migration::POSTGRES.len())?;
    for (place, text) in migration::POSTGRES.iter().enumerate().skip(done) {
        sqlx::raw_sql(*text).execute(&mut *transaction).await?;
        sqlx::query("INSERT INTO migration (version) VALUES ($1)")
            .bind(i32::try_from(place + 1).unwrap_or(i32::MAX))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

fn lease_micros(lease: SignedDuration) -> i64 {
    i64::try_from(lease.as_micros()).unwrap_or(i64::MAX)
}

pub(super) fn silent() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the database did not answer in time",
    )
}

fn plain(error: sqlx::Error) -> Error {
    refusal(error).into_error()
}
