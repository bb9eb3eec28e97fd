//! A workflow written in Rust: an order is charged, shipped when the warehouse says so,
//! and called off when it does not in time. Everything is kept in one SQLite file; kill
//! the program while it sleeps, start it again, and the order goes on where it was.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use auterity_core::engine::{
    DurableContext, DurableFunction, DurableFunctions, Engine, EventFilter, Options, Ports,
    StartRequest, StepRetry,
};
use auterity_core::interpreter::Problem;
use auterity_core::store::{SeaOptions, SeaStore, Store};
use auterity_core::{Actor, Scope, TenantId};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Debug, Deserialize)]
struct Order {
    id: u32,
    amount: u32,
}

#[derive(Debug, Serialize)]
struct Done {
    receipt: String,
    shipped: bool,
}

async fn order(context: DurableContext, order: Order) -> Result<Done, Problem> {
    let amount = order.amount;
    let receipt: String = context
        .step_with(
            "charge",
            move |call| async move { charge(&call.key, amount) },
        )
        .with_retry(StepRetry::times(5))
        .await?;
    context.sleep(SignedDuration::from_secs(3)).await;
    let picked = EventFilter::of_type("com.example.picked").matching(".data.order", order.id);
    let shipped = context
        .within(SignedDuration::from_secs(3), context.wait_for(picked))
        .await
        .is_some();
    if !shipped {
        let refunded = receipt.clone();
        context
            .step("refund", move || refund(refunded.clone()))
            .await?;
    }
    Ok(Done { receipt, shipped })
}

/// A payment service gets the key, so that it charges once.
fn charge(key: &str, amount: u32) -> Result<String, Problem> {
    Ok(format!("receipt of {amount} under {key}"))
}

async fn refund(_receipt: String) -> Result<(), Problem> {
    Ok(())
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it did")]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = SeaStore::open(
        "sqlite://durable-function.db?mode=rwc",
        SeaOptions::default(),
    )
    .await?;
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
    let output = row.output.unwrap_or_default();
    println!("{}: {} {output}", row.id, row.status);
    engine.stop(Duration::from_secs(10)).await?;
    Ok(())
}
