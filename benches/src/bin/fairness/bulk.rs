//! Many starts at once, and the rate at which plain rows are inserted fifty at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use auterity_core::engine::{Engine, Options, Ports};
use auterity_core::store::Store;
use sqlx::Executor;

use crate::tenants::{DEFINITION, request};
use auterity_benches::Failure;
use auterity_benches::load::{Window, closed_loop};
use auterity_benches::place::Database;
use auterity_benches::work::{deploy, scope};

/// Starts of one call.
const STARTS: usize = 500;

/// Plain rows of one statement, and statements at a time.
const ROWS: usize = 50;
const CONNECTIONS: u32 = 16;

/// About the size of an event of the engine.
const BODY: &str =
    r#"{"kind":"effect.completed","task":"/do/0/first","attempt":1,"output":{"number":1}}"#;

/// Fills the queue of the large tenant; gives the starts per second.
pub(crate) async fn fill(store: &Arc<dyn Store>, count: usize) -> Result<f64, Failure> {
    let engine = Engine::start_without_worker(Options::default(), Ports::new(Arc::clone(store)))?;
    let handle = engine.handle();
    let large = scope(2);
    deploy(&handle, &large, DEFINITION).await?;
    let began = Instant::now();
    let mut started = 0;
    while started < count {
        let some = STARTS.min(count - started);
        let requests = (0..some as u64).map(request).collect();
        for outcome in handle.start_many(&large, requests).await? {
            outcome?;
        }
        started += some;
    }
    let took = began.elapsed().as_secs_f64();
    engine.stop(Duration::from_secs(5)).await?;
    Ok(f64::from(u32::try_from(count)?) / took)
}

/// Inserts rows fifty at a time over sixteen connections; gives the rows per second.
pub(crate) async fn rows_per_second(database: &Database, window: Window) -> Result<f64, Failure> {
    let pool = database.pool(CONNECTIONS).await?;
    pool.execute("CREATE TABLE raw (id bigserial PRIMARY KEY, body text NOT NULL)")
        .await?;
    let shared = pool.clone();
    let load = closed_loop(CONNECTIONS as usize, window, move |_| {
        let pool = shared.clone();
        async move {
            sqlx::query("INSERT INTO raw (body) SELECT * FROM unnest($1::text[])")
                .bind(vec![BODY; ROWS])
                .execute(&pool)
                .await?;
            Ok(())
        }
    })
    .await?;
    pool.close().await;
    Ok(load.per_second * 50.0)
}
