//! The durable engine inside a host program: a Rust function of the host, a workflow
//! that calls it, one execution. Everything is kept in one SQLite file; start the
//! program again after killing it, and what was unfinished goes on.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use auterity_core::engine::{Engine, Options, Ports, StartRequest};
use auterity_core::functions::{Function, Functions, Invocation};
use auterity_core::interpreter::{Problem, ProblemKind};
use auterity_core::store::{SeaOptions, SeaStore, Store};
use auterity_core::{Actor, Scope, TenantId};
use serde_json::{Value, json};

const DEFINITION: &str = "
document: { dsl: '1.0.3', namespace: shop, name: invoice, version: '1.0.0' }
do:
- net: { set: { amount: '${ [.items[].price] | add }' } }
- tax: { call: vat, with: { amount: '${ .amount }' } }
";

#[derive(Debug)]
struct Vat;

#[async_trait]
impl Function for Vat {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let Some(net) = invocation.arguments["amount"].as_f64() else {
            return Err(Problem::new(ProblemKind::Validation, "amount is no number"));
        };
        Ok(json!({ "net": net, "gross": net * 1.25 }))
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "an example shows what it did")]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = SeaStore::open(
        "sqlite://embedded-engine.db?mode=rwc",
        SeaOptions::default(),
    )
    .await?;
    store.migrate().await?;
    let functions = Functions::built_in().with("vat", Vat);
    let ports = Ports {
        functions,
        ..Ports::new(Arc::new(store))
    };
    let engine = Engine::start(Options::default(), ports).await?;
    let handle = engine.handle();

    let scope = Scope::new(TenantId::from_uuid(uuid::Uuid::nil()), Actor::Host);
    handle
        .deploy(&scope, DEFINITION)
        .await
        .map_err(|error| error.to_string())?;
    let request = StartRequest {
        namespace: "shop".to_owned(),
        name: "invoice".to_owned(),
        input: json!({ "items": [{ "price": 100 }, { "price": 20 }] }),
        ..StartRequest::default()
    };
    let started = handle.start(&scope, request).await?;
    let row = handle
        .wait(&scope, started.id, Duration::from_secs(10))
        .await?;
    println!(
        "{}: {:?} {}",
        row.id,
        row.status,
        row.output.unwrap_or_default()
    );
    engine.stop(Duration::from_secs(10)).await?;
    Ok(())
}
