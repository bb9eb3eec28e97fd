//! The store on SQLite and PostgreSQL.
//!
//! Reads that may be slow go through sea-orm with one text for both databases; the
//! journal and the queue use each database's own way ([`sqlite`], [`postgres`]).

mod batch;
mod bulk;
mod definitions;
mod executions;
mod flow;
mod human_tasks;
mod loading;
mod migration;
#[cfg(test)]
mod plans;
mod postgres;
mod retention;
mod rows;
mod schedules;
mod selection;
mod sqlite;
mod status;
mod task_progress;
mod transaction;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use sea_orm::sea_query::SelectStatement;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbErr, QueryResult, RuntimeErr, SqlxPostgresConnector,
    SqlxSqliteConnector, Statement, Value,
};
use serde::{Deserialize, Serialize};

use self::postgres::Postgres;
use self::sqlite::Sqlite;
pub use self::status::SchemaStatus;
pub(super) use self::transaction::{SeaTransaction, failure};
use super::{
    Amend, Amended, AtGate, Beat, Claim, ClaimRequest, ConnectionSource, Control, Correlated,
    DefinitionPut, DefinitionQuery, DefinitionRow, DefinitionSummary, DefinitionVersion, Entry,
    EventRow, ExecutionLabel, ExecutionQuery, ExecutionRow, FaultGroups, Fence, Filter, FlowPut,
    FlowRow, InboxMessage, Loaded, Outcome, Pace, Page, Queued, Store, Subscription, Survey,
    Transaction, check,
};
use crate::definition::{ProgramHash, WorkflowRef};
use crate::{Error, ErrorKind, ExecutionId, Scope, TenantId, WorkerId};

/// How carefully SQLite writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// Every commit reaches the disk before it is acknowledged.
    #[default]
    Full,
    /// A power cut may take the last commits away; the file stays sound.
    Normal,
}

/// How to open a database.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeaOptions {
    /// Connections for reading that are kept open.
    pub connections_min: u32,
    /// Connections for reading at most.
    pub connections_max: u32,
    /// Transactions of functions that may be open at the same time; SQLite has one.
    pub transactions_max: u32,
    /// How long one statement may take.
    pub statement_timeout: SignedDuration,
    /// The PostgreSQL schema that holds the engine's tables; letters, digits and `_`.
    pub schema: String,
    /// How carefully SQLite writes.
    pub synchronous: Synchronous,
}

impl Default for SeaOptions {
    fn default() -> Self {
        Self {
            connections_min: 1,
            connections_max: 8,
            transactions_max: 8,
            statement_timeout: SignedDuration::from_secs(30),
            schema: "auterity_engine".to_owned(),
            synchronous: Synchronous::Full,
        }
    }
}

/// Keeps everything in SQLite or PostgreSQL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SeaStore {
    read: DatabaseConnection,
    /// Where statements that write go: SQLite has one connection for that.
    write: DatabaseConnection,
    hot: Arc<Hot>,
    /// What was read, for the test that explains it.
    #[cfg(test)]
    asked: Arc<std::sync::Mutex<Vec<Statement>>>,
    /// What was executed along the indexes, with its parameters, for the same test.
    #[cfg(test)]
    asked_hot: Arc<std::sync::Mutex<Vec<HotStatement>>>,
}

/// A statement and the texts that are its parameters.
#[cfg(test)]
type HotStatement = (String, Vec<String>);

/// The parts that each database does in its own way.
#[derive(Debug)]
enum Hot {
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

impl SeaStore {
    /// Opens a database by its URL: `sqlite:///path/to/file.db` (made if missing) or
    /// `postgres://user:password@host/database`.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid) for a URL of another kind or a schema name
    /// that is no plain word, [`Unavailable`](ErrorKind::Unavailable) when the database
    /// cannot be reached.
    pub async fn open(url: &str, options: SeaOptions) -> Result<Self, Error> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        if options.schema.is_empty() || !options.schema.chars().all(plain) {
            let message = "the schema name may only have letters, digits and _";
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if url.starts_with("sqlite:") {
            let (hot, pool) = Sqlite::open(url, &options).await?;
            let read = SqlxSqliteConnector::from_sqlx_sqlite_pool(pool);
            let write = SqlxSqliteConnector::from_sqlx_sqlite_pool(hot.writer.clone());
            return Ok(Self {
                read,
                write,
                hot: Arc::new(Hot::Sqlite(hot)),
                #[cfg(test)]
                asked: Arc::default(),
                #[cfg(test)]
                asked_hot: Arc::default(),
            });
        }
        if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            let (hot, pool) = Postgres::open(url, &options).await?;
            let read = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
            return Ok(Self {
                write: read.clone(),
                read,
                hot: Arc::new(Hot::Postgres(Box::new(hot))),
                #[cfg(test)]
                asked: Arc::default(),
                #[cfg(test)]
                asked_hot: Arc::default(),
            });
        }
        let message = "the database URL must begin with sqlite: or postgres:";
        Err(Error::new(ErrorKind::Invalid, message))
    }

    /// Closes all connections; waits until those in use are given back.
    ///
    /// # Cancel safety
    /// Closing goes on in the background when the future is dropped.
    pub async fn close(&self) {
        match &*self.hot {
            Hot::Sqlite(hot) => {
                self.read.get_sqlite_connection_pool().close().await;
                hot.close().await;
            }
            Hot::Postgres(hot) => hot.close().await,
        }
    }

    async fn all(&self, text: &str, values: Vec<Value>) -> Result<Vec<QueryResult>, Error> {
        let rows = self.read.query_all_raw(self.statement(text, values)).await;
        rows.map_err(|error| read_error(&error))
    }

    /// Executes a statement that writes; gives the number of rows.
    async fn change(&self, text: &str, values: Vec<Value>) -> Result<u64, Error> {
        let changed = self.write.execute_raw(self.statement(text, values)).await;
        let changed = changed.map_err(|error| read_error(&error))?;
        Ok(changed.rows_affected())
    }

    async fn one(&self, text: &str, values: Vec<Value>) -> Result<Option<QueryResult>, Error> {
        let row = self.read.query_one_raw(self.statement(text, values)).await;
        row.map_err(|error| read_error(&error))
    }

    /// Executes a read that was put together.
    async fn select(&self, select: &SelectStatement) -> Result<Vec<QueryResult>, Error> {
        let statement = self.read.get_database_backend().build(select);
        let rows = self.read.query_all_raw(self.noted(statement)).await;
        rows.map_err(|error| read_error(&error))
    }

    fn statement(&self, text: &str, values: Vec<Value>) -> Statement {
        let backend = self.read.get_database_backend();
        self.noted(Statement::from_sql_and_values(backend, text, values))
    }

    /// Keeps a statement for the test that explains it.
    #[cfg_attr(
        not(test),
        expect(clippy::unused_self, reason = "only the test keeps anything")
    )]
    fn noted(&self, statement: Statement) -> Statement {
        #[cfg(test)]
        if let Ok(mut asked) = self.asked.lock() {
            asked.push(statement.clone());
        }
        statement
    }
}

#[async_trait]
impl ConnectionSource for SeaStore {
    async fn begin(&self, _scope: &Scope) -> Result<Transaction, Error> {
        self.begin_transaction().await
    }
}

#[async_trait]
impl Store for SeaStore {
    fn is_shared(&self) -> bool {
        matches!(*self.hot, Hot::Postgres(_))
    }

    async fn migrate(&self) -> Result<(), Error> {
        match &*self.hot {
            Hot::Sqlite(hot) => hot.migrate().await,
            Hot::Postgres(hot) => hot.migrate().await,
        }
    }

    async fn definition_put(
        &self,
        scope: &Scope,
        row: DefinitionRow,
    ) -> Result<DefinitionPut, Error> {
        self.put_definition(scope, row).await
    }

    async fn definition_fetch(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<Option<DefinitionRow>, Error> {
        self.fetch_definition(scope, namespace, name, version).await
    }

    async fn definition_fetch_pinned(
        &self,
        tenant: TenantId,
        hash: ProgramHash,
    ) -> Result<Option<DefinitionRow>, Error> {
        self.fetch_pinned(tenant, hash).await
    }

    async fn definition_list(
        &self,
        scope: &Scope,
        query: &DefinitionQuery,
    ) -> Result<Page<DefinitionSummary>, Error> {
        self.list_definitions(scope, query).await
    }

    async fn definition_versions(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<DefinitionVersion>, Error> {
        self.list_versions(scope, namespace, name).await
    }

    async fn definition_delete(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<bool, Error> {
        self.delete_definition(scope, namespace, name).await
    }

    async fn worker_register(
        &self,
        name: &str,
        id: WorkerId,
        now: Timestamp,
        lease: SignedDuration,
    ) -> Result<Fence, Error> {
        match &*self.hot {
            Hot::Sqlite(hot) => hot.register(name, id, now, lease).await,
            Hot::Postgres(hot) => hot.register(name, id, lease).await,
        }
    }

    async fn worker_beat(&self, fence: &Fence, request: ClaimRequest) -> Result<Beat, Error> {
        match &*self.hot {
            Hot::Sqlite(hot) => hot.beat(fence, request).await,
            Hot::Postgres(hot) => hot.beat(fence, request).await,
        }
    }

    async fn worker_claims(&self, fence: &Fence) -> Result<Vec<Claim>, Error> {
        self.list_claims(fence.worker).await
    }

    async fn worker_release(&self, fence: &Fence) -> Result<(), Error> {
        match &*self.hot {
            Hot::Sqlite(hot) => hot.release(fence).await,
            Hot::Postgres(hot) => hot.release(fence).await,
        }
    }

    async fn journal_append(
        &self,
        fence: Option<&Fence>,
        entries: &[Entry],
    ) -> Result<Vec<Outcome>, Error> {
        batch::append(self, fence, entries).await
    }

    async fn execution_load(&self, ids: &[ExecutionId]) -> Result<Vec<Loaded>, Error> {
        self.load_executions(ids).await
    }

    async fn inbox_put(&self, messages: &[InboxMessage]) -> Result<(), Error> {
        match &*self.hot {
            Hot::Sqlite(hot) => hot.inbox_put(messages).await,
            Hot::Postgres(hot) => hot.inbox_put(messages).await,
        }
    }

    async fn control_put(&self, message: &InboxMessage, control: Control) -> Result<bool, Error> {
        match &*self.hot {
            Hot::Sqlite(hot) => hot.control_put(message, control).await,
            Hot::Postgres(hot) => hot.control_put(message, control).await,
        }
    }

    async fn execution_amend(&self, amend: &Amend) -> Result<Amended, Error> {
        check::amend(amend)?;
        match &*self.hot {
            Hot::Sqlite(hot) => hot.execution_amend(amend).await,
            Hot::Postgres(hot) => hot.execution_amend(amend).await,
        }
    }

    async fn execution_label(&self, label: &ExecutionLabel) -> Result<(), Error> {
        match &*self.hot {
            Hot::Sqlite(hot) => hot.execution_label(label).await,
            Hot::Postgres(hot) => hot.execution_label(label).await,
        }
    }

    async fn inbox_fetch(&self, ids: &[ExecutionId]) -> Result<Vec<InboxMessage>, Error> {
        self.fetch_inbox(ids).await
    }

    async fn subscription_match(
        &self,
        tenant: TenantId,
        event_type: &str,
    ) -> Result<Vec<Subscription>, Error> {
        self.match_subscriptions(tenant, event_type).await
    }

    async fn subscription_correlated(
        &self,
        tenant: TenantId,
        event_type: &str,
        wanted: &[Correlated],
    ) -> Result<Vec<Subscription>, Error> {
        self.correlated_subscriptions(tenant, event_type, wanted)
            .await
    }

    async fn execution_fetch(
        &self,
        scope: &Scope,
        id: ExecutionId,
    ) -> Result<Option<ExecutionRow>, Error> {
        self.fetch_execution(scope, id).await
    }

    async fn execution_keyed(
        &self,
        scope: &Scope,
        key: &str,
    ) -> Result<Option<ExecutionId>, Error> {
        self.find_keyed(scope, key).await
    }

    async fn execution_list(
        &self,
        scope: &Scope,
        query: &ExecutionQuery,
    ) -> Result<Page<ExecutionRow>, Error> {
        self.list_executions(scope, query).await
    }

    async fn fault_groups(
        &self,
        scope: &Scope,
        filter: &Filter,
        limit: u32,
    ) -> Result<FaultGroups, Error> {
        self.group_faults(scope, filter, limit).await
    }

    async fn execution_recent(
        &self,
        scope: &Scope,
        workflows: &[WorkflowRef],
        each_max: u32,
    ) -> Result<Vec<ExecutionRow>, Error> {
        self.recent_executions(scope, workflows, each_max).await
    }

    async fn journal_list(
        &self,
        scope: &Scope,
        id: ExecutionId,
        after: u64,
        limit: u32,
    ) -> Result<Vec<EventRow>, Error> {
        self.list_journal(scope, id, after, limit).await
    }

    async fn flow_put(&self, scope: &Scope, put: FlowPut) -> Result<Option<u64>, Error> {
        let revision = match &*self.hot {
            Hot::Sqlite(hot) => hot.flow_put(scope.tenant(), put).await?,
            Hot::Postgres(hot) => hot.flow_put(scope.tenant(), &put).await?,
        };
        Ok(revision.and_then(|revision| u64::try_from(revision).ok()))
    }

    async fn flow_fetch(
        &self,
        scope: &Scope,
        workflow: Option<(&str, &str)>,
    ) -> Result<Option<FlowRow>, Error> {
        self.fetch_flow(scope, workflow).await
    }

    async fn gate_ask(
        &self,
        scope: &Scope,
        gate: (&str, &str),
        pace: Pace,
        now: Timestamp,
    ) -> Result<Option<SignedDuration>, Error> {
        match &*self.hot {
            Hot::Sqlite(hot) => hot.gate_ask(scope.tenant(), gate, pace, now).await,
            Hot::Postgres(hot) => hot.gate_ask(scope.tenant(), gate, pace, now).await,
        }
    }

    async fn gate_list(
        &self,
        scope: &Scope,
        gate: (&str, &str),
        limit: u32,
    ) -> Result<Vec<AtGate>, Error> {
        self.list_gate(scope, gate, limit).await
    }

    async fn queue_length(
        &self,
        scope: &Scope,
        prefix: Option<&str>,
        most: u32,
    ) -> Result<u32, Error> {
        self.count_queue(scope, prefix, most).await
    }

    async fn queue_place(&self, scope: &Scope, id: ExecutionId) -> Result<Option<Queued>, Error> {
        self.find_place(scope, id).await
    }

    async fn queue_survey(&self, lanes_max: u32, each_max: u32) -> Result<Survey, Error> {
        self.survey_queue(lanes_max, each_max).await
    }

    async fn wake_send(&self) -> Result<(), Error> {
        match &*self.hot {
            Hot::Sqlite(_) => Ok(()),
            Hot::Postgres(hot) => hot.wake_send().await,
        }
    }

    async fn wake_wait(&self) -> Result<(), Error> {
        match &*self.hot {
            Hot::Sqlite(_) => std::future::pending().await,
            Hot::Postgres(hot) => hot.wake_wait().await,
        }
    }

    async fn ping(&self) -> Result<(), Error> {
        self.read.ping().await.map_err(|error| read_error(&error))
    }
}

/// Tells whether the same statement would do with other values (SQLSTATE class 22).
fn is_of_a_value(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner))) =
        error
    else {
        return false;
    };
    let code = inner
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("22"))
}

/// The error of a read through sea-orm: its text goes to the log, not to clients.
fn read_error(error: &DbErr) -> Error {
    if is_of_a_value(error) {
        let message = "the database does not take one of the values";
        return Error::new(ErrorKind::Invalid, message).with_source(error.to_string());
    }
    let kind = match error {
        DbErr::Conn(_) | DbErr::ConnectionAcquire(_) | DbErr::Exec(_) | DbErr::Query(_) => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Internal,
    };
    Error::new(kind, "the database did not answer").with_source(error.to_string())
}
