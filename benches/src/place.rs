//! Where the databases are: a fresh one for every measurement, so that none inherits
//! another's tables.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use auterity_core::store::{SeaOptions, SeaStore, Store};
use clap::{Args, ValueEnum};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use crate::Failure;

/// A PostgreSQL server on which databases may be created.
#[derive(Debug, Clone)]
pub struct Server {
    options: PgConnectOptions,
    admin: PgPool,
}

impl Server {
    /// Connects to the server.
    pub async fn connect(url: &str) -> Result<Self, Failure> {
        let options = PgConnectOptions::from_str(url)?;
        let admin = PgPoolOptions::new()
            .max_connections(1)
            .connect_with(options.clone())
            .await?;
        Ok(Self { options, admin })
    }

    /// Creates an empty database, in place of an earlier one of this name.
    pub async fn create(&self, name: &'static str) -> Result<Database, Failure> {
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
    pub async fn show(&self, setting: &str) -> Result<String, Failure> {
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
pub struct Database {
    server: Server,
    name: &'static str,
}

impl Database {
    /// Gives the address for libraries that connect by themselves.
    pub fn url(&self) -> String {
        self.options().to_url_lossy().to_string()
    }

    /// Opens one connection.
    pub async fn connection(&self) -> Result<PgConnection, Failure> {
        Ok(PgConnection::connect_with(&self.options()).await?)
    }

    /// Opens a pool with all its connections.
    pub async fn pool(&self, connections: u32) -> Result<PgPool, Failure> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .min_connections(connections);
        Ok(pool.connect_with(self.options()).await?)
    }

    /// Counts the transactions that were ever committed here. Waits until nobody is
    /// connected, since a session reports its last ones when it ends.
    pub async fn transactions(&self) -> Result<u64, Failure> {
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
    pub async fn remove(self) -> Result<(), Failure> {
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
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Takes a directory that is there.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Makes room for a new file.
    pub fn create(&self) -> Result<File, Failure> {
        let folder = tempfile::Builder::new()
            .prefix("auterity-bench-")
            .tempdir_in(&self.path)?;
        Ok(File { folder })
    }
}

/// One database file of a measurement.
#[derive(Debug)]
pub struct File {
    folder: tempfile::TempDir,
}

impl File {
    /// Gives the address for stores that open the file by themselves.
    pub fn url(&self) -> String {
        format!("sqlite://{}?mode=rwc", self.path().display())
    }

    /// Opens a connection as durable as the engine's: WAL and synchronous FULL.
    pub async fn connection(&self) -> Result<SqliteConnection, Failure> {
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

/// Which kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A PostgreSQL server.
    Postgres,
    /// An SQLite file with synchronous FULL.
    Sqlite,
}

/// Where to measure, as the command line says it.
#[derive(Debug, Args)]
pub struct Places {
    /// A PostgreSQL server on which databases may be created; without it only SQLite
    /// is measured.
    #[arg(
        long,
        env = "AUTERITY_TEST_POSTGRES_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub postgres: Option<String>,
    /// Where the SQLite files go; it should be on the disk that is to be measured.
    #[arg(long, value_name = "PATH", default_value_os_t = std::env::temp_dir())]
    pub directory: PathBuf,
    /// Measures only these databases.
    #[arg(long, value_delimiter = ',', value_enum)]
    pub database: Vec<Kind>,
}

impl Places {
    /// Gives the kinds of databases that are there and wanted.
    #[must_use]
    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::Postgres, Kind::Sqlite];
        kinds.retain(|kind| {
            let is_wanted = self.database.is_empty() || self.database.contains(kind);
            is_wanted && (*kind == Kind::Sqlite || self.postgres.is_some())
        });
        kinds
    }

    /// Makes a new, empty database.
    ///
    /// # Errors
    /// When the server or the folder cannot be used.
    pub async fn create(&self, kind: Kind) -> Result<Place, Failure> {
        match (kind, &self.postgres) {
            (Kind::Postgres, Some(url)) => {
                let server = Server::connect(url).await?;
                let database = server.create("auterity_bench").await?;
                Ok(Place::Postgres(Box::new(database)))
            }
            (Kind::Postgres, None) => Err("--postgres is missing".into()),
            (Kind::Sqlite, _) => Ok(Place::Sqlite(Directory::new(&self.directory).create()?)),
        }
    }
}

/// One database of either kind.
#[derive(Debug)]
pub enum Place {
    /// On a PostgreSQL server.
    Postgres(Box<Database>),
    /// An SQLite file.
    Sqlite(File),
}

impl Place {
    /// Opens a store with its tables on the database.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn store(&self) -> Result<SeaStore, Failure> {
        let url = match self {
            Self::Postgres(database) => database.url(),
            Self::Sqlite(file) => file.url(),
        };
        let store = SeaStore::open(&url, SeaOptions::default()).await?;
        store.migrate().await?;
        Ok(store)
    }

    /// Removes the database.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn remove(self) -> Result<(), Failure> {
        match self {
            Self::Postgres(database) => database.remove().await,
            Self::Sqlite(_) => Ok(()),
        }
    }
}
