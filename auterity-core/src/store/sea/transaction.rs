//! Transactions of functions on SQLite and PostgreSQL: the function's statements, then
//! the journal entry, then the commit, on one connection.

use std::fmt;
use std::time::Duration;

use sea_orm::{DbBackend, ExecResult, QueryResult, Values};
use sea_query_sqlx::SqlxValues;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Executor, Postgres, Row};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use super::batch::{Refusal, refusal, unavailable};
use super::postgres::{HOT_SETTINGS, append_on};
use super::sqlite::append_inside;
use super::{Hot, SeaStore};
use crate::store::transaction::Failure;
use crate::store::{Entry, Fence, Outcome, Transaction, check};
use crate::{Error, ErrorKind};

/// How long a transaction waits for a connection.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// An open transaction. Dropping it closes its connection, which takes back what was
/// done.
pub(in crate::store) struct SeaTransaction {
    session: Mutex<Session>,
    prefix: String,
    backend: DbBackend,
}

enum Session {
    Sqlite(SqliteSession),
    Postgres(PostgresSession),
}

/// SQLite's one writing connection, out of its place as long as the transaction lasts.
struct SqliteSession {
    place: OwnedMutexGuard<Option<SqliteConnection>>,
    connection: SqliteConnection,
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
                let (place, mut connection) =
                    hot.take_writer().await.map_err(Refusal::into_error)?;
                let begun = connection.execute("BEGIN IMMEDIATE").await;
                begun.map_err(unavailable)?;
                Ok(Self {
                    session: Mutex::new(Session::Sqlite(SqliteSession { place, connection })),
                    prefix: String::new(),
                    backend: DbBackend::Sqlite,
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
                let ended = sqlx::raw_sql("COMMIT; RESET ALL");
                ended
                    .execute(&mut *session.connection)
                    .await
                    .map_err(failed)?;
                session.clean = true;
            }
        }
        Ok(())
    }

    async fn roll_back(self) {
        match self {
            // After some errors there is nothing left to roll back; the connection is
            // closed then, which is as good.
            Self::Sqlite(mut session) => {
                if session.connection.execute("ROLLBACK").await.is_ok() {
                    session.give_back();
                }
            }
            Self::Postgres(mut session) => {
                let ended = sqlx::raw_sql("ROLLBACK; RESET ALL");
                session.clean = ended.execute(&mut *session.connection).await.is_ok();
            }
        }
    }
}

impl SqliteSession {
    fn give_back(self) {
        let Self {
            mut place,
            connection,
        } = self;
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
        // Serialization failure, deadlock; busy, locked, busy with an old snapshot.
        "40001" | "40P01" | "5" | "6" | "517" => Failure::Conflict(message),
        code if ["08", "57P"].iter().any(|class| code.starts_with(class)) => Failure::Lost(message),
        _ => Failure::Statement(message),
    })
}
