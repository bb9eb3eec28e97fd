//! A workflow written in Rust: an order is charged, and shipped when the warehouse says
//! that it was picked; if it does not say so in time, the money goes back. Everything is
//! kept in one SQLite file. Kill the program while it waits and start it again: the order
//! goes on where it was, and nobody is charged twice.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use auterity_core::engine::{
    DurableContext, DurableFunction, DurableFunctions, Engine, EventFilter, Options, Ports,
    StartRequest, StepRetry,
};
use auterity_core::interpreter::{Problem, ProblemKind};
use auterity_core::store::{SeaOptions, SeaStore, Store};
use auterity_core::{Actor, Scope, TenantId};
use jiff::SignedDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Debug, Deserialize, JsonSchema)]
struct Order {
    id: u32,
    amount: u32,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Done {
    receipt: String,
    shipped: bool,
}

async fn order(context: DurableContext, order: Order) -> Result<Done, Problem> {
    let amount = order.amount;
    let receipt = context
        .step_with("charge", move |call| charge(call.key, amount))
        .with_retry(StepRetry::times(5))
        .await?;
    let picked = EventFilter::of_type("com.example.picked").matching(".data.order", order.id);
    let shipped = context
        .within(SignedDuration::from_secs(2), context.wait_for(picked))
        .await?
        .is_some();
    if !shipped {
        let receipt = receipt.clone();
        context
            .step("refund", move || refund(receipt.clone()))
            .await?;
    }
    Ok(Done { receipt, shipped })
}

/// A payment service is given the key, so that it charges once.
async fn charge(key: String, amount: u32) -> Result<String, Problem> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(format!("receipt of {amount} under {key}"))
}

async fn refund(receipt: String) -> Result<(), Problem> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    if receipt.is_empty() {
        return Err(Problem::new(ProblemKind::Validation, "there is no receipt"));
    }
    Ok(())
}

/// Executes one order in a database and tells what came of it.
async fn execute(database: &str) -> Result<String, Box<dyn Error>> {
    let store = SeaStore::open(database, SeaOptions::default()).await?;
    store.migrate().await?;
    let function = DurableFunction::new(("shop", "order", "1.0.0"), order);
    let ports = Ports {
        durable: DurableFunctions::none().with(function),
        ..Ports::new(Arc::new(store))
    };
    let engine = Engine::start(Options::default(), ports).await?;
    let handle = engine.handle();

    let scope = Scope::new(TenantId::from_uuid(uuid::Uuid::nil()), Actor::Host);
    handle.deploy_durable_functions(&scope).await?;
    let request = StartRequest {
        input: json!({ "id": 7, "amount": 120 }),
        // The same order again finds the execution of before.
        idempotency_key: Some("order-7".to_owned()),
        ..StartRequest::of("shop", "order")
    };
    let started = handle.start(&scope, request).await?;
    let row = handle
        .wait(&scope, started.id, Duration::from_secs(20))
        .await?;
    engine.stop(Duration::from_secs(10)).await?;
    let output = row.output.unwrap_or_default();
    Ok(format!("{}: {} {output}", row.id, row.status))
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it did")]
async fn main() -> Result<(), Box<dyn Error>> {
    println!(
        "{}",
        execute("sqlite://durable-function.db?mode=rwc").await?
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn order_that_nobody_picks_is_refunded() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = format!("sqlite://{}?mode=rwc", folder.path().join("o.db").display());
        let first = execute(&database).await.expect("it works");
        assert!(first.contains("completed"), "{first}");
        assert!(first.contains(r#""shipped":false"#), "{first}");
        let again = execute(&database).await.expect("it works");
        assert_eq!(first, again, "the same order is the same execution");
    }
}
