//! Where the databases are: a fresh one for every measurement, so that none inherits
//! another's tables.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::Failure;

/// A PostgreSQL server on which databases may be created.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    options: PgConnectOptions,
    admin: PgPool,
}

impl Server {
    /// Connects to the server.
    pub(crate) async fn connect(url: &str) -> Result<Self, Failure> {
        let options = PgConnectOptions::from_str(url)?;
        let admin = PgPoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await?;
        Ok(Self { options, admin })
    }

    /// Creates an empty database, in place of an earlier one of this name.
    pub(crate) async fn create(&self, name: &'static str) -> Result<Database, Failure> {
        self.execute(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await?;
        self.execute(format!("CREATE DATABASE {name}")).await?;
        // What the last measurement left to be flushed is not this one's to pay.
        self.execute("CHECKPOINT".to_owned()).await?;
        Ok(Database {
            server: self.clone(),
            name,
        })
    }

    /// Gives the server's version and a setting's value.
    pub(crate) async fn show(&self, setting: &str) -> Result<String, Failure> {
        let shown = sqlx::query_scalar("SELECT current_setting($1)").bind(setting);
        Ok(shown.fetch_one(&self.admin).await?)
    }

    async fn execute(&self, statement: String) -> Result<(), Failure> {
        sqlx::query(AssertSqlSafe(statement))
            .execute(&self.admin)
            .await?;
        Ok(())
    }
}

/// One database of a measurement.
#[derive(Debug)]
pub(crate) struct Database {
    server: Server,
    name: &'static str,
}

impl Database {
    /// Gives the address for libraries that connect by themselves.
    pub(crate) fn url(&self) -> String {
        self.options().to_url_lossy().to_string()
    }

    /// Opens one connection.
    pub(crate) async fn connection(&self) -> Result<PgConnection, Failure> {
        Ok(PgConnection::connect_with(&self.options()).await?)
    }

    /// Opens a pool with all its connections.
    pub(crate) async fn pool(&self, connections: u32) -> Result<PgPool, Failure> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .min_connections(connections);
        Ok(pool.connect_with(self.options()).await?)
    }

    /// Counts the transactions that were ever committed here. Waits until nobody is
    /// connected, since a session reports its last ones when it ends.
    pub(crate) async fn transactions(&self) -> Result<u64, Failure> {
        const PAUSE: Duration = Duration::from_millis(50);
        for _ in 0..200 {
            let (sessions, commits): (i32, i64) = sqlx::query_as(
                "SELECT numbackends, xact_commit FROM pg_stat_database WHERE datname = $1",
            )
            .bind(self.name)
            .fetch_one(&self.server.admin)
            .await?;
            if sessions == 0 {
                return Ok(u64::try_from(commits)?);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err("somebody stays connected to the database of the measurement".into())
    }

    /// Removes the database.
    pub(crate) async fn drop(self) -> Result<(), Failure> {
        self.server
            .execute(format!("DROP DATABASE {} WITH (FORCE)", self.name))
            .await
    }

    fn options(&self) -> PgConnectOptions {
        self.server.options.clone().database(self.name)
    }
}

/// A directory for SQLite files, each removed with its measurement.
#[derive(Debug, Clone)]
pub(crate) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Takes a directory that is there.
    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Makes room for a new file.
    pub(crate) fn create(&self) -> Result<File, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("auterity-bench-")
            .tempdir_in(&self.path)?;
        Ok(File { folder })
    }
}

/// One database file of a measurement.
#[derive(Debug)]
pub(crate) struct File {
    folder: tempfile::TempDir,
}

impl File {
    /// Gives the address for stores that open the file by themselves.
    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.path().display())
    }

    /// Opens a connection as durable as the engine's: WAL and synchronous FULL.
    pub(crate) async fn connection(&self) -> Result<SqliteConnection, Failure> {
        let options = SqliteConnectOptions::new()
            .filename(self.path())
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        Ok(SqliteConnection::connect_with(&options).await?)
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("bench.db")
    }
}
