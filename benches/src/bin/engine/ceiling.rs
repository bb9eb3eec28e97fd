//! The ceiling `G`: group commit without any engine.
//!
//! One writer takes whatever waits, commits it at once and then answers everybody. An
//! execution is six rows, each of which has to be answered before the next one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, QueryBuilder, Sqlite};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::{BODY, Sample};
use auterity_benches::Failure;
use auterity_benches::load::{Window, closed_loop};
use auterity_benches::place::{Database, File};

/// Rows of one execution: its start and five results, the last of which ends it.
const ROWS: i64 = 6;
/// Rows of one transaction at most, as the engine's default.
const BATCH_MAX: usize = 512;

const POSTGRES_TABLE: &str = "CREATE TABLE journal (execution uuid NOT NULL, \
     sequence bigint NOT NULL, body text NOT NULL, PRIMARY KEY (execution, sequence))";
const SQLITE_TABLE: &str = "CREATE TABLE journal (execution BLOB NOT NULL, \
     sequence INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (execution, sequence)) WITHOUT ROWID";

struct Row {
    execution: Uuid,
    sequence: i64,
    done: oneshot::Sender<()>,
}

/// A database that takes many rows in one transaction.
trait Sink: Send + 'static {
    fn commit(&mut self, rows: &[Row]) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Measures with array inserts.
pub(crate) async fn postgres(
    database: &Database,
    in_flight: usize,
    window: Window,
) -> Result<Sample, Failure> {
    let mut connection = database.connection().await?;
    connection.execute(POSTGRES_TABLE).await?;
    measure(Postgres(connection), in_flight, window).await
}

/// Measures with prepared inserts of many rows.
pub(crate) async fn sqlite(
    file: &File,
    in_flight: usize,
    window: Window,
) -> Result<Sample, Failure> {
    let mut connection = file.connection().await?;
    connection.execute(SQLITE_TABLE).await?;
    measure(SqliteFile::new(connection), in_flight, window).await
}

async fn measure(sink: impl Sink, in_flight: usize, window: Window) -> Result<Sample, Failure> {
    let (sender, receiver) = mpsc::channel(2 * BATCH_MAX);
    let commits = Arc::new(AtomicU64::new(0));
    let writer = write(sink, receiver, Arc::clone(&commits));
    let load = closed_loop(in_flight, window, move |_| {
        let sender = sender.clone();
        async move {
            let execution = Uuid::now_v7();
            for sequence in 0..ROWS {
                let (done, committed) = oneshot::channel();
                let row = Row {
                    execution,
                    sequence,
                    done,
                };
                sender.send(row).await.map_err(|_| "the writer failed")?;
                committed.await?;
            }
            Ok(())
        }
    })
    .await;
    // Its own failure says more than that nobody answered.
    writer.await??;
    let load = load?;
    let transactions = per(commits.load(Ordering::Relaxed), load.total);
    Ok(Sample { load, transactions })
}

fn write(
    mut sink: impl Sink,
    mut receiver: mpsc::Receiver<Row>,
    commits: Arc<AtomicU64>,
) -> JoinHandle<Result<(), Failure>> {
    tokio::spawn(async move {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while 0 < receiver.recv_many(&mut batch, BATCH_MAX).await {
            sink.commit(&batch).await?;
            commits.fetch_add(1, Ordering::Relaxed);
            for row in batch.drain(..) {
                // A worker that failed does not wait any more.
                let _unwanted = row.done.send(());
            }
        }
        Ok(())
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
pub(crate) fn per(count: u64, of: u64) -> f64 {
    count as f64 / of.max(1) as f64
}

struct Postgres(PgConnection);

impl Sink for Postgres {
    /// One round trip, committed by itself.
    async fn commit(&mut self, rows: &[Row]) -> Result<(), Failure> {
        let executions: Vec<Uuid> = rows.iter().map(|row| row.execution).collect();
        let sequences: Vec<i64> = rows.iter().map(|row| row.sequence).collect();
        let bodies: Vec<&str> = rows.iter().map(|_| BODY).collect();
        sqlx::query(
            "INSERT INTO journal (execution, sequence, body) \
             SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::text[])",
        )
        .bind(executions)
        .bind(sequences)
        .bind(bodies)
        .execute(&mut self.0)
        .await?;
        Ok(())
    }
}

struct SqliteFile {
    connection: SqliteConnection,
    /// Statements for so many rows, largest first; few, so that all stay prepared.
    statements: Vec<(usize, String)>,
}

impl SqliteFile {
    fn new(connection: SqliteConnection) -> Self {
        let statements = [256, 64, 16, 4, 1].into_iter().map(|rows| {
            let mut statement = QueryBuilder::<Sqlite>::new(
                "INSERT INTO journal (execution, sequence, body) VALUES ",
            );
            for row in 0..rows {
                statement.push(if row == 0 { "(?, ?, ?)" } else { ", (?, ?, ?)" });
            }
            (rows, statement.sql().as_str().to_owned())
        });
        Self {
            connection,
            statements: statements.collect(),
        }
    }
}

impl Sink for SqliteFile {
    async fn commit(&mut self, mut rows: &[Row]) -> Result<(), Failure> {
        let mut transaction = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        for (size, statement) in &self.statements {
            while let Some((some, rest)) = rows.split_at_checked(*size) {
                let mut query = sqlx::query(AssertSqlSafe(statement.as_str()));
                for row in some {
                    query = query.bind(row.execution).bind(row.sequence).bind(BODY);
                }
                query.execute(&mut *transaction).await?;
                rows = rest;
            }
        }
        transaction.commit().await?;
        Ok(())
    }
}
