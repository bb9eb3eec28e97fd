use std::fmt::Write as _;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use auterity_core::Routines;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbErr,
    RuntimeErr, SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

/// The PostgreSQL schema that holds the control tables unless told otherwise.
const SCHEMA_DEFAULT: &str = "auterity_control";
/// PostgreSQL cuts longer names silently, so that two would collide.
const SCHEMA_LENGTH_MAX: usize = 63;
/// How long SQLite waits for another process that writes to the same file.
const SQLITE_BUSY_TIMEOUT_MS: &str = "5000";

/// Says where the control tables live and how many connections they may use.
#[derive(Debug, Clone)]
pub struct ControlOptions {
    target: Target,
    /// The largest number of open connections.
    pub connections_max: u32,
    /// How long a call waits for a free connection before it is refused.
    pub acquire_timeout: Duration,
    /// How long one statement may take on PostgreSQL.
    pub statement_timeout: Duration,
}

#[derive(Debug, Clone)]
enum Target {
    Sqlite { path: PathBuf },
    Postgres { url: Secret, schema: String },
}

impl ControlOptions {
    /// Keeps the control tables in a SQLite file, which is made if it is missing.
    #[must_use]
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        Self::new(Target::Sqlite { path: path.into() })
    }

    /// Keeps the control tables in schema `auterity_control` of a PostgreSQL database.
    #[must_use]
    pub fn postgres(url: impl Into<Secret>) -> Self {
        Self::new(Target::Postgres {
            url: url.into(),
            schema: SCHEMA_DEFAULT.to_owned(),
        })
    }

    /// Chooses another PostgreSQL schema; without effect on SQLite.
    #[must_use]
    pub fn with_schema(mut self, name: impl Into<String>) -> Self {
        if let Target::Postgres { schema, .. } = &mut self.target {
            *schema = name.into();
        }
        self
    }

    fn new(target: Target) -> Self {
        Self {
            target,
            connections_max: 8,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
        }
    }

    fn validate(&self) -> Result<(), Error> {
        if self.connections_max == 0 {
            return Err(Error::internal("connections_max must be at least 1"));
        }
        match &self.target {
            Target::Postgres { schema, .. } if !is_plain_name(schema) => Err(Error::internal(
                "the schema name must be 1 to 63 lower-case letters, digits and underscores, a letter first",
            )),
            Target::Postgres { .. } | Target::Sqlite { .. } => Ok(()),
        }
    }
}

/// Which database is behind a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

type Work<'tx, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'tx>>;

/// The database of users, tenants and login sessions.
///
/// It is no tenant's database: there is no way from it to a tenant's data.
#[derive(Debug, Clone)]
pub struct ControlDb {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: DatabaseConnection,
    backend: Backend,
    schema: String,
    /// Sent right after `BEGIN`, for reading and for writing.
    preamble: [String; 2],
    /// SQLite has one writer: waiting here is fair, waiting for its lock is not.
    writer: Semaphore,
    routines: Routines,
}

impl ControlDb {
    /// Opens the database.
    ///
    /// # Errors
    /// `Unavailable` when it cannot be reached, `Internal` when the options are wrong.
    ///
    /// # Cancel safety
    /// Dropping the future closes what was opened.
    pub async fn connect(options: ControlOptions) -> Result<Self, Error> {
        options.validate()?;
        let mut connect = match &options.target {
            Target::Sqlite { path } => sqlite_options(path.clone())?,
            Target::Postgres { url, .. } => ConnectOptions::new(postgres_url(url)?),
        };
        connect
            .max_connections(options.connections_max)
            .min_connections(1)
            .acquire_timeout(options.acquire_timeout)
            .sqlx_logging(false);
        #[expect(clippy::disallowed_methods, reason = "this is a connection module")]
        let pool = Database::connect(connect).await.map_err(|error| {
            Error::new(
                ErrorKind::Unavailable,
                "the control database cannot be opened; check its address and that it is running",
            )
            .with_source(error)
        })?;
        let (backend, schema) = match options.target {
            Target::Sqlite { .. } => (Backend::Sqlite, String::new()),
            Target::Postgres { schema, .. } => (Backend::Postgres, schema),
        };
        let preamble = [Access::Read, Access::Write]
            .map(|access| preamble(backend, access, &schema, options.statement_timeout));
        Ok(Self {
            inner: Arc::new(Inner {
                pool,
                backend,
                schema,
                preamble,
                writer: Semaphore::new(1),
                routines: Routines::new(),
            }),
        })
    }

    /// Waits for transactions under way, at most for the given time, and closes
    /// all connections.
    ///
    /// # Cancel safety
    /// May be called again.
    pub async fn close(&self, within: Duration) {
        if !self.inner.routines.stop(within).await {
            tracing::warn!("control transactions were cut off by the stop deadline");
        }
        if let Err(error) = self.inner.pool.close_by_ref().await {
            tracing::warn!(%error, "the control database did not close cleanly");
        }
    }

    pub(crate) fn backend(&self) -> Backend {
        self.inner.backend
    }

    pub(crate) fn schema(&self) -> &str {
        &self.inner.schema
    }

    /// Does work in a read-only transaction.
    pub(crate) async fn read<T, F>(&self, name: &'static str, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'tx> FnOnce(&'tx DatabaseTransaction) -> Work<'tx, T> + Send + 'static,
    {
        self.transact(name, Access::Read, work).await
    }

    /// Does work in a transaction that commits if the work succeeds.
    ///
    /// # Cancel safety
    /// The transaction goes on to its end when the future is dropped.
    pub(crate) async fn write<T, F>(&self, name: &'static str, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'tx> FnOnce(&'tx DatabaseTransaction) -> Work<'tx, T> + Send + 'static,
    {
        self.transact(name, Access::Write, work).await
    }

    // sqlx 0.9 loses count of transactions when `begin` is dropped before the
    // server's reply, and hands the open transaction to the connection's next
    // user. A routine of its own cannot be cut by a caller that gives up.
    async fn transact<T, F>(&self, name: &'static str, access: Access, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'tx> FnOnce(&'tx DatabaseTransaction) -> Work<'tx, T> + Send + 'static,
    {
        let inner = Arc::clone(&self.inner);
        let routine = self.inner.routines.spawn(name, async move {
            let _turn = inner.turn(access).await?;
            let transaction = inner.begin(access).await?;
            match work(&transaction).await {
                Ok(value) => {
                    transaction.commit().await.map_err(database_error)?;
                    Ok(value)
                }
                Err(error) => {
                    if let Err(source) = transaction.rollback().await {
                        tracing::debug!(error = %source, "rollback failed, the connection is lost");
                    }
                    Err(error)
                }
            }
        });
        match routine.await {
            Ok(result) => result.map_err(|error| error.with("work", name)),
            Err(source) => {
                Err(Error::internal("a control transaction broke off").with_source(source))
            }
        }
    }
}

impl Inner {
    async fn turn(&self, access: Access) -> Result<Option<SemaphorePermit<'_>>, Error> {
        match (self.backend, access) {
            (Backend::Sqlite, Access::Write) => match self.writer.acquire().await {
                Ok(permit) => Ok(Some(permit)),
                Err(source) => Err(Error::new(
                    ErrorKind::Unavailable,
                    "the control database is closing",
                )
                .with_source(source)),
            },
            (Backend::Sqlite, Access::Read) | (Backend::Postgres, _) => Ok(None),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is a connection module, and runs in a routine that nobody cuts"
    )]
    async fn begin(&self, access: Access) -> Result<DatabaseTransaction, Error> {
        let mode = match access {
            Access::Read => SqliteTransactionMode::Deferred,
            Access::Write => SqliteTransactionMode::Immediate,
        };
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(mode),
            ..TransactionOptions::default()
        };
        let transaction = self
            .pool
            .begin_with_options(options)
            .await
            .map_err(database_error)?;
        let preamble = &self.preamble[usize::from(access == Access::Write)];
        if !preamble.is_empty() {
            transaction
                .execute_unprepared(preamble)
                .await
                .map_err(database_error)?;
        }
        Ok(transaction)
    }
}

/// Turns a database's refusal into the crate's error, without its text reaching
/// a client.
pub(crate) fn database_error(source: DbErr) -> Error {
    let error = if is_unreachable(&source) {
        Error::new(
            ErrorKind::Unavailable,
            "the control database does not answer; try again later",
        )
    } else {
        Error::internal("the control database refused a statement")
    };
    error.with_source(source)
}

fn is_unreachable(error: &DbErr) -> bool {
    use sea_orm::SqlxError;
    match error {
        DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
        DbErr::Exec(RuntimeErr::SqlxError(inner)) | DbErr::Query(RuntimeErr::SqlxError(inner)) => {
            match inner.as_ref() {
                SqlxError::Io(_)
                | SqlxError::Tls(_)
                | SqlxError::PoolTimedOut
                | SqlxError::PoolClosed
                | SqlxError::WorkerCrashed => true,
                // Class 57: the server shuts down, or the statement took too long;
                // class 53: it lacks resources; 5 and 517: SQLite stayed busy.
                SqlxError::Database(inner) => inner.code().is_some_and(|code| {
                    code.starts_with("57") || code.starts_with("53") || code == "5" || code == "517"
                }),
                _ => false,
            }
        }
        _ => false,
    }
}

fn preamble(backend: Backend, access: Access, schema: &str, timeout: Duration) -> String {
    let mut text = String::new();
    if backend == Backend::Postgres {
        if access == Access::Read {
            text.push_str("SET TRANSACTION READ ONLY; ");
        }
        // `SET LOCAL` ends with the transaction, so nothing stays on a pooled
        // connection; `public` never stands behind the schema.
        let milliseconds = timeout.as_millis();
        write!(
            text,
            "SET LOCAL search_path = \"{schema}\", pg_temp; SET LOCAL statement_timeout = {milliseconds}"
        )
        .expect("writing to a text cannot fail");
    }
    text
}

fn sqlite_options(path: PathBuf) -> Result<ConnectOptions, Error> {
    create_private(&path).map_err(|source| {
        Error::new(
            ErrorKind::Unavailable,
            "the control database file cannot be made; check that its folder exists and is writable",
        )
        .with("path", path.display())
        .with_source(source)
    })?;
    // The real path is set below as a path: inside a URL, some characters would
    // mean something else.
    let mut options = ConnectOptions::new("sqlite://control.db");
    options.map_sqlx_sqlite_opts(move |sqlite| {
        sqlite
            .filename(&path)
            .pragma("journal_mode", "WAL")
            .pragma("synchronous", "FULL")
            .pragma("foreign_keys", "ON")
            .pragma("busy_timeout", SQLITE_BUSY_TIMEOUT_MS)
            // Deleted rows held password hashes.
            .pragma("secure_delete", "ON")
            .pragma("trusted_schema", "OFF")
    });
    Ok(options)
}

/// Makes the file readable by its owner only, before SQLite would make it for all.
fn create_private(path: &std::path::Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn postgres_url(url: &Secret) -> Result<String, Error> {
    let rest = url
        .expose()
        .strip_prefix("postgres://")
        .or_else(|| url.expose().strip_prefix("postgresql://"));
    match rest {
        Some(rest) => Ok(format!("postgres://{rest}")),
        None => Err(Error::internal(
            "the control database address must start with postgres:// or postgresql://",
        )),
    }
}

fn is_plain_name(name: &str) -> bool {
    name.len() <= SCHEMA_LENGTH_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}
