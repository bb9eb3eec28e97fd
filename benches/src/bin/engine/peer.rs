//! The peer: the crate `dbos`, with the same work and its own defaults.

use dbos::{Config, DBOS, WorkflowRef, step};

use crate::Sample;
use crate::ceiling::per;
use auterity_benches::Failure;
use auterity_benches::load::{Window, closed_loop};
use auterity_benches::place::Database;

/// Measures workflows of five steps that do nothing.
pub(crate) async fn postgres(
    database: &Database,
    in_flight: usize,
    window: Window,
) -> Result<Sample, Failure> {
    // The first launch creates the tables and is not counted.
    let (dbos, _) = launch(database).await?;
    dbos.shutdown().await;
    drop(dbos);
    let before = database.transactions().await?;
    let (dbos, five) = launch(database).await?;
    let load = closed_loop(in_flight, window, move |number| {
        let five = five.clone();
        async move {
            five.run(number).await?;
            Ok(())
        }
    })
    .await?;
    dbos.shutdown().await;
    drop(dbos);
    let committed = database.transactions().await? - before;
    let transactions = per(committed, load.total);
    Ok(Sample { load, transactions })
}

async fn launch(database: &Database) -> Result<(DBOS, WorkflowRef<u64, u64>), Failure> {
    let dbos = DBOS::new(Config {
        app_version: Some("1".to_owned()),
        ..Config::new("bench", database.url())
    });
    let five = dbos.register_workflow("five", five_steps)?;
    dbos.launch().await?;
    Ok((dbos, five))
}

async fn five_steps(number: u64) -> dbos::Result<u64> {
    for name in ["one", "two", "three", "four", "five"] {
        step(name, async || Ok::<_, dbos::Error>(number)).await?;
    }
    Ok(number)
}
