//! Durable functions: steps, waits, control from outside, crashes, versions, mistakes.

mod control;
mod steps;
mod stores;
mod versions;
mod waits;

use std::sync::Arc;

use auterity_core::engine::{DurableContext, DurableFunction, DurableFunctions, Ports};
use auterity_core::interpreter::{Problem, ProblemKind};
use auterity_core::store::Store;
use auterity_core::testing::{Bench, History, Workbench};
use serde_json::{Value, json};

use crate::engine::{Fixture, options};

/// A durable function named `test/code 1.0.0`.
fn function<R>(call: impl Fn(DurableContext, Value) -> R + Send + Sync + 'static) -> DurableFunction
where
    R: Future<Output = Result<Value, Problem>> + Send + 'static,
{
    DurableFunction::new(("test", "code", "1.0.0"), call)
}

fn refused() -> Problem {
    Problem::new(ProblemKind::Communication, "refused")
}

fn event(kind: &str, id: &str, data: Value) -> Value {
    json!({ "specversion": "1.0", "id": id, "source": "test", "type": kind, "data": data })
}

fn open<R>(function: &DurableFunction, work: impl AsyncFnOnce(&Bench) -> R) -> R {
    Workbench::new().with_durable(function.clone()).open(work)
}

fn execute(function: &DurableFunction, input: Value) -> History {
    open(function, async |bench| {
        bench.execute(&function.definition(), input).await
    })
}

/// What the error of an execution says.
fn detail(history: &History) -> String {
    history.error()["detail"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// An engine on a store that may have been used before, with these functions deployed.
async fn engine_on(store: &Arc<dyn Store>, functions: Vec<DurableFunction>) -> Fixture {
    let durable = functions.into_iter();
    let ports = Ports {
        durable: durable.fold(DurableFunctions::none(), DurableFunctions::with),
        ..Ports::new(Arc::clone(store))
    };
    let fixture = Fixture::with(ports, options()).await;
    let deployed = fixture.handle.deploy_durable_functions(&fixture.scope);
    deployed.await.expect("deployed");
    fixture
}
