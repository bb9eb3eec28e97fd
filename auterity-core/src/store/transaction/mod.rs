//! A transaction on a tenant's data that ends together with a journal entry.

mod control;
mod values;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, Values,
};

use self::control::controls_transaction;
pub(crate) use self::values::{KEYS_MAX, Written};
use super::memory::MemoryTransaction;
use super::sea::SeaTransaction;
use super::{Entry, Fence, Outcome};
use crate::{Error, ErrorKind, Scope};

/// Opens transactions on a tenant's own data.
///
/// The journal of the tenant's executions must be in the same database: that is what
/// makes the two commit as one. Each store is the source for hosts whose tenants all
/// live in its database.
#[async_trait]
pub trait ConnectionSource: Send + Sync + fmt::Debug + 'static {
    /// Begins a transaction on the data of the scope's tenant.
    ///
    /// # Errors
    /// Kind [`Unavailable`](ErrorKind::Unavailable) when the database cannot be reached
    /// or has no connection left.
    ///
    /// # Cancel safety
    /// A dropped future leaves nothing open.
    async fn begin(&self, scope: &Scope) -> Result<Transaction, Error>;
}

/// A transaction on a tenant's own data. Dropping it takes back what was done in it.
///
/// It is a sea-orm connection: entities and raw statements work on it. What begins or
/// ends a transaction is refused, since the end is the engine's. A statement that fails
/// makes the whole transaction fail, on every database, even if its error is ignored.
pub struct Transaction {
    session: Session,
    failure: Mutex<Option<Failure>>,
}

/// The databases that can hold a transaction.
enum Session {
    Sea(Box<SeaTransaction>),
    Memory(MemoryTransaction),
}

/// Why a transaction cannot be committed.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The database gave way to another transaction; the same work may succeed.
    Conflict(String),
    /// The connection is lost.
    Lost(String),
    /// A statement was refused.
    Statement(String),
}

impl Failure {
    /// Gives the error to go on with.
    pub(crate) fn into_error(self) -> Error {
        let (kind, message) = match self {
            Self::Conflict(message) => (ErrorKind::Conflict, message),
            Self::Lost(message) => (ErrorKind::Unavailable, message),
            Self::Statement(message) => (ErrorKind::Invalid, message),
        };
        Error::new(kind, message)
    }
}

impl Transaction {
    pub(super) fn sea(session: SeaTransaction) -> Self {
        Self::new(Session::Sea(Box::new(session)))
    }

    pub(super) fn memory(session: MemoryTransaction) -> Self {
        Self::new(Session::Memory(session))
    }

    fn new(session: Session) -> Self {
        Self {
            session,
            failure: Mutex::new(None),
        }
    }

    /// Appends the entry under the fence and commits everything together.
    ///
    /// # Errors
    /// Kind [`Fenced`](ErrorKind::Fenced) when the lease was lost,
    /// [`Conflict`](ErrorKind::Conflict) when the database gave way to another
    /// transaction (nothing was written, the same work may be done again),
    /// [`Invalid`](ErrorKind::Invalid) when a statement of the transaction or its commit
    /// was refused (nothing was written), [`Unavailable`](ErrorKind::Unavailable) when
    /// the outcome is unknown.
    ///
    /// # Cancel safety
    /// A dropped future leaves the outcome unknown.
    pub async fn commit_with(self, fence: &Fence, entry: &Entry) -> Result<Outcome, Error> {
        if let Some(failure) = self.failure() {
            self.roll_back().await;
            return Err(failure.into_error());
        }
        match self.session {
            Session::Sea(session) => session.commit_with(fence, entry).await,
            Session::Memory(session) => session.commit_with(fence, entry),
        }
    }

    /// Commits what was done, without any entry: for hosts that test their functions.
    ///
    /// # Errors
    /// As [`commit_with`](Self::commit_with).
    ///
    /// # Cancel safety
    /// A dropped future leaves the outcome unknown.
    pub async fn commit(self) -> Result<(), Error> {
        if let Some(failure) = self.failure() {
            self.roll_back().await;
            return Err(failure.into_error());
        }
        match self.session {
            Session::Sea(session) => session.commit().await,
            Session::Memory(session) => {
                session.commit();
                Ok(())
            }
        }
    }

    /// Takes back what was done, and gives the connection back. Dropping does the same
    /// at the cost of the connection.
    ///
    /// # Cancel safety
    /// A dropped future takes everything back too.
    pub async fn roll_back(self) {
        if let Session::Sea(session) = self.session {
            session.roll_back().await;
        }
    }

    /// Tells why the transaction cannot be committed, if it cannot.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The place of the engine's own tables in names of tables.
    pub(super) fn prefix(&self) -> &str {
        match &self.session {
            Session::Sea(session) => session.prefix(),
            Session::Memory(_) => "",
        }
    }

    pub(super) fn memory_session(&self) -> Option<&MemoryTransaction> {
        match &self.session {
            Session::Memory(session) => Some(session),
            Session::Sea(_) => None,
        }
    }

    fn database(&self, text: &str) -> Result<&SeaTransaction, DbErr> {
        let Session::Sea(session) = &self.session else {
            let message = "the store in memory executes no SQL; use SQLite or PostgreSQL";
            return Err(DbErr::Custom(message.to_owned()));
        };
        if controls_transaction(text) {
            let message = "a transactional function must not begin or end a transaction: \
                           the engine commits it together with the journal";
            self.note(Failure::Statement(message.to_owned()));
            return Err(DbErr::Custom(message.to_owned()));
        }
        Ok(session)
    }

    /// Keeps the first failure: those after it follow from it.
    fn note(&self, failure: Failure) {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(failure);
    }

    fn failed(&self, error: sqlx::Error) -> DbErr {
        if let Some(failure) = super::sea::failure(&error) {
            self.note(failure);
        }
        DbErr::Query(RuntimeErr::SqlxError(error.into()))
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Transaction")
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        match &self.session {
            Session::Sea(session) => session.backend(),
            Session::Memory(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let database = self.database(&statement.sql)?;
        let values = statement.values.unwrap_or(Values(Vec::new()));
        let executed = database.execute(statement.sql, values).await;
        executed.map_err(|error| self.failed(error))
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let executed = self.database(sql)?.execute_unprepared(sql).await;
        executed.map_err(|error| self.failed(error))
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        Ok(self.query_all_raw(statement).await?.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let database = self.database(&statement.sql)?;
        let values = statement.values.unwrap_or(Values(Vec::new()));
        let rows = database.query(statement.sql, values).await;
        rows.map_err(|error| self.failed(error))
    }
}
