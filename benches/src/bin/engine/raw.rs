//! The databases' own commit rate: one row per transaction.

use std::sync::Arc;

use sqlx::Executor;
use tokio::sync::Mutex;

use crate::{BODY, Sample};
use auterity_benches::Failure;
use auterity_benches::load::{Window, closed_loop};
use auterity_benches::place::{Database, File};

const POSTGRES_TABLE: &str = "CREATE TABLE raw (id bigserial PRIMARY KEY, body text NOT NULL)";
const SQLITE_TABLE: &str = "CREATE TABLE raw (id INTEGER PRIMARY KEY, body TEXT NOT NULL)";

/// Commits single rows over as many connections as there are in flight.
pub(crate) async fn postgres(
    database: &Database,
    in_flight: usize,
    window: Window,
) -> Result<Sample, Failure> {
    let pool = database.pool(u32::try_from(in_flight)?).await?;
    pool.execute(POSTGRES_TABLE).await?;
    let shared = pool.clone();
    let load = closed_loop(in_flight, window, move |_| {
        let pool = shared.clone();
        async move {
            sqlx::query("INSERT INTO raw (body) VALUES ($1)")
                .bind(BODY)
                .execute(&pool)
                .await?;
            Ok(())
        }
    })
    .await?;
    pool.close().await;
    Ok(Sample {
        load,
        transactions: 1.0,
    })
}

/// Commits single rows over the one connection that may write.
pub(crate) async fn sqlite(
    file: &File,
    in_flight: usize,
    window: Window,
) -> Result<Sample, Failure> {
    let mut connection = file.connection().await?;
    connection.execute(SQLITE_TABLE).await?;
    let connection = Arc::new(Mutex::new(connection));
    let load = closed_loop(in_flight, window, move |_| {
        let connection = Arc::clone(&connection);
        async move {
            let mut connection = connection.lock().await;
            sqlx::query("INSERT INTO raw (body) VALUES (?)")
                .bind(BODY)
                .execute(&mut *connection)
                .await?;
            Ok(())
        }
    })
    .await?;
    Ok(Sample {
        load,
        transactions: 1.0,
    })
}
