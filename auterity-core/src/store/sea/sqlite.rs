//! SQLite's own way: one writing connection, one transaction per batch, few
//! statements with many rows.

use std::fmt::Write;
use std::str::FromStr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, Row, Sqlite as Database};

use super::batch::{Refusal, fenced, refusal};
use super::rows::{checksum, micros, number};
use super::{SeaOptions, Synchronous, migration};
use crate::routines::Routines;
use crate::store::{Claim, ClaimRequest, Entry, Fence, InboxMessage, Next, Start};
use crate::{Error, ErrorKind, ExecutionId, TenantId, WorkerId};

/// How long a statement waits for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Rows per statement: few sizes, so that the prepared statements stay few.
const CHUNKS: [usize; 4] = [64, 16, 4, 1];

#[derive(Debug)]
pub(super) struct Sqlite {
    /// The one connection that writes.
    pub(super) writer: SqlitePool,
    routines: Routines,
}

type Query<'q> = sqlx::query::Query<'q, Database, SqliteArguments>;
type Done<T> = Result<T, Refusal>;

impl Sqlite {
    pub(super) async fn open(url: &str, options: &SeaOptions) -> Result<(Self, SqlitePool), Error> {
        let wrong = |error| {
            Error::new(ErrorKind::Invalid, "the SQLite URL cannot be read").with_source(error)
        };
        let synchronous = match options.synchronous {
            Synchronous::Full => SqliteSynchronous::Full,
            Synchronous::Normal => SqliteSynchronous::Normal,
        };
        let connect = SqliteConnectOptions::from_str(url)
            .map_err(wrong)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(200);
        let pool = |most: u32| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        let writer = pool(1)
            .connect_with(connect.clone())
            .await
            .map_err(unavailable)?;
        let readers = pool(options.connections_max.max(1))
            .connect_with(connect.read_only(false).pragma("query_only", "ON"))
            .await
            .map_err(unavailable)?;
        Ok((
            Self {
                writer,
                routines: Routines::new(),
            },
            readers,
        ))
    }

    /// Does work in one transaction, in a routine of its own so that it is never cut
    /// half way.
    async fn transaction<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Done<T>> + Send + 'static,
    ) -> Done<T> {
        let writer = self.writer.clone();
        let routine = self.routines.spawn("sqlite write", async move {
            let mut connection = writer.acquire().await.map_err(refusal)?;
            sqlx::query("BEGIN IMMEDIATE")
                .execute(&mut *connection)
                .await
                .map_err(refusal)?;
            match work(&mut connection).await {
                Ok(value) => {
                    sqlx::query("COMMIT")
                        .execute(&mut *connection)
                        .await
                        .map_err(refusal)?;
                    Ok(value)
                }
                Err(error) => {
                    // Some errors have rolled back already; then this one fails, harmlessly.
                    let _rolled_back = sqlx::query("ROLLBACK")
                        .execute(&mut *connection)
                        .await
                        .is_ok();
                    Err(error)
                }
            }
        });
        match routine.await {
            Ok(result) => result,
            Err(error) => {
                let message = "a database write was cut off";
                Err(Refusal::Other(
                    Error::new(ErrorKind::Internal, message).with_source(error),
                ))
            }
        }
    }

    pub(super) async fn migrate(&self) -> Result<(), Error> {
        let migrated = self.transaction(|connection| {
            Box::pin(async move {
                sqlx::raw_sql(migration::TABLE)
                    .execute(&mut *connection)
                    .await
                    .map_err(refusal)?;
                let row = sqlx::query("SELECT coalesce(max(version), 0) FROM migration")
                    .fetch_one(&mut *connection)
                    .await
                    .map_err(refusal)?;
                let done = usize::try_from(row.get::<i64, _>(0)).unwrap_or(0);
                for (place, text) in migration::SQLITE.iter().enumerate().skip(done) {
                    sqlx::raw_sql(*text)
                        .execute(&mut *connection)
                        .await
                        .map_err(refusal)?;
                    sqlx::query("INSERT INTO migration (version) VALUES ($1)")
                        .bind(number(place as u64 + 1))
                        .execute(&mut *connection)
                        .await
                        .map_err(refusal)?;
                }
                Ok(())
            })
        });
        migrated.await.map_err(plain)
    }

    pub(super) async fn register(
        &self,
        name: &str,
        id: WorkerId,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<Fence, Error> {
        let name = name.to_owned();
        let lease_until = micros(now.checked_add(lease).unwrap_or(Timestamp::MAX));
        let registered = self.transaction(move |connection| {
            Box::pin(async move {
                let earlier = sqlx::query("SELECT id, epoch FROM worker WHERE name = $1")
                    .bind(&name)
                    .fetch_optional(&mut *connection)
                    .await
                    .map_err(refusal)?;
                let mut epoch = 1;
                if let Some(row) = earlier {
                    epoch = row.get::<i64, _>(1) + 1;
                    retire(&mut *connection, row.get(0)).await?;
                }
                sqlx::query(
                    "INSERT INTO worker (id, name, epoch, lease_until) VALUES ($1, $2, $3, $4)",
                )
                .bind(id.as_uuid())
                .bind(&name)
                .bind(epoch)
                .bind(lease_until)
                .execute(&mut *connection)
                .await
                .map_err(refusal)?;
                Ok(Fence {
                    worker: id,
                    name,
                    epoch,
                })
            })
        });
        registered.await.map_err(plain)
    }

    pub(super) async fn beat(
        &self,
        fence: &Fence,
        request: ClaimRequest,
    ) -> Result<Vec<Claim>, Error> {
        let fence = fence.clone();
        let claimed = self.transaction(move |connection| {
            Box::pin(async move {
                check(&mut *connection, &fence).await?;
                let until = request
                    .now
                    .checked_add(request.lease)
                    .unwrap_or(Timestamp::MAX);
                sqlx::query("UPDATE worker SET lease_until = $1 WHERE id = $2")
                    .bind(micros(until))
                    .bind(fence.worker.as_uuid())
                    .execute(&mut *connection)
                    .await
                    .map_err(refusal)?;
                let dead = sqlx::query("SELECT id FROM worker WHERE lease_until < $1")
                    .bind(micros(request.now))
                    .fetch_all(&mut *connection)
                    .await
                    .map_err(refusal)?;
                for row in dead {
                    retire(&mut *connection, row.get(0)).await?;
                }
                claim(&mut *connection, &fence, request).await
            })
        });
        claimed.await.map_err(plain)
    }

    pub(super) async fn release(&self, fence: &Fence) -> Result<(), Error> {
        let fence = fence.clone();
        let released = self.transaction(move |connection| {
            Box::pin(async move {
                if check(&mut *connection, &fence).await.is_ok() {
                    retire(&mut *connection, fence.worker.as_uuid()).await?;
                }
                Ok(())
            })
        });
        released.await.map_err(plain)
    }

    pub(super) async fn inbox_put(&self, messages: &[InboxMessage]) -> Result<(), Error> {
        if messages.is_empty() {
            return Ok(());
        }
        let messages = messages.to_vec();
        let put = self.transaction(move |connection| {
            Box::pin(async move { put(&mut *connection, messages.iter()).await })
        });
        put.await.map_err(plain)
    }

    pub(super) async fn append(&self, fence: Option<&Fence>, entries: &[Entry]) -> Done<()> {
        let fence = fence.cloned();
        // Texts are shared, so this copies little more than pointers.
        let entries = entries.to_vec();
        self.transaction(move |connection| {
            Box::pin(async move {
                if let Some(fence) = &fence {
                    check(&mut *connection, fence).await?;
                }
                write(&mut *connection, fence.as_ref(), &entries).await
            })
        })
        .await
    }
}

fn unavailable(error: sqlx::Error) -> Error {
    Error::new(ErrorKind::Unavailable, "the database cannot be opened").with_source(error)
}

fn plain(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Other(error) => error,
        Refusal::Entry(reason) => Error::new(
            ErrorKind::Invalid,
            format!("the database cannot take this: {reason}"),
        ),
        Refusal::Duplicate => Error::new(ErrorKind::Conflict, "a row is there already"),
    }
}

pub(super) fn attributes(start: &Start) -> Option<String> {
    if start.attributes.is_empty() {
        return None;
    }
    serde_json::to_string(&start.attributes).ok()
}

async fn check(connection: &mut SqliteConnection, fence: &Fence) -> Done<()> {
    let row = sqlx::query("SELECT 1 FROM worker WHERE id = $1 AND epoch = $2")
        .bind(fence.worker.as_uuid())
        .bind(fence.epoch)
        .fetch_optional(connection)
        .await
        .map_err(refusal)?;
    row.map(|_| ()).ok_or_else(|| Refusal::Other(fenced()))
}

/// Ends a worker's life: what it owned becomes due.
async fn retire(connection: &mut SqliteConnection, id: Uuid) -> Done<()> {
    for text in [
        "DELETE FROM worker WHERE id = $1",
        "UPDATE queue SET owner = NULL, due_at = 0 WHERE owner = $1",
    ] {
        sqlx::query(text)
            .bind(id)
            .execute(&mut *connection)
            .await
            .map_err(refusal)?;
    }
    Ok(())
}

async fn claim(
    connection: &mut SqliteConnection,
    fence: &Fence,
    request: ClaimRequest,
) -> Done<Vec<Claim>> {
    if request.limit == 0 {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "UPDATE queue SET owner = $1, due_at = NULL, state = 'running', waiting_for = NULL
         WHERE execution IN (SELECT execution FROM queue
                             WHERE owner IS NULL AND due_at IS NOT NULL AND due_at <= $2
                             ORDER BY priority DESC, due_at LIMIT $3)
         RETURNING tenant, execution",
    )
    .bind(fence.worker.as_uuid())
    .bind(micros(request.now))
    .bind(i64::from(request.limit))
    .fetch_all(connection)
    .await
    .map_err(refusal)?;
    Ok(rows
        .iter()
        .map(|row| Claim {
            tenant: TenantId::from_uuid(row.get(0)),
            execution: ExecutionId::from_uuid(row.get(1)),
        })
        .collect())
}

/// Executes one statement per chunk of rows.
async fn many<'r, R>(
    connection: &mut SqliteConnection,
    (head, tail, columns): (&str, &str, usize),
    rows: &'r [R],
    bind: impl Fn(Query<'r>, &'r R) -> Query<'r>,
) -> Done<u64> {
    let mut rest = rows;
    let mut changed = 0;
    while !rest.is_empty() {
        let size = CHUNKS
            .into_iter()
            .find(|size| *size <= rest.len())
            .unwrap_or(1);
        let (now, later) = rest.split_at(size);
        let mut text = head.to_owned();
        let row = vec!["?"; columns].join(", ");
        for place in 0..size {
            let comma = if place == 0 { "" } else { ", " };
            // Writing into a text cannot fail.
            let _written = write!(text, "{comma}({row})").is_ok();
        }
        text.push_str(tail);
        let mut query = sqlx::query(AssertSqlSafe(text));
        for row in now {
            query = bind(query, row);
        }
        changed += query
            .execute(&mut *connection)
            .await
            .map_err(refusal)?
            .rows_affected();
        rest = later;
    }
    Ok(changed)
}

async fn write(
    connection: &mut SqliteConnection,
    fence: Option<&Fence>,
    entries: &[Entry],
) -> Done<()> {
    starts(connection, fence, entries).await?;
    journal(connection, entries).await?;
    snapshots(connection, entries).await?;
    subscriptions(connection, entries).await?;
    for id in entries.iter().flat_map(|entry| &entry.consumed) {
        sqlx::query("UPDATE inbox SET consumed = true WHERE id = $1")
            .bind(id.as_uuid())
            .execute(&mut *connection)
            .await
            .map_err(refusal)?;
    }
    for entry in entries {
        if let Next::Parked { due, waiting_for } = &entry.next {
            park(
                connection,
                entry.execution,
                due.map(micros),
                waiting_for.as_deref(),
            )
            .await?;
        }
    }
    ends(connection, entries).await?;
    put(connection, entries.iter().flat_map(|entry| &entry.messages)).await
}

async fn starts(
    connection: &mut SqliteConnection,
    fence: Option<&Fence>,
    entries: &[Entry],
) -> Done<()> {
    let started: Vec<(&Entry, &Start)> = entries
        .iter()
        .filter_map(|entry| Some((entry, entry.start.as_ref()?)))
        .collect();
    let head = "INSERT INTO execution (id, tenant, namespace, name, version, program, input,
        parent, parent_effect, idempotency_key, attributes, started_at) VALUES ";
    many(
        connection,
        (head, "", 12),
        &started,
        |query, (entry, start)| {
            query
                .bind(entry.execution.as_uuid())
                .bind(entry.tenant.as_uuid())
                .bind(&start.workflow.namespace)
                .bind(&start.workflow.name)
                .bind(&start.workflow.version)
                .bind(start.program.as_bytes().as_slice())
                .bind(&*start.input)
                .bind(start.parent.map(|parent| parent.execution.as_uuid()))
                .bind(start.parent.and_then(|parent| parent.effect).map(number))
                .bind(start.idempotency_key.as_deref())
                .bind(attributes(start))
                .bind(micros(start.at))
        },
    )
    .await?;
    let open: Vec<(&Entry, &Start)> = started
        .into_iter()
        .filter(|(entry, _)| !matches!(entry.next, Next::Ended(_)))
        .collect();
    let head = "INSERT INTO queue (execution, tenant, owner, due_at, priority, state) VALUES ";
    many(connection, (head, "", 6), &open, |query, (entry, start)| {
        let owner = fence
            .filter(|_| entry.next == Next::Owned)
            .map(|it| it.worker.as_uuid());
        let due = if owner.is_some() {
            None
        } else {
            Some(micros(start.at))
        };
        query
            .bind(entry.execution.as_uuid())
            .bind(entry.tenant.as_uuid())
            .bind(owner)
            .bind(due)
            .bind(start.priority)
            .bind(if owner.is_some() {
                "running"
            } else {
                "pending"
            })
    })
    .await?;
    Ok(())
}

async fn journal(connection: &mut SqliteConnection, entries: &[Entry]) -> Done<()> {
    let rows: Vec<_> = entries
        .iter()
        .flat_map(|entry| entry.events.iter().map(move |event| (entry, event)))
        .collect();
    let head =
        "INSERT INTO journal (execution, sequence, tenant, at, kind, payload, records) VALUES ";
    many(connection, (head, "", 7), &rows, |query, (entry, event)| {
        query
            .bind(entry.execution.as_uuid())
            .bind(number(event.sequence))
            .bind(entry.tenant.as_uuid())
            .bind(micros(event.at))
            .bind(event.kind)
            .bind(&*event.payload)
            .bind(&*event.records)
    })
    .await?;
    Ok(())
}

async fn snapshots(connection: &mut SqliteConnection, entries: &[Entry]) -> Done<()> {
    let rows: Vec<_> = entries
        .iter()
        .filter_map(|entry| Some((entry.execution, entry.snapshot.as_ref()?)))
        .collect();
    let head = "INSERT INTO snapshot (execution, sequence, format, state, checksum) VALUES ";
    let tail = " ON CONFLICT (execution) DO UPDATE SET sequence = excluded.sequence,
        format = excluded.format, state = excluded.state, checksum = excluded.checksum";
    many(
        connection,
        (head, tail, 5),
        &rows,
        |query, (execution, snapshot)| {
            query
                .bind(execution.as_uuid())
                .bind(number(snapshot.sequence))
                .bind(i64::from(snapshot.format))
                .bind(&*snapshot.state)
                .bind(checksum(&snapshot.state))
        },
    )
    .await?;
    Ok(())
}

async fn subscriptions(connection: &mut SqliteConnection, entries: &[Entry]) -> Done<()> {
    let rows: Vec<_> = entries.iter().flat_map(|entry| &entry.subscribe).collect();
    let head = "INSERT INTO subscription (execution, effect, filter, tenant, event_type, condition) VALUES ";
    many(connection, (head, "", 6), &rows, |query, subscription| {
        query
            .bind(subscription.execution.as_uuid())
            .bind(number(subscription.effect))
            .bind(i64::from(subscription.filter))
            .bind(subscription.tenant.as_uuid())
            .bind(subscription.event_type.as_deref())
            .bind(&*subscription.condition)
    })
    .await?;
    for entry in entries {
        for effect in &entry.unsubscribe {
            sqlx::query("DELETE FROM subscription WHERE execution = $1 AND effect = $2")
                .bind(entry.execution.as_uuid())
                .bind(number(*effect))
                .execute(&mut *connection)
                .await
                .map_err(refusal)?;
        }
    }
    Ok(())
}

async fn park(
    connection: &mut SqliteConnection,
    execution: ExecutionId,
    due: Option<i64>,
    waiting_for: Option<&str>,
) -> Done<()> {
    let parked = sqlx::query(
        "UPDATE queue SET owner = NULL, state = 'waiting', waiting_for = $1,
            due_at = CASE WHEN EXISTS (SELECT 1 FROM inbox
                                       WHERE inbox.execution = $2 AND NOT consumed)
                          THEN 0 ELSE $3 END
         WHERE execution = $2",
    )
    .bind(waiting_for)
    .bind(execution.as_uuid())
    .bind(due)
    .execute(connection)
    .await
    .map_err(refusal)?;
    if parked.rows_affected() == 0 {
        Err(Refusal::Duplicate)
    } else {
        Ok(())
    }
}

async fn ends(connection: &mut SqliteConnection, entries: &[Entry]) -> Done<()> {
    for entry in entries {
        let Next::Ended(ended) = &entry.next else {
            continue;
        };
        let changed = sqlx::query(
            "UPDATE execution SET status = $1, output = $2, error = $3, ended_at = $4
             WHERE id = $5 AND status = 'active'",
        )
        .bind(ended.status.as_str())
        .bind(ended.output.as_deref())
        .bind(ended.error.as_deref())
        .bind(micros(ended.at))
        .bind(entry.execution.as_uuid())
        .execute(&mut *connection)
        .await
        .map_err(refusal)?;
        if changed.rows_affected() == 0 {
            return Err(Refusal::Duplicate);
        }
    }
    let gone: Vec<ExecutionId> = entries
        .iter()
        .filter(|entry| matches!(entry.next, Next::Ended(_)))
        .map(|entry| entry.execution)
        .collect();
    for head in [
        "DELETE FROM queue WHERE execution IN (VALUES ",
        "DELETE FROM snapshot WHERE execution IN (VALUES ",
        "DELETE FROM subscription WHERE execution IN (VALUES ",
        "DELETE FROM inbox WHERE execution IN (VALUES ",
    ] {
        many(connection, (head, ")", 1), &gone, |query, id| {
            query.bind(id.as_uuid())
        })
        .await?;
    }
    Ok(())
}

/// Puts messages and makes parked receivers due.
async fn put<'m>(
    connection: &mut SqliteConnection,
    messages: impl Iterator<Item = &'m InboxMessage>,
) -> Done<()> {
    for message in messages {
        let added = sqlx::query(
            "INSERT INTO inbox (id, execution, tenant, kind, effect, payload, at)
             SELECT $1, $2, $3, $4, $5, $6, $7
             WHERE EXISTS (SELECT 1 FROM queue WHERE execution = $2 AND tenant = $3)
             ON CONFLICT (id) DO NOTHING",
        )
        .bind(message.id.as_uuid())
        .bind(message.execution.as_uuid())
        .bind(message.tenant.as_uuid())
        .bind(message.kind.as_str())
        .bind(message.effect.map(number))
        .bind(&*message.payload)
        .bind(micros(message.at))
        .execute(&mut *connection)
        .await
        .map_err(refusal)?;
        if added.rows_affected() == 0 {
            continue;
        }
        sqlx::query("UPDATE queue SET due_at = 0 WHERE execution = $1 AND owner IS NULL")
            .bind(message.execution.as_uuid())
            .execute(&mut *connection)
            .await
            .map_err(refusal)?;
    }
    Ok(())
}
