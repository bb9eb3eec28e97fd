//! Transactions of functions on SQLite and PostgreSQL: the function's statements, then
//! the journal entry, then the commit, on one connection.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sea_orm::{DbBackend, ExecResult, QueryResult, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Executor, Postgres, Row};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use super::batch::{Refusal, refusal, unavailable};
use super::postgres::{HOT_SETTINGS, append_on, silent};
use super::sqlite::{BUSY_TIMEOUT, append_inside};
use super::{Hot, SeaStore};
use crate::store::transaction::Failure;
use crate::store::{Entry, Fence, Outcome, Transaction, check};
use crate::{Error, ErrorKind};

/// How long a transaction waits for a connection.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the end of a transaction is waited for before its connection is closed
/// instead.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// Steps of SQLite's machine between two looks whether a statement is still wanted.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

/// Takes away what the function may have left on the connection: what `DISCARD ALL`
/// does, without the prepared statements.
const CLEAN: &str = "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
    SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

/// An open transaction. Dropping it closes its connection, which takes back what was
/// done.
pub(in crate::store) struct SeaTransaction {
    session: Mutex<Session>,
    prefix: String,
    backend: DbBackend,
    /// How long the commit may take before its outcome counts as unknown.
    patience: Duration,
}

enum Session {
    Sqlite(SqliteSession),
    Postgres(PostgresSession),
}

/// SQLite's one writing connection, out of its place as long as the transaction lasts.
struct SqliteSession {
    place: OwnedMutexGuard<Option<SqliteConnection>>,
    connection: SqliteConnection,
    unwanted: Unwanted,
}

/// Interrupts what the connection executes when the transaction is given up: a statement
/// that takes for ever would keep everybody from writing.
struct Unwanted(Arc<AtomicBool>);

impl Drop for Unwanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct PostgresSession {
    connection: PoolConnection<Postgres>,
    /// The transaction's number, by which a foreign commit is noticed.
    number: String,
    schema: String,
    clean: bool,
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        if !self.clean {
            self.connection.close_on_drop();
        }
    }
}

impl SeaStore {
    /// Begins a transaction for a function.
    pub(super) async fn begin_transaction(&self) -> Result<Transaction, Error> {
        let late = |_| {
            let message = "no connection became free for a transaction";
            Error::new(ErrorKind::Unavailable, message)
        };
        let begun = timeout(BEGIN_TIMEOUT, SeaTransaction::begin(&self.hot));
        begun.await.map_err(late)?.map(Transaction::sea)
    }
}

impl SeaTransaction {
    async fn begin(hot: &Hot) -> Result<Self, Error> {
        match hot {
            Hot::Sqlite(hot) => {
                let taken = hot.take_writer().await.map_err(Refusal::into_error)?;
                let session = SqliteSession::begin(taken).await.map_err(unavailable)?;
                Ok(Self {
                    session: Mutex::new(Session::Sqlite(session)),
                    prefix: String::new(),
                    backend: DbBackend::Sqlite,
                    patience: BUSY_TIMEOUT + END_TIMEOUT,
                })
            }
            Hot::Postgres(hot) => {
                let connection = hot.functions.acquire().await.map_err(unavailable)?;
                let mut session = PostgresSession {
                    connection,
                    number: String::new(),
                    schema: hot.schema.clone(),
                    clean: false,
                };
                session.begin().await.map_err(unavailable)?;
                Ok(Self {
                    prefix: format!("\"{}\".", hot.schema),
                    session: Mutex::new(Session::Postgres(session)),
                    backend: DbBackend::Postgres,
                    patience: hot.journal_timeout,
                })
            }
        }
    }

    pub(in crate::store) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(in crate::store) fn backend(&self) -> DbBackend {
        self.backend
    }

    pub(in crate::store) async fn execute(
        &self,
        text: String,
        values: Values,
    ) -> Result<ExecResult, sqlx::Error> {
        let (text, values) = (AssertSqlSafe(text), SqlxValues(values));
        match &mut *self.session.lock().await {
            Session::Sqlite(session) => sqlx::query_with(text, values)
                .execute(&mut session.connection)
                .await
                .map(Into::into),
            Session::Postgres(session) => sqlx::query_with(text, values)
                .execute(&mut *session.connection)
                .await
                .map(Into::into),
        }
    }

    pub(in crate::store) async fn execute_unprepared(
        &self,
        text: &str,
    ) -> Result<ExecResult, sqlx::Error> {
        let query = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
        match &mut *self.session.lock().await {
            Session::Sqlite(session) => {
                query.execute(&mut session.connection).await.map(Into::into)
            }
            Session::Postgres(session) => query
                .execute(&mut *session.connection)
                .await
                .map(Into::into),
        }
    }

    pub(in crate::store) async fn query(
        &self,
        text: String,
        values: Values,
    ) -> Result<Vec<QueryResult>, sqlx::Error> {
        let (text, values) = (AssertSqlSafe(text), SqlxValues(values));
        Ok(match &mut *self.session.lock().await {
            Session::Sqlite(session) => {
                let query = sqlx::query_with(text, values);
                let rows = query.fetch_all(&mut session.connection).await?;
                rows.into_iter().map(Into::into).collect()
            }
            Session::Postgres(session) => {
                let query = sqlx::query_with(text, values);
                let rows = query.fetch_all(&mut *session.connection).await?;
                rows.into_iter().map(Into::into).collect()
            }
        })
    }

    pub(in crate::store) async fn commit_with(
        self,
        fence: &Fence,
        entry: &Entry,
    ) -> Result<Outcome, Error> {
        let ended = timeout(self.patience, self.append_and_commit(fence, entry));
        ended.await.map_err(|_| silent())?
    }

    async fn append_and_commit(self, fence: &Fence, entry: &Entry) -> Result<Outcome, Error> {
        let checked = check::batch(true, std::slice::from_ref(entry));
        if let Some(reason) = checked.into_iter().flatten().next() {
            self.roll_back().await;
            return Ok(Outcome::Refused(reason));
        }
        let mut session = self.session.into_inner();
        let skipped = match &mut session {
            Session::Sqlite(session) => append_inside(&mut session.connection, fence, entry).await,
            Session::Postgres(session) => session.append(fence, entry).await,
        };
        match skipped {
            Ok(false) => session.commit().await.map(|()| Outcome::Recorded),
            Ok(true) | Err(Refusal::Duplicate) => {
                session.roll_back().await;
                Ok(Outcome::AlreadyRecorded)
            }
            Err(Refusal::Entry(reason)) => {
                session.roll_back().await;
                Ok(Outcome::Refused(reason))
            }
            Err(Refusal::Again(error)) => {
                session.roll_back().await;
                let message = "the database gave way to another transaction";
                Err(Error::new(ErrorKind::Conflict, message).with_source(error))
            }
            Err(Refusal::Other(error)) => Err(error),
        }
    }

    pub(in crate::store) async fn commit(self) -> Result<(), Error> {
        self.session.into_inner().commit().await
    }

    pub(in crate::store) async fn roll_back(self) {
        self.session.into_inner().roll_back().await;
    }
}

impl Session {
    async fn commit(self) -> Result<(), Error> {
        let failed = |error: sqlx::Error| match failure(&error) {
            Some(failure) => failure.into_error().with_source(error),
            None => unavailable(error),
        };
        match self {
            Self::Sqlite(mut session) => {
                session.connection.execute("COMMIT").await.map_err(failed)?;
                session.give_back();
            }
            Self::Postgres(mut session) => {
                // Settings that the function made must not reach the next one.
                session.end("COMMIT").await.map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn roll_back(self) {
        match self {
            // After some errors there is nothing left to roll back; the connection is
            // closed then, which is as good.
            Self::Sqlite(mut session) => {
                session.unwanted.0.store(true, Ordering::Relaxed);
                if session.connection.execute("ROLLBACK").await.is_ok() {
                    session.give_back();
                }
            }
            Self::Postgres(mut session) => {
                let ended = timeout(END_TIMEOUT, session.end("ROLLBACK")).await;
                if !matches!(ended, Ok(Ok(()))) {
                    tracing::debug!("the connection of a transaction is closed");
                }
            }
        }
    }
}

impl SqliteSession {
    async fn begin(
        (place, mut connection): (OwnedMutexGuard<Option<SqliteConnection>>, SqliteConnection),
    ) -> Result<Self, sqlx::Error> {
        let unwanted = Unwanted(Arc::default());
        let flag = Arc::clone(&unwanted.0);
        let wanted = move || !flag.load(Ordering::Relaxed);
        connection
            .lock_handle()
            .await?
            .set_progress_handler(STEPS_BETWEEN_LOOKS, wanted);
        connection.execute("BEGIN IMMEDIATE").await?;
        Ok(Self {
            place,
            connection,
            unwanted,
        })
    }

    fn give_back(self) {
        let Self {
            mut place,
            connection,
            unwanted,
        } = self;
        let flag = Arc::clone(&unwanted.0);
        drop(unwanted);
        flag.store(false, Ordering::Relaxed);
        *place = Some(connection);
    }
}

impl PostgresSession {
    async fn begin(&mut self) -> Result<(), sqlx::Error> {
        let text = "BEGIN; SELECT pg_current_xact_id()::text";
        let row = sqlx::raw_sql(text).fetch_one(&mut *self.connection).await?;
        self.number = row.try_get(0)?;
        Ok(())
    }

    /// Commits or rolls back, and leaves nothing to the next function.
    async fn end(&mut self, how: &str) -> Result<(), sqlx::Error> {
        let text = format!("{how}; {CLEAN}");
        sqlx::raw_sql(AssertSqlSafe(text))
            .execute(&mut *self.connection)
            .await?;
        self.clean = true;
        Ok(())
    }

    /// Appends the entry; tells whether it was left out.
    async fn append(&mut self, fence: &Fence, entry: &Entry) -> Result<bool, Refusal> {
        let settings = HOT_SETTINGS
            .iter()
            .map(|(name, value)| format!(", set_config('{name}', '{value}', true)"));
        let text = format!(
            "SELECT pg_current_xact_id()::text, set_config('search_path', $1, true){}",
            settings.collect::<String>()
        );
        let row = sqlx::query(AssertSqlSafe(text))
            .bind(&self.schema)
            .fetch_one(&mut *self.connection)
            .await
            .map_err(refusal)?;
        let number: String = row.try_get(0).map_err(refusal)?;
        if number != self.number {
            let message = "the function ended the engine's transaction; what it did outside \
                           cannot be taken back";
            return Err(Refusal::Other(Error::new(ErrorKind::Invalid, message)));
        }
        let skipped = append_on(&mut self.connection, fence, entry).await?;
        Ok(!skipped.is_empty())
    }
}

impl fmt::Debug for SeaTransaction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SeaTransaction")
    }
}

/// Tells what an error means for its transaction; nothing if it is about reading a row.
pub(in crate::store) fn failure(error: &sqlx::Error) -> Option<Failure> {
    let Some(database) = error.as_database_error() else {
        return match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Some(Failure::Lost(error.to_string())),
            _ => None,
        };
    };
    let (code, message) = (database.code().unwrap_or_default(), database.message());
    let message = message.to_owned();
    Some(match code.as_ref() {
        // Serialization failure, deadlock, a lock waited for too long; busy, locked, busy
        // with an old snapshot.
        "40001" | "40P01" | "55P03" | "5" | "6" | "517" => Failure::Conflict(message),
        code if ["08", "57P", "25P03"]
            .iter()
            .any(|class| code.starts_with(class)) =>
        {
            Failure::Lost(message)
        }
        _ => Failure::Statement(message),
    })
}
