//! SQLite's own way: one connection that writes, and one text per batch.

mod claim;
mod control;
mod flow;
mod gates;
mod human_tasks;
mod retention;
mod sections;
mod task_progress;

use std::fs::OpenOptions;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use tokio::sync::{Mutex, OwnedMutexGuard};

use self::claim::{claim, next_timer};
use self::sections::{CAREFUL_APPENDS, CAREFUL_STARTS, Script, TEMPORARY};
use super::batch::{Refusal, fenced, refusal, unavailable};
use super::rows::micros;
use super::{SeaOptions, Synchronous, migration};
use crate::routines::Routines;
use crate::store::{Beat, ClaimRequest, Entry, Fence, InboxMessage};
use crate::{Error, ErrorKind, ExecutionId, ScheduleId, WorkerId};

/// How long a statement waits for another process's transaction.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Pages of the write-ahead log after which a commit moves them into the database:
/// 16 MiB with the usual page.
const CHECKPOINT_PAGES: &str = "4096";

/// Bytes to which the write-ahead log is cut after a checkpoint.
const LOG_BYTES_MAX: &str = "67108864";

/// What only SQLite does this way.
#[derive(Debug)]
pub(super) struct Sqlite {
    /// For definitions: rare, and apart from the journal's connection.
    pub(super) writer: SqlitePool,
    hot: Arc<Writer>,
    routines: Routines,
}

/// The connection that writes journal and queue. Absent until needed and after a loss.
#[derive(Debug)]
struct Writer {
    options: SqliteConnectOptions,
    place: Arc<Mutex<Option<SqliteConnection>>>,
}

type Done<T> = Result<T, Refusal>;

/// Makes the file readable by its owner only, before SQLite would make it for all: it
/// holds what all tenants gave and got.
fn make_private(path: &Path) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|error| {
        let message = "the SQLite file cannot be made or written; check that its folder exists";
        Error::new(ErrorKind::Unavailable, message)
            .with("path", path.display())
            .with_source(error)
    })
}

impl Sqlite {
    pub(super) async fn open(url: &str, options: &SeaOptions) -> Result<(Self, SqlitePool), Error> {
        let wrong = |error| {
            Error::new(ErrorKind::Invalid, "the SQLite URL cannot be read").with_source(error)
        };
        if url.contains(":memory:") || url.contains("mode=memory") {
            // Each connection would have a database of its own.
            let message = "SQLite needs a file here; use the store in memory instead";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
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
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
            .pragma("journal_size_limit", LOG_BYTES_MAX)
            .statement_cache_capacity(200)
            .disable_statement_logging();
        let pool = |most: u32| {
            SqlitePoolOptions::new()
                .max_connections(most)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
        };
        make_private(connect.get_filename())?;
        // The first connection makes the write-ahead log, with the mode of the file.
        let writer = pool(1)
            .connect_with(connect.clone())
            .await
            .map_err(unavailable)?;
        let readers = pool(options.connections_max.max(1))
            .min_connections(options.connections_min.min(options.connections_max))
            .connect_with(connect.clone().pragma("query_only", "ON"))
            .await
            .map_err(unavailable)?;
        let hot = Writer {
            options: connect,
            place: Arc::default(),
        };
        let sqlite = Self {
            writer,
            hot: Arc::new(hot),
            routines: Routines::new(),
        };
        Ok((sqlite, readers))
    }

    pub(super) async fn close(&self) {
        if let Some(connection) = self.hot.place.lock().await.take() {
            // What was committed is in the file, however the connection ends.
            let _closed = connection.close().await.is_ok();
        }
        self.writer.close().await;
    }

    pub(super) async fn migrate(&self) -> Result<(), Error> {
        let migrated = self.transaction(|connection| {
            Box::pin(async move { migrate(connection).await.map_err(refusal) })
        });
        migrated.await.map_err(Refusal::into_error)
    }

    pub(super) async fn register(
        &self,
        name: &str,
        id: WorkerId,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<Fence, Error> {
        let name = name.to_owned();
        let until = lease_until(now, lease);
        let registered = self.transaction(move |connection| {
            Box::pin(async move {
                let earlier = sqlx::query("SELECT id FROM worker WHERE name = $1")
                    .bind(&name)
                    .fetch_optional(&mut *connection)
                    .await
                    .map_err(refusal)?;
                let text = "INSERT INTO worker (name, id, epoch, lease_until)
                     VALUES ($1, $2, 1, $3)
                     ON CONFLICT (name) DO UPDATE SET id = excluded.id, epoch = epoch + 1,
                        lease_until = excluded.lease_until
                     RETURNING epoch";
                let row = sqlx::query(text)
                    .bind(&name)
                    .bind(id.as_uuid())
                    .bind(until)
                    .fetch_one(&mut *connection)
                    .await
                    .map_err(refusal)?;
                if let Some(earlier) = earlier {
                    free(connection, earlier.try_get(0).map_err(refusal)?).await?;
                }
                Ok(Fence {
                    worker: id,
                    name,
                    epoch: row.try_get(0).map_err(refusal)?,
                })
            })
        });
        registered.await.map_err(Refusal::into_error)
    }

    pub(super) async fn beat(&self, fence: &Fence, request: ClaimRequest) -> Result<Beat, Error> {
        let fence = fence.clone();
        let claimed = self.transaction(move |connection| {
            Box::pin(async move {
                let text = "UPDATE worker SET lease_until = $4
                     WHERE name = $1 AND id = $2 AND epoch = $3";
                let renewed = sqlx::query(text)
                    .bind(&fence.name)
                    .bind(fence.worker.as_uuid())
                    .bind(fence.epoch)
                    .bind(lease_until(request.now, request.lease))
                    .execute(&mut *connection)
                    .await
                    .map_err(refusal)?;
                if renewed.rows_affected() == 0 {
                    return Err(Refusal::Other(fenced()));
                }
                let text = "UPDATE worker SET epoch = epoch + 1, lease_until = NULL
                     WHERE lease_until < $1 AND name <> $2 RETURNING id";
                let dead = sqlx::query(text)
                    .bind(micros(request.now))
                    .bind(&fence.name)
                    .fetch_all(&mut *connection)
                    .await
                    .map_err(refusal)?;
                for row in dead {
                    free(&mut *connection, row.try_get(0).map_err(refusal)?).await?;
                }
                let look_at = gates::look(&mut *connection, micros(request.now)).await?;
                let claims = claim(&mut *connection, fence.worker, request).await?;
                let timer = next_timer(connection, request.now).await?;
                let look_at = look_at.into_iter().chain(timer).min();
                Ok(Beat { claims, look_at })
            })
        });
        claimed.await.map_err(Refusal::into_error)
    }

    pub(super) async fn release(&self, fence: &Fence) -> Result<(), Error> {
        let fence = fence.clone();
        let released = self.transaction(move |connection| {
            Box::pin(async move {
                let text = "UPDATE worker SET epoch = epoch + 1, lease_until = NULL
                     WHERE name = $1 AND id = $2 AND epoch = $3";
                let ended = sqlx::query(text)
                    .bind(&fence.name)
                    .bind(fence.worker.as_uuid())
                    .bind(fence.epoch)
                    .execute(&mut *connection)
                    .await
                    .map_err(refusal)?;
                if 0 < ended.rows_affected() {
                    free(connection, fence.worker.as_uuid()).await?;
                }
                Ok(())
            })
        });
        released.await.map_err(Refusal::into_error)
    }

    pub(super) async fn inbox_put(&self, messages: &[InboxMessage]) -> Result<(), Error> {
        if messages.is_empty() {
            return Ok(());
        }
        let script = Script::messages(messages).map_err(|error| unwritable(&error));
        let put = self.execute(None, script.map_err(Refusal::into_error)?);
        put.await.map_err(Refusal::into_error)
    }

    /// Writes a batch; gives the executions whose entries were left out.
    pub(super) async fn append(
        &self,
        careful: bool,
        fence: Option<&Fence>,
        entries: &[&Entry],
    ) -> Done<Vec<ExecutionId>> {
        let skipped = if careful {
            self.skipped(fence, entries).await?
        } else {
            Vec::new()
        };
        let kept = entries.iter().copied();
        let kept: Vec<&Entry> = kept
            .filter(|entry| !skipped.contains(&entry.execution))
            .collect();
        let script = Script::of(fence, &kept).map_err(|error| unwritable(&error))?;
        self.execute(fence, script).await?;
        Ok(skipped)
    }

    /// Looks for what is to be left out of a batch. What changes before the batch is
    /// written makes its guard refuse it again.
    async fn skipped(&self, fence: Option<&Fence>, entries: &[&Entry]) -> Done<Vec<ExecutionId>> {
        let mut skipped = sections::repeated_keys(entries);
        let appends = sections::appends_json(entries).map_err(|error| unwritable(&error))?;
        let starts = sections::starts_json(entries).map_err(|error| unwritable(&error))?;
        let fence = fence.cloned();
        let found = self.transaction(move |connection| {
            Box::pin(async move {
                if let Some(fence) = &fence {
                    check(&mut *connection, fence).await?;
                }
                let worker = fence.map(|fence| fence.worker.as_uuid());
                let mut found = Vec::new();
                for (text, rows) in [(CAREFUL_APPENDS, appends), (CAREFUL_STARTS, starts)] {
                    let query = sqlx::query(text).bind(rows).bind(worker);
                    let rows = query.fetch_all(&mut *connection).await.map_err(refusal)?;
                    for row in rows {
                        let id: Uuid = row.try_get(0).map_err(refusal)?;
                        found.push(ExecutionId::from_uuid(id));
                    }
                }
                Ok(found)
            })
        });
        skipped.extend(found.await?);
        Ok(skipped)
    }

    /// Executes a script, which is a whole transaction.
    async fn execute(&self, fence: Option<&Fence>, script: Script) -> Done<()> {
        let fence = fence.cloned();
        self.on_writer(move |connection| {
            Box::pin(async move {
                let query = sqlx::query(AssertSqlSafe(script.text()));
                let query = script.bind(query, fence.as_ref());
                let executed = query.execute(&mut *connection).await;
                executed.map(|_| ()).map_err(refusal)
            })
        })
        .await
    }

    /// Executes statements in one transaction; those after the first get the ids that it
    /// gave as one more parameter, a JSON array.
    pub(super) async fn steps(
        &self,
        first: String,
        rest: Vec<String>,
        values: Vec<String>,
    ) -> Result<Vec<ScheduleId>, Error> {
        let done = self.transaction(move |connection| {
            Box::pin(async move {
                let query = values
                    .iter()
                    .fold(sqlx::query(AssertSqlSafe(first)), |query, value| {
                        query.bind(value.clone())
                    });
                let rows = query.fetch_all(&mut *connection).await.map_err(refusal)?;
                let ids: Result<Vec<Uuid>, _> = rows.iter().map(|row| row.try_get(0)).collect();
                let ids = ids.map_err(refusal)?;
                if ids.is_empty() {
                    return Ok(Vec::new());
                }
                let hex: Vec<String> = ids.iter().map(|id| id.simple().to_string()).collect();
                let hex = serde_json::to_string(&hex).map_err(|error| unwritable(&error))?;
                for text in rest {
                    let query = values
                        .iter()
                        .chain([&hex])
                        .fold(sqlx::query(AssertSqlSafe(text)), |query, value| {
                            query.bind(value.clone())
                        });
                    query.execute(&mut *connection).await.map_err(refusal)?;
                }
                Ok(ids.into_iter().map(ScheduleId::from_uuid).collect())
            })
        });
        done.await.map_err(Refusal::into_error)
    }

    /// Takes the writing connection out of its place; nothing else writes until the
    /// place is given back.
    pub(super) async fn take_writer(
        &self,
    ) -> Done<(OwnedMutexGuard<Option<SqliteConnection>>, SqliteConnection)> {
        let mut place = Arc::clone(&self.hot.place).lock_owned().await;
        let connection = self.hot.take(&mut place).await?;
        Ok((place, connection))
    }

    /// Does work in one transaction.
    async fn transaction<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Done<T>> + Send + 'static,
    ) -> Done<T> {
        self.on_writer(|connection| {
            Box::pin(async move {
                connection
                    .execute("BEGIN IMMEDIATE")
                    .await
                    .map_err(refusal)?;
                let value = work(&mut *connection).await?;
                connection.execute("COMMIT").await.map_err(refusal)?;
                Ok(value)
            })
        })
        .await
    }

    /// Does work on the writing connection, in a routine of its own so that a
    /// transaction is never cut half way; rolls back what failed.
    async fn on_writer<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Done<T>> + Send + 'static,
    ) -> Done<T> {
        let hot = Arc::clone(&self.hot);
        let routine = self.routines.spawn("sqlite write", async move {
            let mut place = hot.place.lock().await;
            let mut connection = hot.take(&mut place).await?;
            let result = work(&mut connection).await;
            if result.is_err() {
                // Some errors have ended the transaction already; then this fails,
                // harmlessly. Dropping the connection would roll back too.
                let _rolled_back = connection.execute("ROLLBACK").await.is_ok();
            }
            *place = Some(connection);
            result
        });
        match routine.await {
            Ok(result) => result,
            Err(error) => {
                let message = "a database write was cut off";
                let error = Error::new(ErrorKind::Internal, message).with_source(error);
                Err(Refusal::Other(error))
            }
        }
    }
}

impl Writer {
    /// Takes the connection out of its place, or makes one.
    async fn take(&self, place: &mut Option<SqliteConnection>) -> Done<SqliteConnection> {
        if let Some(connection) = place.take() {
            return Ok(connection);
        }
        let mut connection = self.options.connect().await.map_err(refusal)?;
        sqlx::raw_sql(TEMPORARY)
            .execute(&mut connection)
            .await
            .map_err(refusal)?;
        Ok(connection)
    }
}

/// Appends an entry as a part of the transaction that is open on the connection; tells
/// whether it was left out.
pub(super) async fn append_inside(
    connection: &mut SqliteConnection,
    fence: &Fence,
    entry: &Entry,
) -> Done<bool> {
    check(&mut *connection, fence).await?;
    let rows = sections::appends_json(&[entry]).map_err(|error| unwritable(&error))?;
    let skipped = sqlx::query(CAREFUL_APPENDS)
        .bind(rows)
        .bind(fence.worker.as_uuid())
        .fetch_optional(&mut *connection)
        .await
        .map_err(refusal)?;
    if skipped.is_some() {
        return Ok(true);
    }
    let script = Script::inside(fence, entry).map_err(|error| unwritable(&error))?;
    let query = sqlx::query(AssertSqlSafe(script.text()));
    let query = script.bind(query, Some(fence));
    query.execute(connection).await.map_err(refusal)?;
    Ok(false)
}

async fn migrate(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(migration::TABLE)
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query("SELECT coalesce(max(version), 0) FROM migration")
        .fetch_one(&mut *connection)
        .await?;
    let done = migration::next(row.try_get(0)?, migration::SQLITE.len())?;
    for (place, text) in migration::SQLITE.iter().enumerate().skip(done) {
        sqlx::raw_sql(*text).execute(&mut *connection).await?;
        sqlx::query("INSERT INTO migration (version) VALUES ($1)")
            .bind(i64::try_from(place + 1).unwrap_or(i64::MAX))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn lease_until(now: Timestamp, lease: SignedDuration) -> i64 {
    micros(now.checked_add(lease).unwrap_or(Timestamp::MAX))
}

fn unwritable(error: &serde_json::Error) -> Refusal {
    Refusal::Entry(error.to_string())
}

async fn check(connection: &mut SqliteConnection, fence: &Fence) -> Done<()> {
    let row = sqlx::query("SELECT 1 FROM worker WHERE name = $1 AND id = $2 AND epoch = $3")
        .bind(&fence.name)
        .bind(fence.worker.as_uuid())
        .bind(fence.epoch)
        .fetch_optional(connection)
        .await
        .map_err(refusal)?;
    row.map(|_| ()).ok_or_else(|| Refusal::Other(fenced()))
}

/// Makes claimable what a worker owned.
async fn free(connection: &mut SqliteConnection, worker: Uuid) -> Done<()> {
    sqlx::query("UPDATE queue SET owner = NULL, ready = true WHERE owner = $1")
        .bind(worker)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(refusal)
}
